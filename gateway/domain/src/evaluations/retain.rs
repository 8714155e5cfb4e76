//! Storing evaluations by themselves.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    error::Result,
    evaluations::{Evaluation, Fresh},
    ports::Services,
    sealed::Sealed,
    transactions::Transaction,
};

/// Stores evaluations whose change set was lost to another write: a binding that was asked has answered, and nobody
/// asks again until the answer suits (T16). An approval that would have been remembered is dropped with its memory.
pub(crate) async fn retain(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    fresh: Fresh,
) -> Result<()> {
    store_alone(ctx, services, transaction, fresh.retainable()).await
}

/// Stores evaluations that no decision rests on yet.
pub(crate) async fn store_alone(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    evaluations: Vec<Sealed<Evaluation>>,
) -> Result<()> {
    if evaluations.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = evaluations.iter().map(|evaluation| evaluation.id).collect();
    let subject = format!("transaction {}", transaction.id);
    let event = AuditEvent::new(ctx, "evaluations.retained", subject, json!({ "evaluations": ids }));
    let changes = ChangeSet::new(event).writes_of(evaluations.into_iter().map(Write::InsertEvaluation));
    services.store.commit(changes).await?;
    Ok(())
}
