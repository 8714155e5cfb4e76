//! The one path to a signature: decide, permit, persist, sign, verify, persist, and only then release.

use std::{collections::BTreeSet, time::Duration};

use futures::future::try_join;
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    chain::{NodeError, NodeRejection, Pricing},
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    evaluations::Evaluation,
    ids::{AttemptId, PermitId},
    keys::{KeyPurpose, KeyRecord, KeyState},
    policy::{Approved, Decision, DenialReason, Open, PermitRecord, SigningPermit, issue_permit},
    ports::{Chain, Services},
    sealed::Sealed,
    transactions::{Assessment, Attempt, AttemptOutcome, FailureReason, Phase, State, Transaction, assess},
};

mod nonce;

/// What came of trying to sign.
#[derive(Debug)]
pub(crate) enum Signing {
    /// A signature is stored; the transaction moved on.
    Signed(Box<Released>),
    /// The transaction ended instead.
    Ended,
    /// Something needed is away or frozen; the same call may succeed later.
    Later(Duration),
    /// Another write came first.
    Contested,
}

/// A transaction as it was stored with its signature.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) transaction: Sealed<Transaction>,
    pub(crate) attempt: Sealed<Attempt>,
}

/// A decision, and what is stored of earlier tries.
struct Basis {
    approved: Approved,
    attempts: Vec<Sealed<Attempt>>,
    permits: Vec<Sealed<PermitRecord>>,
    /// Evaluations that were made for the decision and are not stored yet.
    fresh: Vec<Sealed<Evaluation>>,
}

/// What a permit is made of.
struct Draft<'a> {
    approved: Approved,
    /// The permit row for the same digest, left by a process that died before it signed.
    earlier: Option<&'a Sealed<PermitRecord>>,
    attempt: Attempt,
    is_new: bool,
    fresh: Vec<Sealed<Evaluation>>,
}

/// What was stored with a permit.
struct Prepared {
    transaction: Sealed<Transaction>,
    attempt: Sealed<Attempt>,
}

/// Signs an approved transaction, or its replacement when `replaces` names the attempt to outbid.
pub(crate) async fn sign(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    replaces: Option<&Attempt>,
) -> Result<Signing> {
    let organization = transaction.organization;
    let attempts = services.store.attempts(organization, transaction.id).await?;
    let permits = services.store.permits(organization, transaction.id).await?;
    let votes = services.store.votes(organization, transaction.id).await?;
    let stored = services.store.evaluations(organization, transaction.id).await?;
    let Assessment { decision, fresh } = assess(services, transaction, &votes, stored, None, ctx.now).await?;
    let approved = match decision {
        Decision::Approved(approved) => approved,
        // A signature is out and may still execute: nothing is rejected, and nothing more is signed.
        _ if replaces.is_some() => return Ok(Signing::Later(services.limits.unavailable_pause)),
        Decision::Denied(denial) => {
            return end(ctx, services, transaction, &attempts, State::rejected(&denial), fresh).await;
        }
        Decision::Pending(open) => {
            let state = approval_lost(&open);
            return end(ctx, services, transaction, &attempts, state, fresh).await;
        }
        Decision::Unheard(_) => return Err(Error::inconsistency("a decision without hearing every binding")),
    };
    if is_frozen(services, transaction).await? {
        return Ok(Signing::Later(services.limits.unavailable_pause));
    }
    let basis = Basis { approved, attempts, permits, fresh };
    sign_on(ctx, services, transaction, basis, replaces).await
}

/// Signs a transaction that was decided and stored a moment ago by this same process: nothing is read again. What
/// may have changed since, the permit's insert finds out.
pub(crate) async fn sign_decided(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    approved: Approved,
) -> Result<Signing> {
    let basis = Basis { approved, attempts: Vec::new(), permits: Vec::new(), fresh: Vec::new() };
    sign_on(ctx, services, transaction, basis, None).await
}

async fn sign_on(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    basis: Basis,
    replaces: Option<&Attempt>,
) -> Result<Signing> {
    let Basis { approved, attempts, permits, fresh } = basis;
    let Some(key) = usable_key(services, transaction).await? else {
        return Ok(Signing::Later(services.limits.unavailable_pause));
    };
    let chain = services.require_chain(transaction.intent.chain)?;
    let unsigned = attempts.iter().find(|attempt| attempt.outcome == AttemptOutcome::Prepared);
    let attempt = match unsigned {
        Some(attempt) => (**attempt).clone(),
        None => match new_attempt(ctx, services, chain, transaction, replaces).await? {
            Ok(attempt) => attempt,
            Err(Setback::Wait) => return Ok(Signing::Later(services.limits.unavailable_pause)),
            Err(Setback::Hopeless(_)) if replaces.is_some() => {
                return Ok(Signing::Later(services.limits.unavailable_pause));
            }
            Err(Setback::Hopeless(reason)) => {
                return end(ctx, services, transaction, &attempts, State::Failed { reason }, fresh).await;
            }
        },
    };
    let earlier = permits.iter().find(|permit| permit.digest == attempt.digest && permit.key == attempt.key);
    let is_new = unsigned.is_none();
    let draft = Draft { approved, earlier, attempt, is_new, fresh };
    match prepare(ctx, services, chain, transaction, draft).await? {
        Some((prepared, permit)) => release(ctx, services, chain, prepared, (permit, key)).await,
        None => Ok(Signing::Contested),
    }
}

/// Nothing leads back to pending: whoever asked must ask again.
fn approval_lost(open: &Open) -> State {
    let roles: Vec<String> = open.unmet.iter().map(|requirement| requirement.role.to_string()).collect();
    State::Rejected {
        reason: DenialReason::ApprovalLost,
        detail: format!("no longer approved by {}", roles.join(", ")),
        rejected_by: BTreeSet::new(),
    }
}

/// Why no attempt can be made now, or ever.
enum Setback {
    Wait,
    Hopeless(FailureReason),
}

async fn usable_key(services: &Services, transaction: &Transaction) -> Result<Option<Sealed<KeyRecord>>> {
    let intent = &transaction.intent;
    let key = services.store.key(transaction.organization, intent.key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the intent's key does not exist"))?;
    let fits = key.purpose == KeyPurpose::Wallet
        && key.kinds.contains(&intent.kind)
        && key.address == Some(intent.from);
    if !fits {
        return Err(Error::inconsistency("the intent's key is not the key of its address"));
    }
    Ok((key.state == KeyState::Active && !key.frozen).then_some(key))
}

async fn is_frozen(services: &Services, transaction: &Transaction) -> Result<bool> {
    let organization = services.store.organization(transaction.organization).await?;
    Ok(organization.is_none_or(|organization| organization.frozen))
}

async fn new_attempt(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    transaction: &Transaction,
    replaces: Option<&Attempt>,
) -> Result<Result<Attempt, Setback>> {
    let intent = &transaction.intent;
    let account = chain.node.account(intent.from);
    let pricing = chain.node.price(intent, replaces.map(|attempt| &attempt.pricing));
    let (account, pricing) = match try_join(account, pricing).await {
        Ok(answers) => answers,
        Err(error) => return Ok(Err(setback(&error))),
    };
    if replaces.is_none() && account.balance < worst_case(intent.value, &pricing) {
        return Ok(Err(Setback::Hopeless(FailureReason::InsufficientFunds)));
    }
    let nonce = if let Some(attempt) = replaces {
        attempt.nonce
    } else {
        let free = nonce::next(services, chain.id, intent.from, account.nonce).await?;
        let Some(nonce) = free else {
            tracing::error!(address = %intent.from, nonce = account.nonce, "the node counts what we never signed");
            metrics::counter!("countersign_nonce_contradictions_total").increment(1);
            return Ok(Err(Setback::Wait));
        };
        nonce
    };
    let payload = chain.codec.encode(intent, nonce, &pricing).map_err(Error::inconsistency)?;
    let projection = chain.codec.decode(&payload.bytes).map_err(Error::inconsistency)?;
    if intent.admits(&projection).is_err() {
        // The market, or a lying node, asks for more than was approved.
        return Ok(Err(Setback::Hopeless(FailureReason::CeilingExceeded)));
    }
    Ok(Ok(Attempt {
        id: AttemptId::generate(ctx.now, services.entropy.as_ref()),
        organization: transaction.organization,
        transaction: transaction.id,
        key: intent.key,
        chain: chain.id,
        address: intent.from,
        nonce,
        pricing,
        payload: payload.bytes,
        digest: payload.digest,
        outcome: AttemptOutcome::Prepared,
        version: 1,
        created_at: ctx.now,
    }))
}

fn worst_case(value: crate::U256, pricing: &Pricing) -> crate::U256 {
    let fees =
        crate::U256::from(pricing.gas_limit).saturating_mul(crate::U256::from(pricing.fee.max_per_gas()));
    value.saturating_add(fees)
}

fn setback(error: &NodeError) -> Setback {
    match error {
        NodeError::Unavailable(_) | NodeError::WrongChain => Setback::Wait,
        NodeError::Rejected(NodeRejection::InsufficientFunds) => {
            Setback::Hopeless(FailureReason::InsufficientFunds)
        }
        NodeError::Rejected(NodeRejection::FeeTooLow | NodeRejection::GasTooLow) => {
            Setback::Hopeless(FailureReason::CeilingExceeded)
        }
        NodeError::Rejected(
            NodeRejection::NonceTooLow
            | NodeRejection::ReplacementUnderpriced
            | NodeRejection::WrongChain
            | NodeRejection::Reverted
            | NodeRejection::Other,
        ) => Setback::Hopeless(FailureReason::Refused),
    }
}

/// Stores permit and attempt. The insert is the linearization point: whatever moved first wins.
async fn prepare(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    transaction: &Sealed<Transaction>,
    draft: Draft<'_>,
) -> Result<Option<(Prepared, SigningPermit)>> {
    let Draft { approved, earlier, attempt, is_new, fresh } = draft;
    let next = transaction.moved_to(transaction.state.clone(), ctx.now);
    let id = PermitId::generate(ctx.now, services.entropy.as_ref());
    let permit = issue_permit(&approved, &next, &attempt, chain.codec.as_ref(), id, ctx.now);
    let permit = permit.map_err(Error::inconsistency)?;
    let permit = match earlier {
        Some(previous) => permit.renewing(previous),
        None => permit,
    };
    let detail = json!({
        "permit": permit.record().id, "attempt": attempt.id, "nonce": attempt.nonce, "digest": attempt.digest,
        "intentHash": transaction.intent_hash, "policyRevision": permit.record().policy_revision,
    });
    let event = AuditEvent::new(ctx, "permit.issued", format!("transaction {}", transaction.id), detail);
    let next = services.sealer.seal(next);
    let attempt = services.sealer.seal(attempt);
    let record = services.sealer.seal(permit.record().clone());
    let mut changes = ChangeSet::new(event)
        .write(Write::UpdateTransaction(next.clone()))
        .writes_of(fresh.into_iter().map(Write::InsertEvaluation));
    if is_new {
        changes = changes.write(Write::InsertAttempt(attempt.clone()));
    }
    changes = changes.write(if earlier.is_some() {
        Write::RenewPermit(record)
    } else {
        Write::InsertPermit(record)
    });
    match services.store.commit(changes).await {
        Ok(()) => Ok(Some((Prepared { transaction: next, attempt }, permit))),
        Err(CommitError::Conflict(Contested::Version | Contested::Permit | Contested::Nonce)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Uses the stored permit: signs, checks that the bytes are signed by the intent's address, stores.
async fn release(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    prepared: Prepared,
    (permit, key): (SigningPermit, Sealed<KeyRecord>),
) -> Result<Signing> {
    let Prepared { transaction, attempt } = prepared;
    let signature = match services.signer.sign(&permit, &key).await {
        Ok(signature) => signature,
        Err(Error::Unavailable { retry_after, cause, .. }) => {
            tracing::warn!(transaction.id = %transaction.id, error = ?cause.0, "the HSM is away; the transaction waits");
            return Ok(Signing::Later(retry_after));
        }
        Err(error) => return Err(error),
    };
    let signed = chain.codec.assemble(&attempt.payload, &signature, transaction.intent.from);
    let signed = signed.map_err(Error::inconsistency)?;
    let state = match &transaction.state {
        State::Submitted { .. } => {
            State::Submitted { attempt: attempt.id, since: ctx.now, phase: Phase::Pushed }
        }
        _ => State::Signed { attempt: attempt.id },
    };
    let next = transaction.moved_to(state, ctx.now);
    let detail = json!({"attempt": attempt.id, "digest": attempt.digest, "transactionHash": signed.hash});
    let event = AuditEvent::new(ctx, "transaction.signed", format!("transaction {}", transaction.id), detail);
    let outcome = AttemptOutcome::Signed { raw: signed.raw, hash: signed.hash };
    let next = services.sealer.seal(next);
    let attempt = services.sealer.seal(attempt.with_outcome(outcome));
    let changes = ChangeSet::new(event)
        .write(Write::UpdateTransaction(next.clone()))
        .write(Write::UpdateAttempt(attempt.clone()));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Signing::Signed(Box::new(Released { transaction: next, attempt }))),
        // The first stored signature wins; this one is dropped.
        Err(CommitError::Conflict(_)) => Ok(Signing::Contested),
        Err(error) => Err(error.into()),
    }
}

/// Ends a transaction for which no signature exists, and frees what it held.
pub(crate) async fn end(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    attempts: &[Sealed<Attempt>],
    state: State,
    fresh: Vec<Sealed<Evaluation>>,
) -> Result<Signing> {
    let next = services.sealer.seal(transaction.moved_to(state, ctx.now));
    let detail = json!({"state": &next.state});
    // A gateway that is signing right now finds the transaction moved, and drops its signature.
    let unsigned = attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Prepared);
    let freed = unsigned.map(|attempt| services.sealer.seal(attempt.with_outcome(AttemptOutcome::Released)));
    let event = AuditEvent::new(ctx, "transaction.ended", format!("transaction {}", transaction.id), detail);
    let changes = ChangeSet::new(event)
        .write(Write::UpdateTransaction(next))
        .writes_of(freed.map(Write::UpdateAttempt))
        .writes_of(fresh.into_iter().map(Write::InsertEvaluation));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Signing::Ended),
        Err(CommitError::Conflict(_)) => Ok(Signing::Contested),
        Err(error) => Err(error.into()),
    }
}
