//! Stopping a whole organization, and letting it go on.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    identity::Organization,
    ports::Services,
    sealed::Sealed,
};

/// Sets whether the caller's organization is frozen: from the commit on, nothing of a frozen one gets a permit to be
/// signed, and no message to its verification service is opened. Approved transactions wait and go on once it is lifted. A freeze of what is frozen is a new one: a thaw that was
/// proposed before is not for it. A lift that loses against another write is not tried again.
pub async fn set_organization_frozen(ctx: &OpCtx, services: &Services, frozen: bool) -> Result<Organization> {
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = services.store.organization(ctx.organization).await?;
        let stored = stored.ok_or(Error::NotFound("organization"))?;
        if !frozen && !stored.frozen {
            return Ok(stored.into_value());
        }
        let (event, organization) = organization_frozen(ctx, stored, frozen);
        let write = Write::UpdateOrganization(services.sealer.seal(organization.clone()));
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => return Ok(organization),
            // A lift is judged by what was frozen when it was asked for.
            Err(CommitError::Conflict(Contested::Version)) if frozen => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same organization"))
}

/// The organization's next version, and what is put on record of it.
pub(crate) fn organization_frozen(
    ctx: &OpCtx,
    stored: Sealed<Organization>,
    frozen: bool,
) -> (AuditEvent, Organization) {
    let version = stored.version + 1;
    let organization = Organization { frozen, version, ..stored.into_value() };
    let action = if frozen { "organization.frozen" } else { "organization.thawed" };
    let subject = format!("organization {}", organization.id);
    (AuditEvent::new(ctx, action, subject, json!({})), organization)
}
