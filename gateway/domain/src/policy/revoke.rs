//! Revoking a plugin revision: one operator, at once. What is revoked is the component with its settings and grants: every
//! revision that is the same ends with it, and none is stored or bound again.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use serde_json::json;

use super::{PluginRevision, PluginRevocation};
use crate::{
    actor::{Actor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ids::{OrganizationId, PluginRevisionId},
    operators::require_stopper,
    ports::Services,
    sealed::Sealed,
};

/// Read at once where revisions are compared; each holds its settings.
const PAGE: u32 = 100;

/// From the commit on, every binding of the revision denies, in a permit that is under way too, and so does every binding of
/// another revision of the same component, settings and grants. Again changes nothing.
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
    let subject = revision.subject_digest();
    // One that cannot be read keeps nobody from stopping this one.
    let same = identical(services, ctx.organization, &BTreeSet::from([subject])).await.unwrap_or_else(|error| {
        tracing::error!(plugin.revision = %id, %error, "revoked alone: what is the same could not be looked for");
        Vec::new()
    });
    let same: BTreeSet<_> = same.iter().map(|same| same.id).chain([id]).collect();
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let earlier = services.store.plugin_revocations(ctx.organization).await?;
        let of = |id| earlier.iter().find(|revocation| revocation.revision == id);
        let live: Vec<_> = same.iter().copied().filter(|id| of(*id).is_none()).collect();
        if let Some(earlier) = of(id).filter(|_| live.is_empty()) {
            return Ok(PluginRevocation::clone(earlier));
        }
        let revocation = |revision| PluginRevocation {
            revision,
            organization: ctx.organization,
            revoked_by,
            evidence: evidence.clone(),
            revoked_at: ctx.now,
        };
        let detail = json!({ "plugin": revision.plugin, "subjectDigest": subject, "revisions": live });
        let event = AuditEvent::new(ctx, "plugin.revoked", format!("plugin {id}"), detail);
        let write = |id: &_| Write::InsertPluginRevocation(services.sealer.seal(revocation(*id)));
        match services.store.commit(ChangeSet::new(event).writes_of(live.iter().map(write))).await {
            Ok(()) => {
                return Ok(of(id).map_or_else(|| revocation(id), |earlier| PluginRevocation::clone(earlier)));
            }
            // Somebody else revoked one of them at the same time.
            Err(CommitError::Conflict(Contested::Duplicate)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Conflict("others revoke the same; try again"))
}

/// The organization's revisions whose component, settings and grants are one of `subjects`.
pub(super) async fn identical(
    services: &Services,
    organization: OrganizationId,
    subjects: &BTreeSet<B256>,
) -> Result<Vec<PluginRevision>> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = services.store.plugin_revision_list(organization, before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        before = Some(last.id);
        let is_one = |revision: &PluginRevision| subjects.contains(&revision.subject_digest());
        found.extend(page.into_iter().map(Sealed::into_value).filter(is_one));
    }
}
