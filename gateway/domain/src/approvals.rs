//! Votes: what principals say about an intent.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    chain::ChainId,
    clock::Timestamp,
    ids::{CredentialId, OrganizationId, PrincipalId, TransactionId, VoteId},
    sealed::{RowVersion, Sealable},
};

mod record;

pub use record::{CastVote, VoteRecorded, cast_vote};

/// The part a principal plays in a decision; written as its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Role {
    /// The owner of the funds.
    User,
    Agent,
    Arbiter,
    /// The verification service, as a plugin or as an outside caller.
    Orion,
    /// A role that a policy names itself.
    Named(String),
}

/// How strongly a vote is tied to what it approves. Later variants are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceLevel {
    /// A secret was presented.
    Bearer,
    /// The request that carried the vote was signed.
    Request,
    /// The vote itself was signed, over the intent hash.
    Signed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ballot {
    Approve,
    Reject,
}

/// One principal's word about one intent. Another may follow one that no longer counts, see [`cast_vote`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub id: VoteId,
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    pub intent_hash: B256,
    pub principal: PrincipalId,
    /// The principal's first vote on the transaction is 1.
    pub ordinal: u32,
    pub role: Role,
    pub ballot: Ballot,
    pub evidence: Evidence,
    /// Parts per million; only given in role `orion`.
    pub confidence_ppm: Option<u32>,
    pub analysis: Option<String>,
    pub created_at: Timestamp,
}

/// What proves a vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The API key that was presented.
    ApiKey { credential: CredentialId },
    /// A wallet signed the request that carried the vote.
    WalletRequest {
        #[serde(with = "hex::serde")]
        signature: Vec<u8>,
        signed_hash: B256,
        /// The user's when it was given: whatever proves for the wallet since then, it was not this.
        wallet_epoch: u64,
    },
    /// A wallet that is a contract took the signature over the request for its own (ERC-1271), as the chain's nodes
    /// said: never evidence of level `signed`.
    ContractRequest {
        chain: ChainId,
        #[serde(with = "hex::serde")]
        signature: Vec<u8>,
        signed_hash: B256,
        wallet_epoch: u64,
    },
    /// A wallet signed the vote: EIP-712 `Approval`, verified again whenever the vote is counted.
    WalletApproval {
        #[serde(with = "hex::serde")]
        signature: Vec<u8>,
        /// Seconds since the epoch, as signed: an approval counts until then, also when a permit is issued.
        expires: u64,
        wallet_epoch: u64,
    },
}

impl Evidence {
    pub fn level(&self) -> EvidenceLevel {
        match self {
            Self::ApiKey { .. } => EvidenceLevel::Bearer,
            Self::WalletRequest { .. } | Self::ContractRequest { .. } => EvidenceLevel::Request,
            Self::WalletApproval { .. } => EvidenceLevel::Signed,
        }
    }
}

impl Sealable for Vote {
    const TABLE: &'static str = "votes";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::written_once::<Self>(self.id))
    }
}

impl From<String> for Role {
    fn from(name: String) -> Self {
        match name.as_str() {
            "user" => Self::User,
            "agent" => Self::Agent,
            "arbiter" => Self::Arbiter,
            "orion" => Self::Orion,
            _ => Self::Named(name),
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.to_string()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Arbiter => "arbiter",
            Self::Orion => "orion",
            Self::Named(name) => name,
        })
    }
}
