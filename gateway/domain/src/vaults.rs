//! Vaults: keys put together, so that bindings can be about them and one person can stop them at once.
//!
//! A key lies in one vault at most; its own row says in which. Who judges what a key signs follows from it, so moving a
//! key is a matter of policy: operators carry it as they carry one.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    ids::{OrganizationId, VaultId},
    ports::Services,
    sealed::{RowVersion, Sealable, Sealed},
};

mod create;
mod freeze;
mod place;

pub use create::create_vault;
pub(crate) use create::creation;
pub use freeze::set_vault_frozen;
pub use place::move_key;
pub(crate) use place::{Move, moving, place_of_new};

/// A name for keys of one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    pub id: VaultId,
    pub organization: OrganizationId,
    /// 1 to 64 printable characters, different from every other's of the organization. It never changes.
    pub name: String,
    /// While it is frozen none of its keys signs anything.
    pub frozen: bool,
    pub version: u64,
    pub created_at: Timestamp,
}

impl Sealable for Vault {
    const TABLE: &'static str = "vaults";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

/// The vault that a key's row names.
pub(crate) async fn vault_of_key(
    services: &Services,
    organization: OrganizationId,
    id: VaultId,
) -> Result<Sealed<Vault>> {
    let vault = services.store.vault(organization, id).await?;
    vault.ok_or_else(|| Error::inconsistency("the key's vault does not exist"))
}
