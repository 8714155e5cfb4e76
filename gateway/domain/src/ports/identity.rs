//! What is stored of organizations, principals and users.

use alloy_primitives::Address;
use async_trait::async_trait;

use crate::{
    changes::ReplayGuard,
    error::Result,
    identity::{Organization, Principal, User},
    ids::{OrganizationId, PrincipalId},
    sealed::Sealed,
    settings::Settings,
};

#[async_trait]
pub trait IdentityReads: Send + Sync {
    async fn organization(&self, id: OrganizationId) -> Result<Option<Sealed<Organization>>>;
    async fn user(&self, organization: OrganizationId, id: PrincipalId) -> Result<Option<Sealed<User>>>;
    async fn user_by_address(
        &self,
        organization: OrganizationId,
        address: Address,
    ) -> Result<Option<Sealed<User>>>;
    /// The user whose funds lie at the address, whoever holds its key.
    async fn user_by_escrow_address(
        &self,
        organization: OrganizationId,
        address: Address,
    ) -> Result<Option<Sealed<User>>>;
    /// Users whose wallet is a contract, in order of id from behind `after`, at most `limit`.
    async fn contract_accounts(
        &self,
        organization: OrganizationId,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<Sealed<User>>>;
    /// Whether a request with this replay key already had its effect, in whichever organization.
    async fn was_replayed(&self, guard: &ReplayGuard) -> Result<bool>;
    async fn settings(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Option<Sealed<Settings>>>;
    async fn principals(
        &self,
        organization: OrganizationId,
        ids: &[PrincipalId],
    ) -> Result<Vec<Sealed<Principal>>>;
}
