//! Privy key quorums: which quorum at Privy stands behind a user's executions, their agent's, or the arbiter.

use std::time::Duration;

use alloy_primitives::B256;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    chain::Pricing,
    clock::Timestamp,
    error::Result,
    ids::{OrganizationId, PrincipalId, QuorumId},
    keys::KeyRecord,
    policy::SigningPermit,
    sealed::{RowVersion, Sealable, Sealed},
    transactions::Intent,
    vendors::{VendorError, VendorRole},
};

mod member_key;
mod register;

pub use member_key::{MemberKey, MemberKeyMalformed};
pub use register::{
    CreateArbiterQuorum, QuorumMember, RegisterQuorum, SetQuorum, create_arbiter_quorum, delete_quorum,
    register_quorum, require_quorum, set_quorum,
};

/// For what a quorum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuorumType {
    Execution,
    Agent,
    Arbiter,
}

/// A reference to a quorum at Privy. Removing it removes nothing there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivyQuorum {
    pub id: QuorumId,
    pub organization: OrganizationId,
    pub owner: PrincipalId,
    pub kind: QuorumType,
    /// Privy's id.
    pub quorum_id: String,
    pub display_name: String,
    /// SPKI in PEM, as the client gave it.
    pub public_key_pem: Option<String>,
    pub authorization_threshold: u32,
    /// Whether it is the one of this installation's configuration.
    pub is_static: bool,
    pub message: Option<String>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A quorum that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticQuorum {
    pub quorum_id: String,
    pub display_name: String,
    pub authorization_threshold: u32,
}

/// A quorum to be made at Privy; its threshold is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuorum {
    pub display_name: String,
    /// Base64 of P-256 SPKIs in DER.
    pub public_keys: Vec<String>,
    pub user_ids: Vec<String>,
    /// The same for every try of one request.
    pub idempotency_key: String,
}

/// Leave to have one quorum made at Privy, stored before Privy is asked. A quorum stays there, whatever becomes of the
/// reference to it, and its claim counts for good. One that Privy refused, or never heard of, counts for a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumClaim {
    pub id: QuorumId,
    pub organization: OrganizationId,
    pub user: PrincipalId,
    /// Counts against the share of the quota that strangers may use.
    pub self_registered: bool,
    /// Whether a server key asked, for the arbiter: what others ask for takes nothing from a user's own.
    pub for_arbiter: bool,
    /// Of what was asked for. The same again within a day is asked under the same name, so that no second is made.
    pub request: B256,
    pub created_at: Timestamp,
}

impl QuorumClaim {
    /// For how long what was not made counts.
    pub const REFUSED_COUNTS_FOR: Duration = Duration::from_hours(24);
}

/// A quorum as Privy made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeQuorum {
    pub id: String,
    pub authorization_threshold: u32,
}

/// An EVM transaction that Privy is to sign with the wallet of a user at the intent's address.
pub struct PrivySigning<'a> {
    pub intent: &'a Intent,
    pub nonce: u64,
    pub pricing: &'a Pricing,
    /// Digest of the payload that intent, nonce and pricing make.
    pub digest: B256,
    pub privy_user_id: &'a str,
}

/// Privy, and the HSM key that authorizes requests to it.
#[async_trait]
pub trait PrivyApi: Send + Sync {
    async fn create_quorum(&self, quorum: &NewQuorum) -> Result<MadeQuorum, VendorError>;

    /// Asks for a signature over exactly the payload whose digest the permit binds. What comes back is a claim: the
    /// caller recovers the signer.
    async fn sign(
        &self,
        permit: &SigningPermit,
        key: &Sealed<KeyRecord>,
        signing: &PrivySigning<'_>,
    ) -> Result<[u8; 65], VendorError>;
}

impl Sealable for PrivyQuorum {
    const TABLE: &'static str = "privy_quorums";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

impl QuorumType {
    /// The quorum that stands behind what the role executes.
    pub fn of(role: VendorRole) -> Self {
        match role {
            VendorRole::Execution => Self::Execution,
            VendorRole::Agent => Self::Agent,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Agent => "agent",
            Self::Arbiter => "arbiter",
        }
    }
}
