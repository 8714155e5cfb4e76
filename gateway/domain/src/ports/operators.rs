//! Reads about operators and what they propose. Both belong to the deployment, not to a tenant.

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    error::Result,
    ids::ProposalId,
    operators::{Charter, Proposal},
    sealed::Sealed,
};

#[async_trait]
pub trait OperatorReads: Send + Sync {
    /// Absent in a deployment that was founded without operators; an inconsistency where one was founded and is gone.
    async fn charter(&self) -> Result<Option<Sealed<Charter>>>;
    async fn proposal(&self, id: ProposalId) -> Result<Option<Sealed<Proposal>>>;
    /// Newest first, those made before `before` if it is given.
    async fn proposals(&self, before: Option<ProposalId>, limit: u32) -> Result<Vec<Sealed<Proposal>>>;
    /// How many are open at `now`.
    async fn open_proposals(&self, now: Timestamp) -> Result<u64>;
}
