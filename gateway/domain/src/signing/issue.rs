//! Storing permit and attempt: the linearization point. Whatever moved first wins.

use std::pin::pin;

use futures::poll;
use serde_json::json;
use std::task::Poll;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    evaluations::Fresh,
    ids::PermitId,
    policy::{Approved, SigningPermit, issue_permit},
    ports::{Chain, Services},
    sealed::Sealed,
    signing::draft::Drafted,
    transactions::{Attempt, Transaction},
};

/// The decision that a permit is issued on.
pub(super) struct Decided<'a> {
    pub(super) approved: &'a Approved,
    /// What was heard for it and is not stored yet.
    pub(super) fresh: &'a Fresh,
}

/// What was stored with a permit, and the permit.
pub(super) struct Prepared {
    pub(super) transaction: Sealed<Transaction>,
    pub(super) attempt: Sealed<Attempt>,
    pub(super) permit: SigningPermit,
}

pub(super) enum Issued {
    Permit(Box<Prepared>),
    /// Somebody else holds the nonce, or one below it was not taken in the end.
    NonceTaken,
    /// The transaction or a condition of the permit moved.
    Lost,
}

pub(super) async fn issue(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    transaction: &Sealed<Transaction>,
    (drafted, decided): (Drafted<'_>, Decided<'_>),
) -> Result<Issued> {
    let Drafted { attempt, is_new, earlier, lease } = drafted;
    let next = transaction.moved_to(transaction.state.clone(), ctx.now);
    let id = PermitId::generate(ctx.now, services.entropy.as_ref());
    let permit = issue_permit(decided.approved, &next, &attempt, chain.codec.as_ref(), id, ctx.now);
    let permit = permit.map_err(Error::inconsistency)?.for_at_most(services.limits.permit_lifetime);
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
        .writes_of(decided.fresh.writes())
        .writes_of(lease.as_ref().and_then(|(_, reservation)| reservation.condition()));
    if is_new {
        changes = changes.write(Write::InsertAttempt(attempt.clone()));
    }
    changes = changes.write(if earlier.is_some() {
        Write::RenewPermit(record)
    } else {
        Write::InsertPermit(record)
    });
    let (turn, reservation) = lease.unzip();
    let mut commit = pin!(services.store.commit(changes));
    let handed_in = poll!(&mut commit);
    // The change set is in the writer's queue; whoever wants the next nonce may choose.
    drop(turn);
    let outcome = match handed_in {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => commit.await,
    };
    drop(reservation);
    match outcome {
        Ok(()) => Ok(Issued::Permit(Box::new(Prepared { transaction: next, attempt, permit }))),
        Err(CommitError::Conflict(Contested::Nonce)) => Ok(Issued::NonceTaken),
        Err(CommitError::Conflict(Contested::Version | Contested::Permit | Contested::PluginState)) => {
            Ok(Issued::Lost)
        }
        Err(error) => Err(error.into()),
    }
}
