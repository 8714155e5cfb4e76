//! Vaults by quorum: making one, moving a key, and letting what was frozen go on.

use super::{Carried, require_unchanged};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::Write,
    error::{Error, Result},
    freezing::{Freeze, thawed},
    ids::{KeyId, VaultId},
    ports::Services,
    sealed::Sealed,
    vaults::{Move, creation, moving},
};

/// What one person can freeze.
#[derive(Clone, Copy)]
pub(super) enum Freezable {
    Organization,
    Vault(VaultId),
    Key(KeyId),
}

impl Freezable {
    pub(super) fn of(key: Option<KeyId>, vault: Option<VaultId>) -> Result<Self> {
        match (key, vault) {
            (None, None) => Ok(Self::Organization),
            (None, Some(vault)) => Ok(Self::Vault(vault)),
            (Some(key), None) => Ok(Self::Key(key)),
            (Some(_), Some(_)) => Err(Error::invalid("key and vault must not both be given")),
        }
    }

    /// The version of its row now, if there is one.
    pub(super) async fn version(self, ctx: &OpCtx, services: &Services) -> Result<Option<u64>> {
        let store = &services.store;
        Ok(match self {
            Self::Organization => store.organization(ctx.organization).await?.map(|found| found.version),
            Self::Vault(id) => store.vault(ctx.organization, id).await?.map(|found| found.version),
            Self::Key(id) => store.key(ctx.organization, id).await?.map(|found| found.version),
        })
    }

    /// What thaws it, if it is at version `replaces` still.
    pub(super) async fn thawing(
        self,
        ctx: &OpCtx,
        services: &Services,
        replaces: Option<u64>,
    ) -> Result<Carried> {
        let store = &services.store;
        let (event, write) = match self {
            Self::Organization => {
                lifting(ctx, services, store.organization(ctx.organization).await?, replaces)?
            }
            Self::Vault(id) => lifting(ctx, services, store.vault(ctx.organization, id).await?, replaces)?,
            Self::Key(id) => lifting(ctx, services, store.key(ctx.organization, id).await?, replaces)?,
        };
        Ok(Carried { events: vec![event], writes: vec![write] })
    }
}

fn lifting<T: Freeze>(
    ctx: &OpCtx,
    services: &Services,
    stored: Option<Sealed<T>>,
    replaces: Option<u64>,
) -> Result<(AuditEvent, Write)> {
    let stored = stored.ok_or(Error::NotFound(T::NOUN))?;
    if !stored.is_frozen() {
        return Err(Error::Conflict("it is not frozen"));
    }
    require_unchanged(replaces, stored.version())?;
    Ok(thawed(ctx, services, stored))
}

pub(super) async fn made(ctx: &OpCtx, services: &Services, name: &str) -> Result<Carried> {
    let (_, event, write) = creation(ctx, services, name.to_owned()).await?;
    Ok(Carried { events: vec![event], writes: vec![write] })
}

/// The key's move from where it was when that was proposed.
pub(super) async fn moved(
    ctx: &OpCtx,
    services: &Services,
    (key, vault): (KeyId, Option<VaultId>),
    replaces: Option<u64>,
) -> Result<Carried> {
    let stored = services.store.key(ctx.organization, key).await?.ok_or(Error::NotFound("key"))?;
    require_unchanged(replaces, stored.version)?;
    if stored.vault == vault {
        return Err(Error::Conflict("the key is there already"));
    }
    let Move { event, writes, .. } = moving(ctx, services, stored, vault).await?;
    Ok(Carried { events: vec![event], writes })
}
