//! Removing sessions that would have ended by now anyway.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::Result,
    ids::OrganizationId,
    ports::Services,
    sealed::Sealed,
    sessions::Session,
};

/// Removes at most `limit` sessions, of all organizations, that have expired; tells how many.
pub async fn remove_expired_sessions(services: &Services, limit: u32) -> Result<u64> {
    let now = services.clock.now();
    let mut expired: BTreeMap<OrganizationId, Vec<Sealed<Session>>> = BTreeMap::new();
    for session in services.store.expired_sessions(now, limit).await? {
        expired.entry(session.organization).or_default().push(session);
    }
    let mut removed = 0;
    for (organization, sessions) in expired {
        let count = sessions.len();
        let ctx = OpCtx::gateway(organization, now);
        let event = AuditEvent::new(&ctx, "session.removed", "sessions".into(), json!({ "expired": count }));
        let changes = ChangeSet::new(event).writes_of(sessions.into_iter().map(Write::RemoveSession));
        match services.store.commit(changes).await {
            Ok(()) => removed += count as u64,
            // Another gateway was faster.
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}
