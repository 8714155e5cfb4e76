//! Enrolling users.

use alloy_primitives::Address;
use serde_json::json;

use crate::{
    actor::{Actor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, ReplayGuard, Write},
    error::{Error, Result},
    identity::{Escrow, Principal, PrincipalKind, User, escrow::wallet_key},
    ids::{OrganizationId, PrincipalId},
    keys::{activation, reserve_key},
    ports::Services,
    sealed::Sealed,
    settings::Settings,
    transactions::Provider,
};

/// A user to be enrolled.
#[derive(Clone, Debug)]
pub struct CreateUser {
    pub ethereum_address: Address,
    /// An address whose key is elsewhere; absent makes an HSM key.
    pub escrow_address: Option<Address>,
    pub privy_user_id: Option<String>,
    pub display_name: Option<String>,
    pub email: Option<String>,
}

/// Enrols a user with default settings and, unless an escrow address is named, an HSM-held escrow key.
pub async fn create_user(ctx: &OpCtx, services: &Services, request: CreateUser) -> Result<User> {
    let proven =
        matches!(&ctx.actor, Actor::Wallet(wallet) if Some(wallet.address) == request.escrow_address);
    if matches!(ctx.actor, Actor::Wallet(_)) && request.escrow_address.is_some() && !proven {
        return Err(Error::invalid("escrowAddress must be the signing address, or be named by a server key"));
    }
    if let Some(guard) = replay_guard(ctx)
        && services.store.was_replayed(&guard).await?
    {
        return Err(Error::Unauthenticated);
    }
    refuse_own_addresses(services, &request).await?;
    let existing = services.store.user_by_address(ctx.organization, request.ethereum_address).await?;
    if existing.is_some() {
        return Err(Error::Conflict("a user with this ethereumAddress exists"));
    }
    let id = PrincipalId::generate(ctx.now, services.entropy.as_ref());
    let (escrow, activated) = if let Some(address) = request.escrow_address {
        (Escrow::Foreign { address }, None)
    } else {
        let guard = |_| replay_guard(ctx).map(Write::InsertReplayGuard);
        let reserved = reserve_key(ctx, services, wallet_key(), guard).await?;
        let public_key = services.token_keys.generate(&reserved).await?;
        let (key, event, write) = activation(ctx, services, reserved, public_key);
        let address =
            key.address.ok_or_else(|| Error::inconsistency("a secp256k1 key without an address"))?;
        (Escrow::Hsm { key: key.id, address }, Some((event, write)))
    };
    let user = User {
        escrow: Some(escrow),
        privy_user_id: request.privy_user_id,
        display_name: request.display_name,
        email: request.email,
        ..User::without_escrow(ctx, id, request.ethereum_address)
    };
    let mut changes = enrolment(ctx, services, &user);
    if let Some((event, write)) = activated {
        // With its user or not at all: an interrupted enrolment leaves no key in use that nobody has.
        changes = changes.event(event).write(write);
    }
    let committed = services.store.commit(changes).await;
    committed.map_err(|error| match error {
        CommitError::Conflict(Contested::EscrowAddress) => Error::Conflict("escrowAddress is in use"),
        CommitError::Conflict(Contested::UserAddress) => {
            Error::Conflict("a user with this ethereumAddress exists")
        }
        other => other.into(),
    })?;
    Ok(user)
}

pub(super) fn enrolment(ctx: &OpCtx, services: &Services, user: &User) -> ChangeSet {
    let principal = Principal {
        id: user.id,
        organization: user.organization,
        kind: PrincipalKind::User,
        name: user.ethereum_address.to_string(),
        active: true,
        version: 1,
        created_at: ctx.now,
    };
    let mut settings = Settings::defaults(user.id, user.organization, ctx.now);
    settings.chain_id = services.domain_chain;
    if matches!(user.escrow, Some(Escrow::Foreign { .. })) {
        settings.execution_provider = Provider::None;
        settings.agent_provider = Provider::None;
    }
    let detail = json!({
        "ethereumAddress": user.ethereum_address, "contractChain": user.contract_chain, "escrow": user.escrow,
    });
    let changes = ChangeSet::new(AuditEvent::new(ctx, "user.created", format!("user {}", user.id), detail))
        .write(Write::InsertPrincipal(services.sealer.seal(principal)))
        .write(Write::InsertUser(services.sealer.seal(user.clone())))
        .write(Write::InsertSettings(services.sealer.seal(settings)));
    // A key of ours was reserved together with the guard.
    match (&user.escrow, replay_guard(ctx)) {
        (Some(Escrow::Foreign { .. }), Some(guard)) => changes.write(Write::InsertReplayGuard(guard)),
        _ => changes,
    }
}

/// The guard that makes a wallet-signed request effective once.
pub(crate) fn replay_guard(ctx: &OpCtx) -> Option<ReplayGuard> {
    let Actor::Wallet(wallet) = &ctx.actor else { return None };
    Some(wallet.replay_guard(ctx.organization))
}

/// An address of any HSM key can be neither a user nor somebody's foreign escrow: naming an address must never
/// select a key (T4), and a wallet key must never sign a login or an approval (T6).
async fn refuse_own_addresses(services: &Services, request: &CreateUser) -> Result<()> {
    if services.store.address_is_hsm_key(request.ethereum_address).await? {
        return Err(Error::Conflict("ethereumAddress is an address of this gateway's keys"));
    }
    if let Some(address) = request.escrow_address
        && services.store.address_is_hsm_key(address).await?
    {
        return Err(Error::Conflict("escrowAddress is in use"));
    }
    Ok(())
}

/// The user with this wallet, or not found.
pub async fn require_user(
    services: &Services,
    organization: OrganizationId,
    address: Address,
) -> Result<Sealed<User>> {
    services.store.user_by_address(organization, address).await?.ok_or(Error::NotFound("user"))
}
