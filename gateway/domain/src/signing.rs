//! The one path to a signature: decide, permit, persist, sign, verify, persist, and only then release.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::B256;
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    evaluations::{Fresh, retain},
    keys::{KeyPurpose, KeyRecord},
    policy::{Approved, Decision, DenialReason, Open, PermitRecord, SigningPermit},
    ports::{Chain, Services},
    quorums::PrivySigning,
    sealed::Sealed,
    transactions::{
        Assessment, Attempt, AttemptOutcome, FailureReason, Phase, Provider, State, Transaction, assess,
    },
    vendors::VendorError,
};

mod draft;
mod issue;
mod nonce;

use draft::{Drafted, Quote, Setback, draft, quote};
use issue::{Decided, Issued, Prepared, issue};
pub use nonce::NonceReservations;
pub(crate) use nonce::{Holder, next as next_nonce};

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

/// What a permit is made from.
struct Basis {
    approved: Approved,
    material: Material,
    /// What is stored of earlier tries.
    attempts: Vec<Sealed<Attempt>>,
    permits: Vec<Sealed<PermitRecord>>,
    /// What was heard for the decision and is not stored yet.
    fresh: Fresh,
}

/// Where the bytes to be signed come from.
enum Material {
    /// An attempt that a process left unsigned when it died.
    Unsigned(Attempt),
    /// A new attempt, under what the node quoted.
    Quoted(Quote),
}

impl Material {
    /// What would be signed, as far as it is known already.
    fn digest(&self) -> Option<B256> {
        match self {
            Self::Unsigned(attempt) => Some(attempt.digest),
            Self::Quoted(_) => None,
        }
    }
}

/// Signs an approved transaction, or its replacement when `replaces` names the attempt to outbid.
///
/// The node is asked first. Whatever it takes its time for, nothing that was checked grows old meanwhile (T13).
pub(crate) async fn sign(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    replaces: Option<&Attempt>,
) -> Result<Signing> {
    let organization = transaction.organization;
    let attempts = services.store.attempts(organization, transaction.id).await?;
    let permits = services.store.permits(organization, transaction.id).await?;
    if transaction.is_overdue(ctx.now) {
        return expire(ctx, services, transaction, &attempts, &permits).await;
    }
    let unsigned = attempts.iter().find(|attempt| attempt.outcome == AttemptOutcome::Prepared);
    let material = match unsigned {
        Some(attempt) => Material::Unsigned((**attempt).clone()),
        None => match quote(services, transaction, replaces).await? {
            Ok(quote) => Material::Quoted(quote),
            Err(setback) => {
                let tried =
                    Tried { attempts: &attempts, replaces: replaces.is_some(), fresh: Fresh::default() };
                return give_way(ctx, services, transaction, setback, tried).await;
            }
        },
    };

    let ctx = &OpCtx { now: services.clock.now(), ..ctx.clone() };
    let votes = services.store.votes(organization, transaction.id).await?;
    let stored = services.store.evaluations(organization, transaction.id).await?;
    let Assessment { decision, fresh, .. } =
        assess(services, transaction, &votes, stored, None, ctx.now).await?;
    let approved = match decision {
        Decision::Approved(approved) => approved,
        // A signature is out and may still execute: nothing is rejected, and nothing more is signed.
        _ if replaces.is_some() => {
            retain(ctx, services, transaction, fresh).await?;
            return Ok(Signing::Later(services.limits.unavailable_pause));
        }
        Decision::Denied(denial) => {
            return end(ctx, services, transaction, &attempts, State::rejected(&denial), fresh).await;
        }
        Decision::Pending(open) => {
            return end(ctx, services, transaction, &attempts, approval_lost(&open), fresh).await;
        }
        Decision::Unheard(_) => return Err(Error::inconsistency("a decision without hearing every binding")),
    };
    if is_frozen(services, transaction).await? {
        retain(ctx, services, transaction, fresh).await?;
        return Ok(Signing::Later(services.limits.unavailable_pause));
    }
    let basis = Basis { approved, material, attempts, permits, fresh };
    sign_on(ctx, services, transaction, basis, replaces.is_some()).await
}

/// Signs a transaction that was decided and stored a moment ago by this same process: nothing is read again. What
/// may have changed since, the permit's insert finds out: it is conditional on the standing that the decision saw.
pub(crate) async fn sign_decided(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    approved: Approved,
) -> Result<Signing> {
    let (attempts, permits, fresh) = (Vec::new(), Vec::new(), Fresh::default());
    match quote(services, transaction, None).await? {
        Ok(quote) => {
            let basis = Basis { approved, material: Material::Quoted(quote), attempts, permits, fresh };
            sign_on(ctx, services, transaction, basis, false).await
        }
        Err(setback) => {
            let tried = Tried { attempts: &attempts, replaces: false, fresh };
            give_way(ctx, services, transaction, setback, tried).await
        }
    }
}

/// Issues the permit and signs. A nonce that somebody else took costs another encoding, nothing more.
async fn sign_on(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    basis: Basis,
    replaces: bool,
) -> Result<Signing> {
    let Basis { approved, material, attempts, permits, fresh } = basis;
    let Some(key) = usable_key(services, transaction).await? else {
        retain(ctx, services, transaction, fresh).await?;
        return Ok(Signing::Later(services.limits.unavailable_pause));
    };
    let chain = services.require_chain(transaction.intent.chain)?;
    for _ in 0..services.limits.contest_attempts_max {
        let drafted = match &material {
            Material::Unsigned(attempt) => Ok(Drafted::again(attempt, &permits)),
            Material::Quoted(quote) => draft(ctx, services, chain, transaction, quote).await?,
        };
        let drafted = match drafted {
            Ok(drafted) => drafted,
            Err(setback) => {
                let tried = Tried { attempts: &attempts, replaces, fresh };
                return give_way(ctx, services, transaction, setback, tried).await;
            }
        };
        let decided = Decided { approved: &approved, fresh: &fresh };
        match issue(ctx, services, chain, transaction, (drafted, decided)).await? {
            Issued::Permit(prepared) => return release(ctx, services, chain, *prepared, key).await,
            Issued::NonceTaken => {}
            Issued::Lost => break,
        }
    }
    retain(ctx, services, transaction, fresh).await?;
    let in_force = material.digest().and_then(|digest| {
        permits.iter().find(|permit| permit.digest == digest && ctx.now < permit.expires_at)
    });
    // Whoever holds it may be signing, or died: there is no other before it ends.
    Ok(in_force.map_or(Signing::Contested, |permit| Signing::Later(look_again(services, permit, ctx.now))))
}

/// How long to leave a permit in force to whoever holds it. They may be done long before it ends, and then there is
/// something else to do.
pub(crate) fn look_again(services: &Services, permit: &PermitRecord, now: Timestamp) -> Duration {
    permit.expires_at.since(now).min(services.limits.poll_interval)
}

/// What is at hand when no permit can be asked for.
struct Tried<'a> {
    attempts: &'a [Sealed<Attempt>],
    replaces: bool,
    fresh: Fresh,
}

async fn give_way(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    setback: Setback,
    tried: Tried<'_>,
) -> Result<Signing> {
    match setback {
        Setback::Hopeless(reason) if !tried.replaces => {
            let state = State::Failed { reason };
            end(ctx, services, transaction, tried.attempts, state, tried.fresh).await
        }
        Setback::Hopeless(_) | Setback::Wait => {
            retain(ctx, services, transaction, tried.fresh).await?;
            Ok(Signing::Later(services.limits.unavailable_pause))
        }
    }
}

/// Rejects what was not signed in time, unless a permit is still in force: then a signature may be under way.
async fn expire(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    attempts: &[Sealed<Attempt>],
    permits: &[Sealed<PermitRecord>],
) -> Result<Signing> {
    let last = permits.iter().max_by_key(|permit| permit.expires_at);
    if let Some(permit) = last.filter(|permit| ctx.now < permit.expires_at) {
        return Ok(Signing::Later(look_again(services, permit, ctx.now)));
    }
    let votes = services.store.votes(transaction.organization, transaction.id).await?;
    let stored = services.store.evaluations(transaction.organization, transaction.id).await?;
    let Assessment { decision, fresh, .. } =
        assess(services, transaction, &votes, stored, None, ctx.now).await?;
    let Decision::Denied(denial) = decision else {
        return Err(Error::inconsistency("an expired transaction was not denied"));
    };
    end(ctx, services, transaction, attempts, State::rejected(&denial), fresh).await
}

/// Nothing leads back to pending: whoever asked must ask again.
pub(crate) fn approval_lost(open: &Open) -> State {
    let roles: Vec<String> = open.unmet.iter().map(|requirement| requirement.role.to_string()).collect();
    State::Rejected {
        reason: DenialReason::ApprovalLost,
        detail: format!("no longer approved by {}", roles.join(", ")),
        rejected_by: BTreeSet::new(),
    }
}

async fn usable_key(services: &Services, transaction: &Transaction) -> Result<Option<Sealed<KeyRecord>>> {
    let intent = &transaction.intent;
    let key = services.store.key(transaction.organization, intent.key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the intent's key does not exist"))?;
    let fits = match transaction.provider {
        Provider::Privy => key.purpose == KeyPurpose::PrivyAuthorization,
        Provider::Hsm | Provider::Fireblocks | Provider::None => {
            key.purpose == KeyPurpose::Wallet
                && key.kinds.contains(&intent.kind)
                && key.address == Some(intent.from)
        }
    };
    if !fits {
        return Err(Error::inconsistency("the intent's key is not the key of its address"));
    }
    Ok(key.is_usable(services).await?.then_some(key))
}

pub(crate) async fn is_frozen(services: &Services, transaction: &Transaction) -> Result<bool> {
    let organization = services.store.organization(transaction.organization).await?;
    Ok(organization.is_none_or(|organization| organization.frozen))
}

/// Uses the stored permit: signs, checks that the bytes are signed by the intent's address, stores.
async fn release(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    prepared: Prepared,
    key: Sealed<KeyRecord>,
) -> Result<Signing> {
    let Prepared { transaction, attempt, permit } = prepared;
    let signature = match sign_by_provider(services, &transaction, &attempt, &permit, &key).await {
        Ok(signature) => signature,
        Err(Error::Unavailable { retry_after, cause, .. }) => {
            tracing::warn!(transaction.id = %transaction.id, error = ?cause.0, "the signer is away; the transaction waits");
            give_back(ctx, services, &transaction, permit).await?;
            return Ok(Signing::Later(retry_after));
        }
        Err(Error::VendorRefused { vendor, http_status, .. }) => {
            tracing::warn!(transaction.id = %transaction.id, vendor, http_status, "the vendor refused to sign");
            // An earlier try may have been signed without our hearing of it.
            let reason = match (permit.record().version, http_status) {
                (1, 404) => FailureReason::VendorWalletMissing,
                (1, _) => FailureReason::VendorRefused,
                _ => FailureReason::VendorFailed,
            };
            return unsigned(ctx, services, &transaction, attempt, reason).await;
        }
        Err(error) => return Err(error),
    };
    let signed = chain.codec.assemble(&attempt.payload, &signature, transaction.intent.from);
    let signed = match signed {
        Ok(signed) => signed,
        Err(error) if transaction.provider == Provider::Privy => {
            tracing::error!(transaction.id = %transaction.id, %error, "Privy signed something else than was approved");
            return unsigned(ctx, services, &transaction, attempt, FailureReason::VendorFailed).await;
        }
        Err(error) => return Err(Error::inconsistency(error)),
    };
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

/// Gives up a permit whose signer was away. Nobody else has it, and a signature that is still made is dropped, so the
/// next try need not wait until it expires.
async fn give_back(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    permit: SigningPermit,
) -> Result<()> {
    let record = permit.given_back();
    let detail = json!({"permit": record.id, "attempt": record.attempt, "digest": record.digest});
    let event = AuditEvent::new(ctx, "permit.returned", format!("transaction {}", transaction.id), detail);
    let changes = ChangeSet::new(event).write(Write::ReturnPermit(services.sealer.seal(record)));
    match services.store.commit(changes).await {
        // It has expired and somebody renewed it.
        Ok(()) | Err(CommitError::Conflict(Contested::Permit)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends what a vendor did not sign, unless an earlier signature is out and may still execute. A vendor may keep a
/// signature back: the nonce is given to the next transaction of the address, so that of the two one can execute at
/// most, and one that may have been signed stays counted against the limits of plugins.
async fn unsigned(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    attempt: Sealed<Attempt>,
    reason: FailureReason,
) -> Result<Signing> {
    if transaction.state.is_released() {
        return Ok(Signing::Later(services.limits.unavailable_pause));
    }
    end(ctx, services, transaction, &[attempt], State::Failed { reason }, Fresh::default()).await
}

/// Our own key signs, or the user's wallet at Privy does on our request. Either way the signer is recovered before the
/// signature counts.
async fn sign_by_provider(
    services: &Services,
    transaction: &Transaction,
    attempt: &Attempt,
    permit: &SigningPermit,
    key: &Sealed<KeyRecord>,
) -> Result<[u8; 65]> {
    if transaction.provider != Provider::Privy {
        return services.signer.sign(permit, key).await;
    }
    let privy = services.vendors.require_privy()?;
    let owner = services.store.user(transaction.organization, transaction.owner).await?;
    let owner = owner.ok_or_else(|| Error::inconsistency("a transaction without its owner"))?;
    let Some(privy_user_id) = owner.privy_user_id.as_deref() else {
        return Err(Error::unavailable("Privy", "the user has no Privy account"));
    };
    let signing = PrivySigning {
        intent: &transaction.intent,
        nonce: attempt.nonce,
        pricing: &attempt.pricing,
        digest: attempt.digest,
        privy_user_id,
    };
    privy.sign(permit, key, &signing).await.map_err(|error| match error {
        VendorError::Refused { .. } => error.into_error("Privy"),
        VendorError::NotSent(error) => error,
        VendorError::Unavailable(cause) => Error::unavailable("Privy", cause),
        unsettled @ (VendorError::NotTaken { .. } | VendorError::Unknown { .. }) => {
            Error::unavailable("Privy", unsettled)
        }
    })
}

/// Ends a transaction for which no signature exists, and frees what it held.
pub(crate) async fn end(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    attempts: &[Sealed<Attempt>],
    state: State,
    fresh: Fresh,
) -> Result<Signing> {
    let action = match &state {
        State::Aborted => "transaction.aborted",
        State::Rejected { reason: DenialReason::Expired, .. } => "transaction.expired",
        _ => "transaction.ended",
    };
    let next = services.sealer.seal(transaction.moved_to(state, ctx.now));
    let detail = json!({"state": &next.state});
    let event = AuditEvent::new(ctx, action, format!("transaction {}", transaction.id), detail);
    let changes = ChangeSet::new(event)
        .write(Write::UpdateTransaction(next))
        .writes_of(freed(services, attempts))
        .writes_of(fresh.writes());
    match services.store.commit(changes).await {
        Ok(()) => Ok(Signing::Ended),
        Err(CommitError::Conflict(_)) => {
            retain(ctx, services, transaction, fresh).await?;
            Ok(Signing::Contested)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives back the nonces of attempts that nobody will sign. A gateway that is signing right now finds the transaction
/// moved, and drops its signature.
pub(crate) fn freed(services: &Services, attempts: &[Sealed<Attempt>]) -> Vec<Write> {
    let unsigned = attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Prepared);
    let freed = unsigned.map(|attempt| services.sealer.seal(attempt.with_outcome(AttemptOutcome::Released)));
    freed.map(Write::UpdateAttempt).collect()
}
