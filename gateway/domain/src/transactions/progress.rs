//! Carrying a transaction on, one safe step after another, whoever asks: the request that made it, the outbox
//! after a crash, or a worker that follows its receipts. Every step can be repeated.

use std::time::Duration;

use serde_json::json;

use crate::{
    B256,
    actor::OpCtx,
    audit::AuditEvent,
    chain::{Inclusion, NodeError},
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    evaluations::Fresh,
    ids::{OrganizationId, TransactionId},
    policy::Decision,
    ports::{Chain, Services},
    sealed::Sealed,
    signing::{Released, Signing, end, sign, sign_decided},
    transactions::{
        Assessment, Attempt, AttemptOutcome, Created, FailureReason, Phase, Provider, State, Transaction,
        assess, hear_shadows,
    },
};

mod hand_over;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The transaction is final, or somebody else executes it.
    Done,
    /// Look again after this.
    Again(Duration),
}

enum Step {
    Moved,
    Stop(Progress),
}

/// Takes the transaction as far as it can go now, and has its shadows heard after that.
pub async fn advance(
    services: &Services,
    organization: OrganizationId,
    id: TransactionId,
) -> Result<Progress> {
    let progress = take_on(services, organization, id).await?;
    let ctx = OpCtx::gateway(organization, services.clock.now());
    if let Err(error) = hear_shadows(&ctx, services, id).await {
        tracing::warn!(transaction.id = %id, %error, cause = ?error.internal_cause(), "shadows were not heard");
    }
    Ok(progress)
}

async fn take_on(services: &Services, organization: OrganizationId, id: TransactionId) -> Result<Progress> {
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.transaction(organization, id).await.inspect_err(count_invalid)?;
        let transaction = found.ok_or(Error::NotFound("transaction"))?;
        let ctx = OpCtx::gateway(organization, services.clock.now());
        let step = match step(&ctx, services, &transaction).await {
            Err(Error::Inconsistency(cause)) => give_up(&ctx, services, &transaction, cause).await?,
            other => other?,
        };
        if let Step::Stop(progress) = step {
            return Ok(progress);
        }
    }
    Ok(Progress::Again(services.limits.unavailable_pause))
}

/// Carries on what [`super::create`] has just made: an approved transaction is signed on the decision that was made
/// for it, everything else is left to [`advance`].
pub async fn carry_on(services: &Services, created: Created) -> Result<Progress> {
    let (organization, id) = (created.transaction.organization, created.transaction.id);
    let signs = matches!(created.transaction.provider, Provider::Hsm | Provider::Privy);
    let approved = created.approved.filter(|_| signs);
    if let Some(approved) = approved {
        let ctx = OpCtx::gateway(organization, services.clock.now());
        let transaction = services.sealer.seal(created.transaction);
        match sign_decided(&ctx, services, &transaction, approved).await? {
            Signing::Signed(released) => {
                if let Step::Stop(progress) = send_released(&ctx, services, &released).await? {
                    return Ok(progress);
                }
            }
            Signing::Later(pause) => return Ok(Progress::Again(pause)),
            Signing::Ended | Signing::Contested => {}
        }
    }
    take_on(services, organization, id).await
}

async fn step(ctx: &OpCtx, services: &Services, transaction: &Sealed<Transaction>) -> Result<Step> {
    match &transaction.state {
        State::Pending => expire(ctx, services, transaction).await,
        State::Approved => match transaction.provider {
            Provider::Hsm | Provider::Privy => sign_now(ctx, services, transaction).await,
            Provider::Fireblocks => hand_over::hand_over(ctx, services, transaction).await,
            Provider::None => Ok(Step::Stop(Progress::Done)),
        },
        State::Signed { .. } => send(ctx, services, transaction).await,
        State::Submitted { .. } => follow(ctx, services, transaction).await,
        State::HandedOver { .. } => hand_over::follow(ctx, services, transaction).await,
        State::Executed { .. }
        | State::ExecutedByVendor { .. }
        | State::Settled { .. }
        | State::Rejected { .. }
        | State::Aborted
        | State::Failed { .. } => Ok(Step::Stop(Progress::Done)),
    }
}

async fn expire(ctx: &OpCtx, services: &Services, transaction: &Sealed<Transaction>) -> Result<Step> {
    let expires_at = transaction.snapshot.expires_at;
    if ctx.now < expires_at {
        return Ok(Step::Stop(Progress::Again(expires_at.since(ctx.now))));
    }
    let votes = services.store.votes(ctx.organization, transaction.id).await?;
    let stored = services.store.evaluations(ctx.organization, transaction.id).await?;
    let Assessment { decision, fresh, .. } =
        assess(services, transaction, &votes, stored, None, ctx.now).await?;
    let Decision::Denied(denial) = decision else {
        return Err(Error::inconsistency("an expired transaction was not denied"));
    };
    end(ctx, services, transaction, &[], State::rejected(&denial), fresh).await?;
    Ok(Step::Moved)
}

async fn sign_now(ctx: &OpCtx, services: &Services, transaction: &Sealed<Transaction>) -> Result<Step> {
    match sign(ctx, services, transaction, None).await? {
        Signing::Signed(released) => send_released(ctx, services, &released).await,
        Signing::Ended | Signing::Contested => Ok(Step::Moved),
        Signing::Later(pause) => Ok(Step::Stop(Progress::Again(pause))),
    }
}

/// First broadcast. Whatever the node answers but silence, the transaction may now execute and is followed.
async fn send(ctx: &OpCtx, services: &Services, transaction: &Sealed<Transaction>) -> Result<Step> {
    let State::Signed { attempt } = &transaction.state else { return Ok(Step::Moved) };
    let attempts = services.store.attempts(ctx.organization, transaction.id).await?;
    let signed = attempts.into_iter().find(|candidate| candidate.id == *attempt);
    let attempt = signed.ok_or_else(|| Error::inconsistency("a signed transaction without its attempt"))?;
    send_released(ctx, services, &Released { transaction: transaction.clone(), attempt }).await
}

async fn send_released(ctx: &OpCtx, services: &Services, signed: &Released) -> Result<Step> {
    let Released { transaction, attempt } = signed;
    let Some((raw, _)) = released(attempt) else {
        return Err(Error::inconsistency("a signed transaction without its signature"));
    };
    let chain = services.require_chain(transaction.intent.chain)?;
    let phase = match chain.node.broadcast(raw).await {
        Ok(()) => Phase::Pushed,
        Err(NodeError::Rejected(rejection)) => {
            tracing::warn!(transaction.id = %transaction.id, ?rejection, "the node refused a signed transaction");
            Phase::Stuck
        }
        Err(error @ (NodeError::Unavailable(_) | NodeError::WrongChain)) => {
            return Ok(wait(services, &error));
        }
    };
    let state = State::Submitted { attempt: attempt.id, since: ctx.now, phase };
    store(ctx, services, transaction, state, "transaction.submitted").await?;
    Ok(Step::Stop(Progress::Again(services.limits.poll_interval)))
}

/// Looks for receipts of every signature this transaction ever released.
async fn follow(ctx: &OpCtx, services: &Services, transaction: &Sealed<Transaction>) -> Result<Step> {
    let State::Submitted { attempt: current, since, phase } = &transaction.state else {
        return Ok(Step::Moved);
    };
    let chain = services.require_chain(transaction.intent.chain)?;
    let attempts = services.store.attempts(ctx.organization, transaction.id).await?;
    let (mut any_queued, mut current_queued) = (false, false);
    for attempt in attempts.iter().rev() {
        let Some((_, hash)) = released(attempt) else { continue };
        match chain.node.inclusion(hash).await {
            Ok(Inclusion::Mined { block, confirmations, succeeded, .. }) => {
                let state = if confirmations >= chain.confirmations {
                    State::Executed { attempt: attempt.id, hash, block, reverted: !succeeded }
                } else {
                    State::Submitted { attempt: attempt.id, since: *since, phase: Phase::Mined { block } }
                };
                return settle(ctx, services, transaction, state).await;
            }
            Ok(Inclusion::Queued) => {
                any_queued = true;
                current_queued |= attempt.id == *current;
            }
            Ok(Inclusion::Unknown) => {}
            Err(error) => return Ok(wait(services, &error)),
        }
    }
    let Some(latest) = attempts.iter().find(|attempt| attempt.id == *current) else {
        return Err(Error::inconsistency("a submitted transaction without its attempt"));
    };
    if !current_queued
        && let Some(step) =
            missing(ctx, services, chain, transaction, (latest, &attempts, any_queued)).await?
    {
        return Ok(step);
    }
    // Only what the node has taken can be outbid.
    if current_queued && ctx.now.since(*since) >= chain.stuck_after {
        return replace(ctx, services, transaction, latest).await;
    }
    let next = if current_queued { Phase::Queued } else { *phase };
    let state = State::Submitted { attempt: *current, since: *since, phase: next };
    settle(ctx, services, transaction, state).await
}

/// The node does not know our newest signature: either something else used the nonce for good, or it must be sent
/// (again).
async fn missing(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    transaction: &Sealed<Transaction>,
    (latest, attempts, any_queued): (&Attempt, &[Sealed<Attempt>], bool),
) -> Result<Option<Step>> {
    let State::Submitted { since, .. } = &transaction.state else { return Ok(None) };
    // One answer proves nothing: it must still stand when the transaction has been missing for as long as it takes to
    // call one stuck.
    let has_waited = ctx.now.since(*since) >= chain.stuck_after;
    let ours: Vec<B256> =
        attempts.iter().filter_map(|attempt| released(attempt)).map(|(_, hash)| hash).collect();
    let account = (latest.address, latest.nonce);
    match chain.node.displaced(account, &ours, chain.confirmations).await {
        Ok(true) if has_waited && !any_queued => {
            let state = State::Failed { reason: FailureReason::NonceTaken };
            return store(ctx, services, transaction, state, "transaction.failed").await.map(Some);
        }
        Ok(_) => {}
        Err(error) => return Ok(Some(wait(services, &error))),
    }
    let Some((raw, _)) = released(latest) else { return Ok(None) };
    match chain.node.broadcast(raw).await {
        Ok(()) | Err(NodeError::Rejected(_)) => Ok(None),
        Err(error) => Ok(Some(wait(services, &error))),
    }
}

async fn replace(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    latest: &Attempt,
) -> Result<Step> {
    match sign(ctx, services, transaction, Some(latest)).await? {
        // The next look finds the new signature unknown to the node and sends it.
        Signing::Signed(_) | Signing::Contested | Signing::Ended => Ok(Step::Moved),
        Signing::Later(pause) => Ok(Step::Stop(Progress::Again(pause))),
    }
}

fn released(attempt: &Attempt) -> Option<(&[u8], B256)> {
    match &attempt.outcome {
        AttemptOutcome::Signed { raw, hash } => Some((raw, *hash)),
        AttemptOutcome::Prepared | AttemptOutcome::Released => None,
    }
}

fn wait(services: &Services, error: &NodeError) -> Step {
    tracing::warn!(%error, "the chain node is away; the transaction waits");
    Step::Stop(Progress::Again(services.limits.unavailable_pause))
}

/// Stores `state` if it says anything new, and looks again later unless it is final.
async fn settle(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    state: State,
) -> Result<Step> {
    if state != transaction.state {
        let action = if state.is_final() { "transaction.executed" } else { "transaction.followed" };
        let is_final = state.is_final();
        store(ctx, services, transaction, state, action).await?;
        if is_final {
            return Ok(Step::Moved);
        }
    }
    Ok(Step::Stop(Progress::Again(services.limits.poll_interval)))
}

async fn store(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    state: State,
    action: &'static str,
) -> Result<Step> {
    let event =
        AuditEvent::new(ctx, action, format!("transaction {}", transaction.id), json!({"state": &state}));
    let next = services.sealer.seal(transaction.moved_to(state, ctx.now));
    match services.store.commit(ChangeSet::new(event).write(Write::UpdateTransaction(next))).await {
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(Step::Moved),
        Err(error) => Err(error.into()),
    }
}

/// Stored evidence does not hold. Without a signature the transaction fails; with one it is left for people.
async fn give_up(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    cause: crate::error::Internal,
) -> Result<Step> {
    tracing::error!(transaction.id = %transaction.id, error = %cause.0, "stored evidence is invalid");
    count_invalid(&Error::Inconsistency(cause));
    if transaction.state.is_released() || transaction.state.is_final() {
        return Ok(Step::Stop(Progress::Again(services.limits.evidence_pause)));
    }
    // Attempts whose own seals are broken keep their nonces: nobody can say what became of them.
    let attempts = services.store.attempts(ctx.organization, transaction.id).await.unwrap_or_default();
    let state = State::Failed { reason: FailureReason::EvidenceInvalid };
    end(ctx, services, transaction, &attempts, state, Fresh::default()).await?;
    Ok(Step::Moved)
}

/// The metric that operators alarm on: somebody or something changed what was sealed.
fn count_invalid(error: &Error) {
    if matches!(error, Error::Inconsistency(_)) {
        metrics::counter!("countersign_evidence_invalid_total").increment(1);
    }
}
