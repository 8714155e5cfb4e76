//! Reads about vaults.

use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{OrganizationId, VaultId},
    sealed::Sealed,
    vaults::Vault,
};

#[async_trait]
pub trait VaultReads: Send + Sync {
    async fn vault(&self, organization: OrganizationId, id: VaultId) -> Result<Option<Sealed<Vault>>>;
    async fn vault_by_name(&self, organization: OrganizationId, name: &str) -> Result<Option<Sealed<Vault>>>;
    /// Newest first, those made before `before` if it is given.
    async fn vault_list(
        &self,
        organization: OrganizationId,
        before: Option<VaultId>,
        limit: u32,
    ) -> Result<Vec<Sealed<Vault>>>;
    async fn vault_count(&self, organization: OrganizationId) -> Result<u64>;
}
