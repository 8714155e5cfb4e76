//! Reading the audit log.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    audit::{AuditEntry, LaneHead, SignedCheckpoint},
    changes::CommitError,
    error::Result,
    ids::InstanceId,
    sealed::Sealed,
};

#[async_trait]
pub trait AuditReads: Send + Sync {
    async fn lane_heads(&self) -> Result<BTreeMap<InstanceId, LaneHead>>;
    /// Entries of a lane after `after`, ascending, at most `limit`, their seals checked.
    async fn lane_entries(&self, lane: InstanceId, after: u64, limit: u32)
    -> Result<Vec<Sealed<AuditEntry>>>;
    async fn last_checkpoint(&self) -> Result<Option<SignedCheckpoint>>;
    /// Checkpoints after number `after`, ascending, at most `limit`; their signatures are the caller's to check.
    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>>;
    async fn insert_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<(), CommitError>;
}
