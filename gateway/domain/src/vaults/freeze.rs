//! Stopping the keys of one vault, and letting them go on.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, VaultWrite, Write},
    error::{Error, Result},
    ids::VaultId,
    ports::Services,
    sealed::Sealed,
    vaults::Vault,
};

/// Sets whether a vault of the caller's organization is frozen: from the commit on, nothing gets a permit to be signed
/// with one of its keys. A freeze of what is frozen is a new one: a thaw that was proposed before is not for it. A lift
/// that loses against another write is not tried again.
pub async fn set_vault_frozen(ctx: &OpCtx, services: &Services, id: VaultId, frozen: bool) -> Result<Vault> {
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = services.store.vault(ctx.organization, id).await?.ok_or(Error::NotFound("vault"))?;
        if !frozen && !stored.frozen {
            return Ok(stored.into_value());
        }
        let (event, vault) = vault_frozen(ctx, stored, frozen);
        let update = Write::Vaults(VaultWrite::Update(services.sealer.seal(vault.clone())));
        match services.store.commit(ChangeSet::new(event).write(update)).await {
            Ok(()) => return Ok(vault),
            // A lift is judged by what was frozen when it was asked for.
            Err(CommitError::Conflict(Contested::Version)) if frozen => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same vault"))
}

/// The vault's next version, and what is put on record of it.
pub(crate) fn vault_frozen(ctx: &OpCtx, stored: Sealed<Vault>, frozen: bool) -> (AuditEvent, Vault) {
    let version = stored.version + 1;
    let vault = Vault { frozen, version, ..stored.into_value() };
    let action = if frozen { "vault.frozen" } else { "vault.thawed" };
    (AuditEvent::new(ctx, action, format!("vault {}", vault.id), json!({})), vault)
}
