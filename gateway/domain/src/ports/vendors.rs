//! What is stored of users' vendors.

use async_trait::async_trait;

use crate::{
    error::Result,
    fireblocks::Integration,
    ids::{OrganizationId, PrincipalId, TransactionId},
    quorums::{PrivyQuorum, QuorumType},
    sealed::Sealed,
    vendors::{VendorCall, VendorRole},
};

#[async_trait]
pub trait VendorReads: Send + Sync {
    /// The user's integration for the role, once its key is made.
    async fn integration(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        role: VendorRole,
    ) -> Result<Option<Sealed<Integration>>>;
    /// The user's integrations, execution first.
    async fn integrations(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
    ) -> Result<Vec<Sealed<Integration>>>;
    /// The same, also while its key is being made.
    async fn claimed_integration(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        role: VendorRole,
    ) -> Result<Option<Sealed<Integration>>>;
    async fn quorum(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        kind: QuorumType,
    ) -> Result<Option<Sealed<PrivyQuorum>>>;
    /// The requests that a vendor was, or may have been, sent for the transaction.
    async fn vendor_calls(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<VendorCall>>>;
}
