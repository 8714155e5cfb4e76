//! Making vaults. A new one is empty, and no policy names it yet.

use std::time::Duration;

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, VaultWrite, Write},
    error::{Error, Result},
    ids::VaultId,
    ports::Services,
    text::is_plain_in_line,
    vaults::Vault,
};

const NAME_CHARACTERS_MAX: usize = 64;

/// Makes a vault in the caller's organization.
pub async fn create_vault(ctx: &OpCtx, services: &Services, name: String) -> Result<Vault> {
    let (vault, event, write) = creation(ctx, services, name).await?;
    services.store.commit(ChangeSet::new(event).write(write)).await.map_err(|error| match error {
        CommitError::Conflict(Contested::VaultName) => NAME_TAKEN,
        CommitError::Conflict(Contested::Quota) => too_many(),
        other => other.into(),
    })?;
    Ok(vault)
}

/// A new vault, what is put on record of it, and what stores it.
pub(crate) async fn creation(
    ctx: &OpCtx,
    services: &Services,
    name: String,
) -> Result<(Vault, AuditEvent, Write)> {
    let is_short = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if !is_short || !name.chars().all(is_plain_in_line) || name.trim() != name {
        let rule =
            format!("must have 1 to {NAME_CHARACTERS_MAX} printable characters, and none blank at its ends");
        return Err(Error::invalid(format!("name {rule}")));
    }
    services.store.organization(ctx.organization).await?.ok_or(Error::NotFound("organization"))?;
    if services.store.vault_by_name(ctx.organization, &name).await?.is_some() {
        return Err(NAME_TAKEN);
    }
    let vaults_max = services.limits.vaults_max;
    // Cheap and early; the insert decides.
    if services.store.vault_count(ctx.organization).await? >= u64::from(vaults_max) {
        return Err(too_many());
    }
    let vault = Vault {
        id: VaultId::generate(ctx.now, services.entropy.as_ref()),
        organization: ctx.organization,
        name,
        frozen: false,
        version: 1,
        created_at: ctx.now,
    };
    let event =
        AuditEvent::new(ctx, "vault.created", format!("vault {}", vault.id), json!({ "name": vault.name }));
    let write = Write::Vaults(VaultWrite::Insert(services.sealer.seal(vault.clone()), vaults_max));
    Ok((vault, event, write))
}

const NAME_TAKEN: Error = Error::Conflict("the organization has a vault of that name");

fn too_many() -> Error {
    Error::Exhausted {
        what: "the organization has as many vaults as it may have",
        retry_after: Duration::from_mins(1),
    }
}
