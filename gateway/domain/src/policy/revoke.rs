//! Revoking a plugin revision: one operator, at once.

use serde_json::json;

use super::PluginRevocation;
use crate::{
    actor::{Actor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ids::PluginRevisionId,
    operators::require_stopper,
    ports::Services,
};

/// From the commit on, every binding of the revision denies, in a permit that is under way too. Again changes nothing.
pub async fn revoke_plugin(
    ctx: &OpCtx,
    services: &Services,
    id: PluginRevisionId,
) -> Result<PluginRevocation> {
    let operator = if ctx.actor == Actor::LocalOperator { None } else { Some(require_stopper(ctx)?) };
    let revoked_by = operator.map(|operator| operator.operator);
    let evidence = operator.map(|operator| operator.evidence.clone());
    let revision = services.store.plugin_revision(ctx.organization, id).await?;
    let revision = revision.ok_or(Error::NotFound("plugin revision"))?;
    let revocation = PluginRevocation {
        revision: id,
        organization: ctx.organization,
        revoked_by,
        evidence,
        revoked_at: ctx.now,
    };
    let detail = json!({ "plugin": revision.plugin });
    let event = AuditEvent::new(ctx, "plugin.revoked", format!("plugin {id}"), detail);
    let write = Write::InsertPluginRevocation(services.sealer.seal(revocation.clone()));
    match services.store.commit(ChangeSet::new(event).write(write)).await {
        Ok(()) => Ok(revocation),
        Err(CommitError::Conflict(Contested::Duplicate)) => {
            let revocations = services.store.plugin_revocations(ctx.organization).await?;
            let earlier = revocations.into_iter().find(|earlier| earlier.revision == id);
            earlier.map(crate::sealed::Sealed::into_value).ok_or_else(|| {
                Error::inconsistency(format!("plugin revision {id} is revoked, and no row says so"))
            })
        }
        Err(error) => Err(error.into()),
    }
}
