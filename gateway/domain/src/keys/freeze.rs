//! Stopping one key, and letting it go on.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ids::KeyId,
    keys::KeyRecord,
    ports::Services,
    sealed::Sealed,
};

/// Sets whether a key of the caller's organization is frozen: from the commit on, nothing gets a permit to be signed
/// with a frozen one, and no message is opened with it. A freeze of what is frozen is a new one: a thaw that was proposed before is not for it. A lift that
/// loses against another write is not tried again.
pub async fn set_key_frozen(ctx: &OpCtx, services: &Services, id: KeyId, frozen: bool) -> Result<KeyRecord> {
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = services.store.key(ctx.organization, id).await?.ok_or(Error::NotFound("key"))?;
        if !frozen && !stored.frozen {
            return Ok(stored.into_value());
        }
        let (event, key) = key_frozen(ctx, stored, frozen);
        let sealed = services.sealer.seal(key.clone());
        match services.store.commit(ChangeSet::new(event).write(Write::UpdateKey(sealed))).await {
            Ok(()) => return Ok(key),
            // A lift is judged by what was frozen when it was asked for.
            Err(CommitError::Conflict(Contested::Version)) if frozen => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same key"))
}

/// The key's next version, and what is put on record of it.
pub(crate) fn key_frozen(ctx: &OpCtx, stored: Sealed<KeyRecord>, frozen: bool) -> (AuditEvent, KeyRecord) {
    let version = stored.version + 1;
    let key = KeyRecord { frozen, version, ..stored.into_value() };
    let action = if frozen { "key.frozen" } else { "key.thawed" };
    (AuditEvent::new(ctx, action, format!("key {}", key.id), json!({})), key)
}
