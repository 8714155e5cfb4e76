//! Asking Fireblocks whether an API key works.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    fireblocks::{Access, CheckReply, Integration, IntegrationState, complete::require_integration},
    ids::PrincipalId,
    ports::Services,
    sealed::Sealed,
    vendors::{VendorError, VendorRole},
};

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    pub valid: bool,
    pub checked_at: Timestamp,
    /// Absent where there was no answer.
    pub http_status: Option<u16>,
    pub error: Option<String>,
}

/// Sends the harmless request with the stored key and keeps what came of it. The time is stored before anything is
/// sent, so that two requests at once cannot both ask.
pub async fn validate_integration(
    ctx: &OpCtx,
    services: &Services,
    owner: PrincipalId,
    role: VendorRole,
) -> Result<Validation> {
    let fireblocks = services.vendors.require_fireblocks()?;
    let integration = require_integration(services, ctx, owner, role).await?;
    let login = integration.login(services).await.map_err(|error| match error {
        Error::Conflict(broken) => Error::invalid(broken),
        other => other,
    })?;
    let begun = begin(ctx, services, &integration).await?;
    let reply = match fireblocks.check(&login).await {
        Ok(reply) => reply,
        Err(VendorError::NotSent(error)) => return Err(error),
        // Silence is no refusal: what was valid stays so.
        Err(
            error @ (VendorError::Unavailable(_)
            | VendorError::Refused { .. }
            | VendorError::NotTaken { .. }
            | VendorError::Unknown { .. }),
        ) => {
            tracing::warn!(%error, cause = ?std::error::Error::source(&error), "Fireblocks could not be asked");
            let error = Some("Fireblocks did not answer".to_owned());
            return Ok(Validation { valid: false, checked_at: ctx.now, http_status: None, error });
        }
    };
    let error = refusal(reply);
    keep(ctx, services, &begun, error.clone()).await?;
    let http_status = Some(reply.http_status);
    Ok(Validation { valid: error.is_none(), checked_at: ctx.now, http_status, error })
}

/// The reason in our own words: upstream text does not reach clients.
fn refusal(reply: CheckReply) -> Option<String> {
    match reply.http_status {
        200..=299 => None,
        401 => Some("Fireblocks does not accept the API key with this certificate".to_owned()),
        403 => Some("the API user may not read vault accounts".to_owned()),
        status => Some(format!("Fireblocks answered {status}")),
    }
}

async fn begin(ctx: &OpCtx, services: &Services, integration: &Integration) -> Result<Sealed<Integration>> {
    let access = integration.state.access().cloned();
    let access = access.ok_or_else(|| Error::invalid("the Fireblocks integration is not completed"))?;
    let pause = services.vendors.limits.validation_pause;
    let too_soon =
        |retry_after| Error::Exhausted { what: "the integration was validated a moment ago", retry_after };
    if let Some(last) = access.asked_at {
        let passed = ctx.now.since(last);
        if passed < pause {
            return Err(too_soon(pause.saturating_sub(passed)));
        }
    }
    let access = Access { asked_at: Some(ctx.now), ..access };
    let next =
        with_access(integration, access, ctx.now, matches!(integration.state, IntegrationState::Active(_)));
    let sealed = services.sealer.seal(next);
    let subject = format!("fireblocks integration {}", integration.id);
    let event = AuditEvent::new(ctx, "fireblocks.validation_begun", subject, json!({}));
    match services.store.commit(ChangeSet::new(event).write(Write::UpdateIntegration(sealed.clone()))).await {
        Ok(()) => Ok(sealed),
        Err(CommitError::Conflict(Contested::Version)) => Err(too_soon(pause)),
        Err(error) => Err(error.into()),
    }
}

async fn keep(ctx: &OpCtx, services: &Services, begun: &Integration, error: Option<String>) -> Result<()> {
    let Some(access) = begun.state.access().cloned() else { return Ok(()) };
    let valid = error.is_none();
    let next = with_access(
        begun,
        Access { validated_at: Some(ctx.now), validation_error: error, ..access },
        ctx.now,
        valid,
    );
    let subject = format!("fireblocks integration {}", begun.id);
    let event = AuditEvent::new(ctx, "fireblocks.validated", subject, json!({"valid": valid}));
    let write = Write::UpdateIntegration(services.sealer.seal(next));
    match services.store.commit(ChangeSet::new(event).write(write)).await {
        // Completed or made anew meanwhile: the answer is about what was.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn with_access(integration: &Integration, access: Access, now: Timestamp, valid: bool) -> Integration {
    let state = if valid { IntegrationState::Active(access) } else { IntegrationState::Invalid(access) };
    integration.moved_to(state, now)
}
