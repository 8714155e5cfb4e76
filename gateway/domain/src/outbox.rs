//! Work outside the database, written with the state change that causes it and done by idempotent workers.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::Result,
    ids::{OrganizationId, OutboxId, RegistrationId, TransactionId},
    payloads::publish,
    ports::Services,
    registrations::carry_registration,
    transactions::{Progress, advance},
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
    /// Pin an encrypted payload and put it on record.
    Publish { transaction: TransactionId },
    /// Put an OpenPGP key on record.
    Register { registration: RegistrationId },
}

impl Job {
    /// Does as much of it as can be done now.
    pub async fn work(self, services: &Services, organization: OrganizationId) -> Result<Progress> {
        match self {
            Self::Advance { transaction } => advance(services, organization, transaction).await,
            Self::Publish { transaction } => publish(services, organization, transaction).await,
            Self::Register { registration } => carry_registration(services, organization, registration).await,
        }
    }
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

    /// The item of an encrypted payload, beside that of its transaction.
    pub fn publish(organization: OrganizationId, transaction: TransactionId, due_at: Timestamp) -> Self {
        let mut bytes = transaction.uuid().into_bytes();
        // Another id that follows from the transaction's, as long as one of them is random in its last bits.
        bytes[15] ^= 1;
        let id = OutboxId::from_uuid(uuid::Uuid::from_bytes(bytes));
        Self { id, organization, job: Job::Publish { transaction }, due_at }
    }

    pub fn register(organization: OrganizationId, registration: RegistrationId, due_at: Timestamp) -> Self {
        let id = OutboxId::from_uuid(registration.uuid());
        Self { id, organization, job: Job::Register { registration }, due_at }
    }
}
