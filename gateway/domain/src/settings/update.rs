//! Changing settings.

use alloy_primitives::Address;
use futures::future::try_join_all;
use serde_json::json;

use crate::{
    actor::{Actor, OpCtx, WalletActor},
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, CommitError, Contested, ReplayGuard, Write},
    error::{Error, Result},
    fireblocks::IntegrationState,
    identity::{Escrow, User, require_escrow},
    ids::{CredentialId, OrganizationId, PrincipalId},
    keys::retirement,
    ports::{Services, TransactionFilter},
    quorums::QuorumType,
    settings::Settings,
    transactions::{ExecutionType, Provider},
    vendors::VendorRole,
};

/// What shall change; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct SettingsUpdate {
    pub execution_type: Option<ExecutionType>,
    pub chain_id: Option<u64>,
    pub escrow_address: Option<Address>,
    pub escrow_proof: EscrowProof,
    pub execution_provider: Option<Provider>,
    pub agent_provider: Option<Provider>,
    pub verification_service: Option<u64>,
    pub require_arbiter: Option<bool>,
    pub orion_confidence_threshold_ppm: Option<u32>,
    pub approval_ttl_seconds: Option<u32>,
}

/// Who stands for a foreign escrow address.
#[derive(Clone, Debug, Default)]
pub enum EscrowProof {
    /// The session alone: a login is a signature by its wallet.
    #[default]
    Session,
    /// The address itself, which signed this very request.
    Wallet(WalletActor),
    /// An admin of the organization.
    AdminKey(CredentialId),
}

/// The user with their settings, or not found.
pub async fn require_settings(
    services: &Services,
    organization: OrganizationId,
    id: PrincipalId,
) -> Result<(User, Settings)> {
    let user = services.store.user(organization, id).await?.ok_or(Error::NotFound("user"))?;
    let settings = services.store.settings(organization, id).await?;
    let settings = settings.ok_or_else(|| Error::inconsistency("a user without settings"))?;
    Ok((user.into_value(), settings.into_value()))
}

/// Applies the update whole or not at all. A user without an escrow gets an HSM key, unless the update names an
/// address of their own.
pub async fn update_settings(
    ctx: &OpCtx,
    services: &Services,
    id: PrincipalId,
    update: SettingsUpdate,
) -> Result<(User, Settings)> {
    for _ in 0..services.limits.contest_attempts_max {
        let (user, settings) = require_settings(services, ctx.organization, id).await?;
        let moved_to = new_escrow(ctx, services, &user, &update).await?;
        let next = next(ctx, &settings, &update);
        check(ctx, services, (&user, moved_to.or(user.escrow)), (&next, &update)).await?;
        let left = match moved_to {
            Some(_) => left_behind(ctx, services, user.escrow).await?,
            None => None,
        };
        let user = match moved_to {
            Some(_) => User { escrow: moved_to, version: user.version + 1, updated_at: ctx.now, ..user },
            // Last of what can fail for reasons of the request: a key is not made in vain.
            None if user.escrow.is_none() => require_escrow(ctx, services, id).await?,
            None => user,
        };
        if moved_to.is_none() && chooses_the_same(&next, &settings) {
            return Ok((user, settings));
        }
        let event = AuditEvent::new(ctx, "settings.updated", format!("user {id}"), json!({"settings": next}));
        let mut changes =
            ChangeSet::new(event).write(Write::UpdateSettings(services.sealer.seal(next.clone())));
        if moved_to.is_some() {
            let detail = json!({"escrow": user.escrow, "proof": update.escrow_proof.described()});
            changes = changes
                .event(AuditEvent::new(ctx, "user.escrow_linked", format!("user {id}"), detail))
                .write(Write::UpdateUser(services.sealer.seal(user.clone())))
                .writes_of(update.escrow_proof.guard(ctx).map(Write::InsertReplayGuard));
        }
        if let Some((event, write)) = left {
            changes = changes.event(event).write(write);
        }
        match services.store.commit(changes).await {
            Ok(()) => return Ok((user, next)),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(CommitError::Conflict(Contested::EscrowAddress)) => {
                return Err(Error::Conflict("escrowAddress is in use"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same settings"))
}

fn next(ctx: &OpCtx, settings: &Settings, update: &SettingsUpdate) -> Settings {
    Settings {
        execution_type: update.execution_type.unwrap_or(settings.execution_type),
        chain_id: update.chain_id.unwrap_or(settings.chain_id),
        execution_provider: update.execution_provider.unwrap_or(settings.execution_provider),
        agent_provider: update.agent_provider.unwrap_or(settings.agent_provider),
        verification_service: update.verification_service.or(settings.verification_service),
        require_arbiter: update.require_arbiter.unwrap_or(settings.require_arbiter),
        orion_confidence_threshold_ppm: update
            .orion_confidence_threshold_ppm
            .unwrap_or(settings.orion_confidence_threshold_ppm),
        approval_ttl_seconds: update.approval_ttl_seconds.unwrap_or(settings.approval_ttl_seconds),
        version: settings.version + 1,
        updated_at: ctx.now,
        ..*settings
    }
}

/// Whether nothing changes but the version and its time.
fn chooses_the_same(next: &Settings, settings: &Settings) -> bool {
    let Settings { version, updated_at, .. } = *settings;
    Settings { version, updated_at, ..next.clone() } == *settings
}

impl EscrowProof {
    /// A signature moves an escrow once.
    fn guard(&self, ctx: &OpCtx) -> Option<ReplayGuard> {
        match self {
            Self::Wallet(wallet) => Some(wallet.replay_guard(ctx.organization)),
            Self::Session | Self::AdminKey(_) => None,
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Session => "session".to_owned(),
            Self::Wallet(wallet) => format!("signature {}", wallet.evidence.signed_hash),
            Self::AdminKey(key) => format!("api key {key}"),
        }
    }
}

/// The foreign escrow that the update moves to, if it moves.
async fn new_escrow(
    ctx: &OpCtx,
    services: &Services,
    user: &User,
    update: &SettingsUpdate,
) -> Result<Option<Escrow>> {
    let Some(address) =
        update.escrow_address.filter(|wanted| user.escrow.map(|escrow| escrow.address()) != Some(*wanted))
    else {
        return Ok(None);
    };
    // Naming an address never selects a key (T4).
    if services.store.address_is_hsm_key(address).await? {
        return Err(Error::Conflict("escrowAddress is in use"));
    }
    if let Some(Escrow::Hsm { address, .. }) = user.escrow
        && !is_untouched(services, user, address).await?
    {
        return Err(Error::Conflict("the user's escrow key is in the HSM; its funds would be left behind"));
    }
    let proven = match (&update.escrow_proof, &ctx.actor) {
        (EscrowProof::Session, Actor::Session(session)) => session.address == address,
        (EscrowProof::Session, _) => false,
        (EscrowProof::Wallet(wallet), _) => wallet.address == address,
        (EscrowProof::AdminKey(_), _) => true,
    };
    if !proven {
        return Err(Error::invalid(
            "escrowAddress must be the wallet that logged in, sign the request, or come with an admin key",
        ));
    }
    Ok(Some(Escrow::Foreign { address }))
}

/// Whether nobody ever asked for anything to be sent from the address, and no served chain knows of coin or a
/// transaction of it: making an API key gives a user such an escrow before they could name another.
async fn is_untouched(services: &Services, user: &User, address: Address) -> Result<bool> {
    let any = TransactionFilter { limit: 1, ..TransactionFilter::default() };
    if !services.store.transactions_of(user.organization, user.id, &any).await?.is_empty() {
        return Ok(false);
    }
    let accounts = services.chains.values().map(|chain| chain.node.account(address));
    let accounts = try_join_all(accounts).await;
    let accounts = accounts.map_err(|error| Error::unavailable("the chain's node", error))?;
    Ok(accounts.iter().all(|account| account.nonce == 0 && account.balance.is_zero()))
}

/// The change of the key that a user's escrow leaves behind.
async fn left_behind(
    ctx: &OpCtx,
    services: &Services,
    escrow: Option<Escrow>,
) -> Result<Option<(AuditEvent, Write)>> {
    let Some(Escrow::Hsm { key, .. }) = escrow else { return Ok(None) };
    let key = services.store.key(ctx.organization, key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("an escrow without its key"))?;
    let (_, event, write) = retirement(ctx, services, key);
    Ok(Some((event, write)))
}

/// The rule that the named verification service breaks, if it does.
async fn unusable_service(
    services: &Services,
    organization: OrganizationId,
    named: Option<u64>,
) -> Result<Option<String>> {
    let Some(named) = named else { return Ok(None) };
    let found = match u32::try_from(named) {
        Ok(id) => services.store.verification_service(organization, id).await?,
        Err(_) => None,
    };
    let is_active = found.is_some_and(|service| service.is_offered(services.clock.now()));
    Ok((!is_active).then(|| "verificationServiceId must name an active verification service".to_owned()))
}

/// Every rule that the settings as a whole break. What the update does not name was judged when it was set.
async fn check(
    ctx: &OpCtx,
    services: &Services,
    (user, escrow): (&User, Option<Escrow>),
    (next, update): (&Settings, &SettingsUpdate),
) -> Result<()> {
    let unusable = unusable_service(services, ctx.organization, update.verification_service).await?;
    let mut rules: Vec<String> = unusable.into_iter().collect();
    let is_served = |number| ChainId::eip155(number).is_ok_and(|chain| services.chains.contains_key(&chain));
    if update.chain_id.is_some_and(|chain| !is_served(chain)) {
        rules.push("chainId must be one that is served here".to_owned());
    }
    let providers = [
        ("executionProvider", VendorRole::Execution, update.execution_provider, next.execution_provider),
        ("agentProvider", VendorRole::Agent, update.agent_provider, next.agent_provider),
    ];
    let is_foreign = matches!(escrow, Some(Escrow::Foreign { .. }));
    for (name, role, named, provider) in providers {
        let is_vendor = matches!(provider, Provider::Fireblocks | Provider::Privy);
        if is_vendor && named.is_some() && !is_foreign {
            // A vendor moves what lies at an address whose key the vendor has.
            rules.push(format!("{name} must be hsm or none unless escrowAddress is no key of this gateway"));
        }
        match provider {
            Provider::Hsm if is_foreign => {
                rules.push(format!("{name} must not be hsm while escrowAddress is no key of this gateway"));
            }
            Provider::Fireblocks if named.is_some() && !is_integrated(ctx, services, user, role).await? => {
                rules.push(format!("{name} fireblocks needs an active Fireblocks integration of that type"));
            }
            Provider::Privy if named.is_some() => {
                if !has_quorum(ctx, services, user, role).await? {
                    rules.push(format!("{name} privy needs a Privy quorum of that type"));
                }
                if user.privy_user_id.is_none() {
                    rules.push(format!("{name} privy needs a user who has a privyUserId"));
                }
            }
            Provider::Hsm | Provider::Fireblocks | Provider::Privy | Provider::None => {}
        }
    }
    if rules.is_empty() { Ok(()) } else { Err(Error::Invalid(rules)) }
}

/// Whether the user's integration of the role can be used as it stands.
async fn is_integrated(ctx: &OpCtx, services: &Services, user: &User, role: VendorRole) -> Result<bool> {
    let found = services.store.integration(ctx.organization, user.id, role).await?;
    Ok(found.is_some_and(|integration| matches!(integration.state, IntegrationState::Active(_))))
}

async fn has_quorum(ctx: &OpCtx, services: &Services, user: &User, role: VendorRole) -> Result<bool> {
    let found = services.store.quorum(ctx.organization, user.id, QuorumType::of(role)).await?;
    Ok(found.is_some())
}
