//! Carrying a call to the registry on: price, persist, sign, persist, send, follow, outbid. Every step can be repeated.

use std::time::Duration;

use futures::future::try_join;
use serde_json::json;

use crate::{
    B256,
    actor::OpCtx,
    audit::AuditEvent,
    chain::Inclusion,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ids::{PrincipalId, RelayId},
    keys::{KeyPurpose, KeyRecord, KeyState},
    ports::{Chain, Services},
    registry::{
        RegistryCall, RegistryTarget, Relay, RelayFailure, RelayOrder, RelayOutcome, RelayQuota, call_intent,
    },
    sealed::Sealed,
    signing::{Holder, next_nonce},
};

/// Where a call stands after as much as could be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayProgress {
    Recorded {
        hash: B256,
        block: u64,
    },
    Failed {
        reason: RelayFailure,
    },
    /// It was never sent; another call may take its place.
    Abandoned,
    /// Look again after this.
    Again(Duration),
}

/// What one step came to.
enum Step {
    /// Something was stored; the next step follows at once.
    Moved,
    Stop(RelayProgress),
}

/// The registry, or why there is none.
pub fn require_registry(services: &Services) -> Result<&RegistryTarget> {
    services
        .publication
        .registry
        .as_ref()
        .ok_or_else(|| Error::unavailable("the registry", "`onchain_registry.address` is not configured"))
}

/// What a call is made for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    pub id: RelayId,
    /// In whose name.
    pub user: PrincipalId,
    pub call: RegistryCall,
}

/// Calls are counted over this.
const DAY: Duration = Duration::from_hours(24);

/// Whoever has used up their calls waits this long before the next look.
const ROOM_PAUSE: Duration = Duration::from_hours(1);

async fn quota(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    user: PrincipalId,
) -> Result<RelayQuota> {
    let user = services.store.user(ctx.organization, user).await?.ok_or(Error::NotFound("user"))?;
    Ok(RelayQuota { calls: target.calls, self_registered: user.self_registered, since: ctx.now.minus(DAY) })
}

/// What whoever asks for another call is told.
pub(crate) const CALLS_USED_UP: &str = "too much was put on record today in the user's name, the organization's or by users who enrolled themselves";

/// Whether another call may be made in the user's name now. Cheap and early; the insertion is conditional on it as well.
pub(crate) async fn calls_left(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    user: PrincipalId,
) -> Result<bool> {
    let quota = quota(ctx, services, target, user).await?;
    Ok(quota.has_room(services.store.relay_counts(ctx.organization, user, quota.since).await?))
}

/// Carries a call on, beginning it if it does not exist.
pub async fn carry_relay(ctx: &OpCtx, services: &Services, purpose: &Purpose) -> Result<RelayProgress> {
    let target = require_registry(services)?;
    for _ in 0..services.limits.contest_attempts_max {
        let step = match services.store.relay(ctx.organization, purpose.id).await? {
            Some(relay) => step(ctx, services, target, &relay).await?,
            None => begin(ctx, services, target, purpose).await?,
        };
        if let Step::Stop(progress) = step {
            return Ok(progress);
        }
    }
    Ok(RelayProgress::Again(services.limits.unavailable_pause))
}

async fn step(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    relay: &Sealed<Relay>,
) -> Result<Step> {
    match &relay.outcome {
        RelayOutcome::Prepared => sign(ctx, services, target, relay).await,
        RelayOutcome::Signed { raw, hash } => follow(ctx, services, target, relay, Some((raw, *hash))).await,
        RelayOutcome::Abandoned => Ok(Step::Stop(RelayProgress::Abandoned)),
        RelayOutcome::Recorded { hash, block } => {
            Ok(Step::Stop(RelayProgress::Recorded { hash: *hash, block: *block }))
        }
        RelayOutcome::Failed { reason, .. } => Ok(Step::Stop(RelayProgress::Failed { reason: *reason })),
    }
}

fn wait(services: &Services) -> Step {
    again(services.limits.unavailable_pause)
}

fn again(after: Duration) -> Step {
    Step::Stop(RelayProgress::Again(after))
}

/// Stores the call with a nonce of its own.
async fn begin(ctx: &OpCtx, services: &Services, target: &RegistryTarget, purpose: &Purpose) -> Result<Step> {
    let Purpose { id, user, call } = purpose;
    if !calls_left(ctx, services, target, *user).await? {
        tracing::warn!(relay.id = %id, user.id = %user, "a registry call waits: too many were made today");
        return Ok(again(ROOM_PAUSE));
    }
    let (key, address) = relayer(ctx, services).await?;
    if !is_usable(&key) || is_frozen(ctx, services).await? {
        return Ok(wait(services));
    }
    let chain = services.require_chain(target.chain)?;
    let intent = call_intent((ctx.organization, *id), (key.id, address), call, target);
    let (account, pricing) = match try_join(chain.node.account(address), chain.node.price(&intent, None))
        .await
    {
        Ok(answers) => answers,
        Err(error) => {
            tracing::warn!(relay.id = %id, %error, relayer = %address, "a registry call cannot be priced; does the \
                 relayer have funds?");
            return Ok(wait(services));
        }
    };
    let turn = services.nonces.turn(address).await;
    let Some(reserved) = next_nonce(services, (chain.id, address), (account.nonce, Holder::Token)).await?
    else {
        tracing::error!(relayer = %address, nonce = account.nonce, "the node counts what the relayer never signed");
        return Ok(wait(services));
    };
    let nonce = reserved.nonce;
    let payload = chain.codec.encode(&intent, nonce, &pricing).map_err(Error::inconsistency)?;
    let relay = Relay {
        id: *id,
        organization: ctx.organization,
        key: key.id,
        user: *user,
        chain: target.chain,
        address,
        registry: target.address,
        call: *call,
        nonce,
        pricing,
        payload: payload.bytes,
        digest: payload.digest,
        outcome: RelayOutcome::Prepared,
        outbid: Vec::new(),
        bid_at: ctx.now,
        version: 1,
        created_at: ctx.now,
    };
    if let Err(error) = RelayOrder::of(&relay, target, chain.codec.as_ref()) {
        tracing::warn!(relay.id = %id, %error, "a registry call waits: the market lies above its ceilings");
        return Ok(wait(services));
    }
    let detail = json!({"call": call, "nonce": nonce, "digest": relay.digest, "relayer": address});
    let event = AuditEvent::new(ctx, "relay.prepared", format!("relay {id}"), detail);
    let changes = ChangeSet::new(event)
        .write(Write::InsertRelay(services.sealer.seal(relay), quota(ctx, services, target, *user).await?))
        .writes_of(reserved.condition());
    let committed = services.store.commit(changes).await;
    drop(turn);
    match committed {
        Ok(()) | Err(CommitError::Conflict(Contested::Nonce | Contested::Duplicate)) => Ok(Step::Moved),
        // Frozen a moment ago, or too many at once.
        Err(CommitError::Conflict(Contested::Relay)) => Ok(wait(services)),
        Err(error) => Err(error.into()),
    }
}

/// The organization's newest active relayer key and its address.
async fn relayer(ctx: &OpCtx, services: &Services) -> Result<(Sealed<KeyRecord>, crate::Address)> {
    let keys = services.store.key_list(ctx.organization).await?;
    let key = keys
        .into_iter()
        .filter(|key| key.purpose == KeyPurpose::Relayer && key.state == KeyState::Active)
        .max_by_key(|key| key.created_at);
    let key = key.ok_or_else(|| {
        Error::unavailable(
            "the registry",
            "the organization has no relayer key: run `countersign key relayer`",
        )
    })?;
    let address = key.address.ok_or_else(|| Error::inconsistency("a relayer key without an address"))?;
    Ok((key, address))
}

/// A frozen organization's relayer signs nothing.
async fn is_frozen(ctx: &OpCtx, services: &Services) -> Result<bool> {
    let organization = services.store.organization(ctx.organization).await?;
    Ok(organization.is_none_or(|organization| organization.frozen))
}

fn is_usable(key: &KeyRecord) -> bool {
    key.state == KeyState::Active && !key.frozen
}

/// The key that the call was prepared for.
async fn key_of(services: &Services, relay: &Relay) -> Result<Sealed<KeyRecord>> {
    let key = services.store.key(relay.organization, relay.key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the relay's key does not exist"))?;
    if key.purpose != KeyPurpose::Relayer || key.address != Some(relay.address) {
        return Err(Error::inconsistency("the relay's key is not the relayer"));
    }
    Ok(key)
}

async fn sign(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    relay: &Sealed<Relay>,
) -> Result<Step> {
    // Of a first bid no signature was ever stored, let alone sent.
    let is_first = relay.outbid.is_empty();
    let key = key_of(services, relay).await?;
    let is_elsewhere = (relay.chain, relay.registry) != (target.chain, target.address);
    if is_first && (is_elsewhere || key.state == KeyState::Retired) {
        return finish(ctx, services, relay, RelayOutcome::Abandoned).await;
    }
    let chain = services.require_chain(relay.chain)?;
    if !is_usable(&key) || is_frozen(ctx, services).await? {
        return follow_outbid(ctx, services, target, relay).await;
    }
    let order = match RelayOrder::of(relay, &contract_of(relay, target), chain.codec.as_ref()) {
        Ok(order) => order,
        Err(error) => {
            tracing::warn!(relay.id = %relay.id, %error, "a registry call is no longer one that may be signed");
            if is_first {
                return finish(ctx, services, relay, RelayOutcome::Abandoned).await;
            }
            return follow_outbid(ctx, services, target, relay).await;
        }
    };
    let signature = match services.publication.relayer.sign_relay(&order, &key).await {
        Ok(signature) => signature,
        Err(Error::Unavailable { retry_after, cause, .. }) => {
            tracing::warn!(relay.id = %relay.id, error = ?cause.0, "the HSM is away; the registry call waits");
            return Ok(again(retry_after));
        }
        Err(error) => return Err(error),
    };
    let signed =
        chain.codec.assemble(&relay.payload, &signature, relay.address).map_err(Error::inconsistency)?;
    let outcome = RelayOutcome::Signed { raw: signed.raw, hash: signed.hash };
    store(ctx, services, next_outcome(relay, outcome), "relay.signed").await?;
    Ok(Step::Moved)
}

/// The contract that the call went to. The one of the configuration may be another by now.
fn contract_of(relay: &Relay, target: &RegistryTarget) -> RegistryTarget {
    RegistryTarget { chain: relay.chain, address: relay.registry, ..*target }
}

/// Waits for a bid that cannot be signed now, looking for receipts of those before it.
async fn follow_outbid(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    relay: &Sealed<Relay>,
) -> Result<Step> {
    if relay.outbid.is_empty() {
        Ok(wait(services))
    } else {
        follow(ctx, services, target, relay, None).await
    }
}

/// Looks for receipts of every bid, sends the present one, and outbids it when the network leaves it lying.
async fn follow(
    ctx: &OpCtx,
    services: &Services,
    target: &RegistryTarget,
    relay: &Sealed<Relay>,
    present: Option<(&[u8], B256)>,
) -> Result<Step> {
    let chain = services.require_chain(relay.chain)?;
    let newest = present.map(|(_, hash)| hash);
    let bids: Vec<B256> = newest.into_iter().chain(relay.outbid.iter().rev().copied()).collect();
    let mut queued = Vec::new();
    for bid in &bids {
        match chain.node.inclusion(*bid).await {
            Ok(Inclusion::Mined { confirmations, .. }) if confirmations < chain.confirmations => {
                return Ok(again(services.limits.poll_interval));
            }
            Ok(Inclusion::Mined { block, succeeded, .. }) => {
                let outcome = if succeeded {
                    RelayOutcome::Recorded { hash: *bid, block }
                } else {
                    RelayOutcome::Failed { hash: *bid, reason: RelayFailure::Reverted }
                };
                return finish(ctx, services, relay, outcome).await;
            }
            Ok(Inclusion::Queued) => queued.push(*bid),
            Ok(Inclusion::Unknown) => {}
            Err(error) => {
                tracing::warn!(%error, "the chain node is away; the registry call waits");
                return Ok(wait(services));
            }
        }
    }
    let has_waited = ctx.now.since(relay.bid_at) >= chain.stuck_after;
    // Only what the node has taken can be outbid.
    if let Some(hash) = newest.filter(|hash| queued.contains(hash)) {
        return if has_waited {
            outbid(ctx, services, (target, chain), relay, hash).await
        } else {
            Ok(again(services.limits.poll_interval))
        };
    }
    if let Some(hash) = bids.first().copied()
        && queued.is_empty()
        && has_waited
        && is_displaced(chain, relay, &bids).await
    {
        let outcome = RelayOutcome::Failed { hash, reason: RelayFailure::NonceTaken };
        return finish(ctx, services, relay, outcome).await;
    }
    let Some((raw, _)) = present else { return Ok(wait(services)) };
    match chain.node.broadcast(raw).await {
        Ok(()) => Ok(again(services.limits.poll_interval)),
        Err(error) => {
            tracing::warn!(relay.id = %relay.id, %error, "a registry call could not be sent");
            Ok(wait(services))
        }
    }
}

/// Offers more under the same nonce, within the same ceilings.
async fn outbid(
    ctx: &OpCtx,
    services: &Services,
    (target, chain): (&RegistryTarget, &Chain),
    relay: &Sealed<Relay>,
    hash: B256,
) -> Result<Step> {
    if !is_usable(&*key_of(services, relay).await?) || is_frozen(ctx, services).await? {
        return Ok(wait(services));
    }
    let target = &contract_of(relay, target);
    let intent = relay.intent(target);
    let pricing = match chain.node.price(&intent, Some(&relay.pricing)).await {
        Ok(pricing) => pricing,
        Err(error) => {
            tracing::warn!(relay.id = %relay.id, %error, "a stuck registry call cannot be outbid");
            return Ok(wait(services));
        }
    };
    let payload = chain.codec.encode(&intent, relay.nonce, &pricing).map_err(Error::inconsistency)?;
    let next = Relay {
        pricing,
        payload: payload.bytes,
        digest: payload.digest,
        outbid: relay.outbid.iter().copied().chain([hash]).collect(),
        bid_at: ctx.now,
        ..next_outcome(relay, RelayOutcome::Prepared)
    };
    if let Err(error) = RelayOrder::of(&next, target, chain.codec.as_ref()) {
        tracing::warn!(relay.id = %relay.id, %error, "a stuck registry call cannot be outbid within its ceilings");
        return Ok(wait(services));
    }
    store(ctx, services, next, "relay.outbid").await?;
    Ok(Step::Moved)
}

/// Whether something else used the nonce for good. A node that does not answer has said no.
async fn is_displaced(chain: &Chain, relay: &Relay, bids: &[B256]) -> bool {
    chain.node.displaced((relay.address, relay.nonce), bids, chain.confirmations).await.unwrap_or(false)
}

async fn finish(
    ctx: &OpCtx,
    services: &Services,
    relay: &Sealed<Relay>,
    outcome: RelayOutcome,
) -> Result<Step> {
    let action = match outcome {
        RelayOutcome::Recorded { .. } => "relay.recorded",
        RelayOutcome::Abandoned => "relay.abandoned",
        RelayOutcome::Prepared | RelayOutcome::Signed { .. } | RelayOutcome::Failed { .. } => "relay.failed",
    };
    store(ctx, services, next_outcome(relay, outcome), action).await?;
    Ok(Step::Moved)
}

fn next_outcome(relay: &Relay, outcome: RelayOutcome) -> Relay {
    Relay { outcome, version: relay.version + 1, ..relay.clone() }
}

async fn store(ctx: &OpCtx, services: &Services, next: Relay, action: &'static str) -> Result<()> {
    let detail = json!({"outcome": next.outcome.name(), "digest": next.digest});
    let event = AuditEvent::new(ctx, action, format!("relay {}", next.id), detail);
    let changes = ChangeSet::new(event).write(Write::UpdateRelay(services.sealer.seal(next)));
    match services.store.commit(changes).await {
        // Another worker came first; the next look shows what it stored.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
