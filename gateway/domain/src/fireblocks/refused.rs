//! Whether Fireblocks still takes an integration's credentials, and still answers about a call, as looking for transactions
//! shows without anybody asking.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::Result,
    fireblocks::{Access, Integration, IntegrationState},
    ports::Services,
    vendors::VendorCall,
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

/// Keeps since when Fireblocks refuses to say anything of the call, and answers it.
pub(crate) async fn note_unsaid(
    ctx: &OpCtx,
    services: &Services,
    call: &VendorCall,
    http_status: u16,
) -> Result<Timestamp> {
    if let Some(since) = call.refused_since {
        return Ok(since);
    }
    let detail = json!({"call": call.id, "httpStatus": http_status});
    keep_call(ctx, services, call.refused(Some(ctx.now)), ("vendor_call.refused", detail)).await?;
    Ok(ctx.now)
}

/// Takes back what [`note_unsaid`] kept.
pub(crate) async fn note_said(ctx: &OpCtx, services: &Services, call: &VendorCall) -> Result<()> {
    if call.refused_since.is_none() {
        return Ok(());
    }
    let detail = json!({"call": call.id});
    keep_call(ctx, services, call.refused(None), ("vendor_call.answered", detail)).await
}

async fn keep_call(
    ctx: &OpCtx,
    services: &Services,
    next: VendorCall,
    (action, detail): (&'static str, serde_json::Value),
) -> Result<()> {
    let event = AuditEvent::new(ctx, action, format!("transaction {}", next.transaction), detail);
    let write = Write::UpdateVendorCall(services.sealer.seal(next));
    match services.store.commit(ChangeSet::new(event).write(write)).await {
        // The next look-up tells the same or better.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
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
