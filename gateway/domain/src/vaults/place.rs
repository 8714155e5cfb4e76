//! Putting keys into vaults, and taking them out.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, VaultWrite, Write},
    error::{Error, Result},
    ids::{KeyId, VaultId},
    keys::{KeyPurpose, KeyRecord, KeyState},
    ports::Services,
    sealed::Sealed,
    vaults::{Vault, vault_of_key},
};

/// What a key's move writes.
pub(crate) struct Move {
    pub(crate) key: KeyRecord,
    pub(crate) event: AuditEvent,
    pub(crate) writes: Vec<Write>,
}

/// Puts a key of the caller's organization into `vault`, or takes it out of the one it is in. A transaction that was
/// decided before and is not permitted yet is decided again.
pub async fn move_key(
    ctx: &OpCtx,
    services: &Services,
    id: KeyId,
    vault: Option<VaultId>,
) -> Result<KeyRecord> {
    let stored = services.store.key(ctx.organization, id).await?.ok_or(Error::NotFound("key"))?;
    if stored.vault == vault {
        return Ok(stored.into_value());
    }
    let Move { key, event, writes } = moving(ctx, services, stored, vault).await?;
    services.store.commit(ChangeSet::new(event).writes_of(writes)).await?;
    Ok(key)
}

/// What moves the key, or why it cannot be moved. A frozen vault lets no key go: who froze it meant that key, too.
pub(crate) async fn moving(
    ctx: &OpCtx,
    services: &Services,
    stored: Sealed<KeyRecord>,
    vault: Option<VaultId>,
) -> Result<Move> {
    require_fit(stored.purpose)?;
    if stored.state != KeyState::Active {
        return Err(Error::Conflict("the key is not active"));
    }
    let mut writes = Vec::with_capacity(3);
    if let Some(id) = stored.vault {
        let left = vault_of_key(services, ctx.organization, id).await?;
        if left.frozen {
            return Err(Error::Conflict("the key's vault is frozen; that is lifted first"));
        }
        writes.push(unchanged(&left));
    }
    if let Some(id) = vault {
        writes.push(unchanged(&*place(ctx, services, id).await?));
    }
    let (left, version) = (stored.vault, stored.version + 1);
    let key = KeyRecord { vault, version, ..stored.into_value() };
    let detail = json!({ "from": left, "to": vault });
    let event = AuditEvent::new(ctx, "key.moved", format!("key {}", key.id), detail);
    writes.push(Write::Vaults(VaultWrite::MoveKey(services.sealer.seal(key.clone()))));
    Ok(Move { key, event, writes })
}

/// On what the making of a key in `vault` is conditional.
pub(crate) async fn place_of_new(
    ctx: &OpCtx,
    services: &Services,
    purpose: KeyPurpose,
    vault: Option<VaultId>,
) -> Result<Option<Write>> {
    let Some(id) = vault else { return Ok(None) };
    require_fit(purpose)?;
    Ok(Some(unchanged(&*place(ctx, services, id).await?)))
}

async fn place(ctx: &OpCtx, services: &Services, id: VaultId) -> Result<Sealed<Vault>> {
    let vault = services.store.vault(ctx.organization, id).await?;
    vault.ok_or_else(|| Error::invalid(format!("vault `{id}` does not exist in the organization")))
}

fn require_fit(purpose: KeyPurpose) -> Result<()> {
    if purpose.signs_transactions() {
        return Ok(());
    }
    let purpose = purpose.as_str();
    Err(Error::invalid(format!("key of purpose `{purpose}` belongs in no vault: it signs no transactions")))
}

/// Nobody froze the vault meanwhile.
fn unchanged(vault: &Vault) -> Write {
    let Vault { id, organization, version, .. } = *vault;
    Write::Vaults(VaultWrite::Require { organization, vault: id, version })
}
