//! What is stored of users' vendors.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    B256,
    clock::Timestamp,
    error::Result,
    fireblocks::Integration,
    ids::{IntegrationId, OrganizationId, PrincipalId, QuorumId, TransactionId},
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
    /// Integrations of every organization, by id from after `after`, whose API key was sealed before rotation `epoch`.
    async fn integrations_sealed_before(
        &self,
        epoch: u32,
        after: Option<IntegrationId>,
        limit: u32,
    ) -> Result<Vec<Sealed<Integration>>>;
    /// How many API keys are sealed under each rotation, of every organization and at one moment.
    async fn sealed_counts(&self) -> Result<BTreeMap<u32, u64>>;
    /// How many of them were sealed before rotation `epoch`.
    async fn sealed_before_count(&self, epoch: u32) -> Result<u64> {
        Ok(self.sealed_counts().await?.range(..epoch).map(|(_, count)| count).sum())
    }
    async fn quorum(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        kind: QuorumType,
    ) -> Result<Option<Sealed<PrivyQuorum>>>;
    /// The user's claim for this very quorum, if it was made later than `since`, and whether the quorum may exist.
    async fn quorum_claim(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        request: B256,
        since: Timestamp,
    ) -> Result<Option<(QuorumId, bool)>>;
    /// The requests that a vendor was, or may have been, sent for the transaction.
    async fn vendor_calls(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<VendorCall>>>;
}
