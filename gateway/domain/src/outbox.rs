//! Work outside the database, written with the state change that causes it and done by idempotent workers.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{OrganizationId, OutboxId, TransactionId},
};

/// A piece of work and when it is due. Writing an item whose id exists sets the new due time and makes every
/// claim on it stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    pub id: OutboxId,
    pub organization: OrganizationId,
    pub job: Job,
    pub due_at: Timestamp,
}

/// What there is to do. A job names its object only; all facts are read, and their seals checked, when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Job {
    /// Carry a transaction on: decide, sign, broadcast, follow.
    Advance { transaction: TransactionId },
}

/// A claimed item. The fencing number rises with every claim; a worker whose claim is stale completes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedItem {
    pub item: OutboxItem,
    pub fencing: u64,
    /// How often the item was claimed before.
    pub tries: u32,
}

impl OutboxItem {
    /// The one item of a transaction: it lives from creation to the final state.
    pub fn advance(organization: OrganizationId, transaction: TransactionId, due_at: Timestamp) -> Self {
        Self {
            id: OutboxId::from_uuid(transaction.uuid()),
            organization,
            job: Job::Advance { transaction },
            due_at,
        }
    }
}
