//! Signing attempts: one transaction has many when it is replaced.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    chain::{ChainId, Pricing},
    clock::Timestamp,
    ids::{AttemptId, KeyId, OrganizationId, TransactionId},
    sealed::{RowVersion, Sealable},
};

/// One try: the nonce it holds, the bytes, and the signature once it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub id: AttemptId,
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    pub key: KeyId,
    pub chain: ChainId,
    pub address: Address,
    /// Held by this attempt while it is live: unique over (chain, address, nonce).
    pub nonce: u64,
    pub pricing: Pricing,
    #[serde(with = "hex::serde")]
    pub payload: Vec<u8>,
    pub digest: B256,
    pub outcome: AttemptOutcome,
    pub version: u64,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum AttemptOutcome {
    /// A permit exists or existed; no signature is stored.
    Prepared,
    /// The first signature that was stored; no other is ever released.
    Signed {
        #[serde(with = "hex::serde")]
        raw: Vec<u8>,
        hash: B256,
    },
    /// Given up before any signature existed; its nonce is free.
    Released,
}

impl AttemptOutcome {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Signed { .. } => "signed",
            Self::Released => "released",
        }
    }
}

impl Attempt {
    /// The next version of this attempt with `outcome`.
    #[must_use]
    pub fn with_outcome(&self, outcome: AttemptOutcome) -> Self {
        Self { outcome, version: self.version + 1, ..self.clone() }
    }
}

impl Sealable for Attempt {
    const TABLE: &'static str = "attempts";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}
