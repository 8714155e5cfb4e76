//! Aborting: taking a transaction back before a permit to sign it exists.

use crate::{
    actor::OpCtx,
    error::{Error, Result},
    evaluations::Fresh,
    ids::TransactionId,
    ports::Services,
    sealed::Sealed,
    signing::end,
    transactions::{Attempt, State, Transaction},
};

/// Ends a pending transaction, or an approved one for which no permit is in force. Against a permit that is being
/// issued exactly one wins: both move the transaction from the same version. Doing it again changes nothing; what is
/// signed or has ended otherwise is a conflict.
pub async fn abort(ctx: &OpCtx, services: &Services, id: TransactionId) -> Result<Transaction> {
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.transaction(ctx.organization, id).await?;
        let transaction = found.ok_or(Error::NotFound("transaction"))?;
        match transaction.state {
            State::Aborted => return Ok(transaction.into_value()),
            State::Pending | State::Approved => {}
            State::Signed { .. } | State::Submitted { .. } => {
                return Err(Error::Conflict("the transaction is signed already"));
            }
            State::HandedOver { .. } => {
                return Err(Error::Conflict("a vendor has the transaction already"));
            }
            State::Executed { .. }
            | State::ExecutedByVendor { .. }
            | State::Settled { .. }
            | State::Rejected { .. }
            | State::Failed { .. } => {
                return Err(Error::Conflict("the transaction has ended already"));
            }
        }
        let attempts = unpermitted(ctx, services, id).await?;
        end(ctx, services, &transaction, &attempts, State::Aborted, Fresh::default()).await?;
    }
    Err(Error::unavailable("the database", "too many writers wanted the same transaction"))
}

/// The transaction's attempts, none of which may be signed any more. A conflict where one may, or a vendor may have the
/// transaction.
pub(crate) async fn unpermitted(
    ctx: &OpCtx,
    services: &Services,
    id: TransactionId,
) -> Result<Vec<Sealed<Attempt>>> {
    let permits = services.store.permits(ctx.organization, id).await?;
    // Once it has expired nothing is signed with it, and a late signature finds the transaction moved.
    if permits.iter().any(|permit| ctx.now < permit.expires_at) {
        return Err(Error::Conflict("the transaction is being signed: a permit for it is in force"));
    }
    // What may have reached a vendor is asked about before anything else is done with it.
    if !services.store.vendor_calls(ctx.organization, id).await?.is_empty() {
        return Err(Error::Conflict("the transaction may be with a vendor already"));
    }
    services.store.attempts(ctx.organization, id).await
}
