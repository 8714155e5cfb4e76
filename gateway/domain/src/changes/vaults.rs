//! Writes of vaults, and of which keys lie in them.

use super::{AuthorityScope, RowWrite, rows::stored};
use crate::{
    ids::{OrganizationId, VaultId},
    keys::KeyRecord,
    sealed::Sealed,
    vaults::Vault,
};

/// One change of a vault, or of a key's place.
#[derive(Clone, Debug)]
pub enum VaultWrite {
    /// With how many vaults the organization may have then.
    Insert(Sealed<Vault>, u32),
    Update(Sealed<Vault>),
    /// Writes nothing; the set is lost unless the vault is still at this version.
    Require {
        organization: OrganizationId,
        vault: VaultId,
        version: u64,
    },
    /// Changes a key's vault and nothing else of it. No other write does: this one ends what was decided of the key's
    /// transactions while it lay elsewhere.
    MoveKey(Sealed<KeyRecord>),
}

impl VaultWrite {
    pub(super) fn takes_authority(&self) -> Option<AuthorityScope> {
        match self {
            // Whoever judged the key's transactions so far may not be who judges them now.
            Self::MoveKey(row) => Some(AuthorityScope::Organization(row.organization)),
            Self::Update(row) if row.frozen => Some(AuthorityScope::Organization(row.organization)),
            Self::Insert(..) | Self::Update(_) | Self::Require { .. } => None,
        }
    }

    pub(super) fn rows(&self) -> Vec<RowWrite> {
        match self {
            Self::Insert(row, _) | Self::Update(row) => stored(row),
            Self::MoveKey(row) => stored(row),
            Self::Require { .. } => Vec::new(),
        }
    }
}
