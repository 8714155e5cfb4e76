//! Whether Fireblocks still takes an integration's credentials, as looking for transactions shows without anybody asking.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::Result,
    fireblocks::{Access, Integration, IntegrationState},
    ports::Services,
};

/// Shows the integration as invalid, and answers since when every look-up was refused.
pub(crate) async fn note_refusal(
    ctx: &OpCtx,
    services: &Services,
    integration: &Integration,
    http_status: u16,
) -> Result<Timestamp> {
    let Some(access) = integration.state.access() else { return Ok(ctx.now) };
    let since = access.refused_since.unwrap_or(ctx.now);
    if access.refused_since.is_some() && matches!(integration.state, IntegrationState::Invalid(_)) {
        return Ok(since);
    }
    let access = Access {
        refused_since: Some(since),
        validated_at: Some(ctx.now),
        validation_error: Some(format!(
            "Fireblocks refused to show a transaction and answered {http_status}"
        )),
        ..access.clone()
    };
    let next = integration.moved_to(IntegrationState::Invalid(access), ctx.now);
    keep(ctx, services, next, json!({"httpStatus": http_status})).await?;
    Ok(since)
}

/// Takes back what [`note_refusal`] kept.
pub(crate) async fn note_answer(ctx: &OpCtx, services: &Services, integration: &Integration) -> Result<()> {
    let Some(access) = integration.state.access() else { return Ok(()) };
    if access.refused_since.is_none() {
        return Ok(());
    }
    let access =
        Access { refused_since: None, validated_at: Some(ctx.now), validation_error: None, ..access.clone() };
    let next = integration.moved_to(IntegrationState::Active(access), ctx.now);
    keep(ctx, services, next, json!({})).await
}

async fn keep(ctx: &OpCtx, services: &Services, next: Integration, detail: serde_json::Value) -> Result<()> {
    let action = match next.state {
        IntegrationState::Invalid(_) => "fireblocks.refused",
        _ => "fireblocks.taken_again",
    };
    let event = AuditEvent::new(ctx, action, format!("fireblocks integration {}", next.id), detail);
    let write = Write::UpdateIntegration(services.sealer.seal(next));
    match services.store.commit(ChangeSet::new(event).write(write)).await {
        // Validated, completed or made anew meanwhile; the next look-up tells the same or better.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
