//! Which account pays, by execution provider: decided before anybody judges, and part of what is judged.

use alloy_primitives::Address;

use crate::{
    actor::OpCtx,
    chain::ChainId,
    error::{Error, Result},
    fireblocks::{FireblocksAccount, IntegrationState},
    identity::{Escrow, User},
    ids::KeyId,
    keys::KeyPurpose,
    ports::Services,
    quorums::QuorumType,
    transactions::{Intent, Provider},
    vendors::VendorRole,
};

/// Why Fireblocks cannot pay for a user.
pub(super) const NOT_INTEGRATED: &str = "the user has no active Fireblocks integration of that type";

/// Who pays, and the key of this gateway that makes it so, [`Intent::NO_KEY`] if there is none.
pub(super) struct Account {
    pub(super) key: KeyId,
    pub(super) from: Address,
    pub(super) vendor: Option<FireblocksAccount>,
}

/// What is asked of whom: the provider, which of the user's vendors, and the chain.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) provider: Provider,
    pub(super) role: VendorRole,
    pub(super) chain: ChainId,
}

pub(super) async fn account(ctx: &OpCtx, services: &Services, owner: &User, asked: Asked) -> Result<Account> {
    match asked.provider {
        Provider::Hsm => {
            let Some(Escrow::Hsm { key, address }) = owner.escrow else {
                return Err(Error::invalid("escrowAddress has no key in this gateway"));
            };
            Ok(Account { key, from: address, vendor: None })
        }
        Provider::None => elsewhere(owner),
        Provider::Fireblocks => fireblocks(ctx, services, owner, asked).await,
        Provider::Privy => privy(ctx, services, owner, asked).await,
    }
}

/// Somebody else executes: for an address whose key is elsewhere nobody here has one to name.
fn elsewhere(owner: &User) -> Result<Account> {
    let (key, from) = match owner.escrow {
        Some(Escrow::Hsm { key, address }) => (key, address),
        Some(Escrow::Foreign { address }) => (Intent::NO_KEY, address),
        None => return Err(Error::invalid("the user has no escrowAddress")),
    };
    Ok(Account { key, from, vendor: None })
}

async fn fireblocks(ctx: &OpCtx, services: &Services, owner: &User, asked: Asked) -> Result<Account> {
    let fireblocks = services.vendors.require_fireblocks()?;
    let from = foreign_escrow(owner)?;
    let found = services.store.integration(ctx.organization, owner.id, asked.role).await?;
    let integration = found.ok_or(Error::Conflict(NOT_INTEGRATED))?;
    let IntegrationState::Active(access) = &integration.state else {
        return Err(Error::Conflict(NOT_INTEGRATED));
    };
    let asset = fireblocks.asset(access.environment, asked.chain);
    let account = FireblocksAccount {
        integration: integration.id,
        environment: access.environment,
        region: access.region,
        vault_account: access.vault_account.clone(),
        asset: asset.ok_or(Error::Unconfigured("fireblocks.assets"))?,
    };
    Ok(Account { key: integration.key, from, vendor: Some(account) })
}

async fn privy(ctx: &OpCtx, services: &Services, owner: &User, asked: Asked) -> Result<Account> {
    services.vendors.require_privy()?;
    let from = foreign_escrow(owner)?;
    if owner.privy_user_id.is_none() {
        return Err(Error::invalid("the user has no privyUserId"));
    }
    let kind = QuorumType::of(asked.role);
    if services.store.quorum(ctx.organization, owner.id, kind).await?.is_none() {
        return Err(Error::invalid("provider privy needs a Privy quorum of that type"));
    }
    let key = services.store.purpose_key(ctx.organization, KeyPurpose::PrivyAuthorization).await?;
    let key = key.ok_or(Error::Unconfigured("key of purpose privy-authorization"))?;
    Ok(Account { key: key.id, from, vendor: None })
}

/// A vendor moves what lies at an address whose key the vendor has. One of our own keys is never meant by it.
fn foreign_escrow(owner: &User) -> Result<Address> {
    match owner.escrow {
        Some(Escrow::Foreign { address }) => Ok(address),
        Some(Escrow::Hsm { .. }) => {
            Err(Error::invalid("escrowAddress is a key of this gateway, which no vendor executes for"))
        }
        None => Err(Error::invalid("the user has no escrowAddress")),
    }
}
