//! Vendors that execute for a user: what they are asked, with which leave, and what they answered.
//!
//! Everything a vendor says is a claim. A final word of one ends a transaction; it never frees a nonce, a request hash
//! or an idempotency key (T24).

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    fireblocks::{FireblocksApi, VendorStatus},
    ids::{KeyId, OrganizationId, TransactionId, VendorCallId},
    quorums::{MemberKey, PrivyApi, StaticQuorum},
    quota::{Quota, UserQuota},
    sealed::{RowVersion, Sealable},
    secrets::{SealedSecret, SecretPlace, SecretText},
};

/// For which of a user's executions a vendor stands: their own, or the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VendorRole {
    Execution,
    Agent,
}

impl VendorRole {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Agent => "agent",
        }
    }
}

/// One value-moving request to a vendor, stored before it is sent and never edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorCall {
    pub id: VendorCallId,
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    /// The key that authenticates the request.
    pub key: KeyId,
    pub method: String,
    /// Path and query.
    pub uri: String,
    #[serde(with = "hex::serde")]
    pub body: Vec<u8>,
    /// What a permit binds: see [`VendorCall::digest_of`].
    pub digest: B256,
    /// The name under which the vendor refuses a second one, and can be asked for the first.
    pub external_id: String,
    pub outcome: CallOutcome,
    /// Since when the vendor refuses to say anything of it, for a reason that does not lie with the credentials.
    pub refused_since: Option<Timestamp>,
    pub version: u64,
    pub created_at: Timestamp,
}

/// Keys that one call can have: as many as seven digits name.
const IDEMPOTENCY_KEYS: u32 = 10_000_000;

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum CallOutcome {
    /// A permit exists or existed; whether the vendor heard is not known. It answered `unsettled` tries without
    /// settling anything.
    Prepared {
        unsettled: u32,
    },
    Accepted {
        vendor_id: String,
    },
    /// The vendor said no, and did not know the external id afterwards.
    Refused {
        http_status: u16,
        code: Option<i64>,
    },
}

impl CallOutcome {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepared { .. } => "prepared",
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
        }
    }
}

impl VendorCall {
    /// SHA-256 over method, URI and body, each with its length in front.
    pub fn digest_of(method: &str, uri: &str, body: &[u8]) -> B256 {
        let mut hash = Sha256::new();
        hash.update(b"countersign-vendor-call-1");
        for part in [method.as_bytes(), uri.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        B256::new(hash.finalize().into())
    }

    /// The next version of this call with `outcome`.
    #[must_use]
    pub fn with_outcome(&self, outcome: CallOutcome) -> Self {
        Self { outcome, version: self.version + 1, ..self.clone() }
    }

    /// The next version of this call, of which the vendor says nothing since then, or says something again.
    #[must_use]
    pub fn refused(&self, since: Option<Timestamp>) -> Self {
        Self { refused_since: since, version: self.version + 1, ..self.clone() }
    }

    /// `Idempotency-Key` of the next try, at most 40 characters. A vendor repeats the answer it gave under a key for a
    /// day, errors too: so what was answered without being settled is asked again under another, and only what was
    /// never answered under the same. That nothing is taken twice is the external id's part.
    pub fn idempotency_key(&self) -> String {
        let tries = match self.outcome {
            CallOutcome::Prepared { unsettled } => unsettled % IDEMPOTENCY_KEYS,
            CallOutcome::Accepted { .. } | CallOutcome::Refused { .. } => 0,
        };
        format!("{}-{tries}", self.id.uuid().simple())
    }

    /// The vendor's own id, once it gave one.
    pub fn vendor_id(&self) -> Option<&str> {
        match &self.outcome {
            CallOutcome::Accepted { vendor_id } => Some(vendor_id),
            CallOutcome::Prepared { .. } | CallOutcome::Refused { .. } => None,
        }
    }
}

impl Sealable for VendorCall {
    const TABLE: &'static str = "vendor_calls";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

/// A vendor's transaction, as it tells it; checked for shape only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorTransaction {
    pub id: String,
    pub status: VendorStatus,
    /// The chain's transaction hash, once there is one.
    pub hash: Option<B256>,
    /// What it moves, as far as the vendor says so.
    pub transfer: ToldTransfer,
}

/// A transfer in a vendor's words. What it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldTransfer {
    pub asset: Option<String>,
    /// The account that pays.
    pub vault_account: Option<String>,
    /// Hex digits of either case.
    pub destination: Option<String>,
    /// Whole units, in decimal.
    pub amount: Option<String>,
}

/// Why a vendor gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The vendor understood and refused for good.
    #[error("the vendor refused with status {http_status}")]
    Refused { http_status: u16, code: Option<i64> },
    /// The vendor took nothing, and may take the same later.
    #[error("the vendor took nothing and answered with status {http_status}")]
    NotTaken { http_status: u16, code: Option<i64> },
    /// An answer that does not tell whether the vendor acted.
    #[error("the vendor answered with status {http_status}")]
    Unknown { http_status: u16, code: Option<i64> },
    /// No usable answer; whether the vendor acted is not known.
    #[error("the vendor is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something of ours that the call needs is away: nothing was sent.
    #[error("the call could not be made")]
    NotSent(#[source] Error),
}

impl VendorError {
    /// For callers that only ask; `vendor` is its name in messages.
    pub fn into_error(self, vendor: &'static str) -> Error {
        match self {
            Self::Refused { http_status, code } => Error::VendorRefused { vendor, http_status, code },
            Self::Unavailable(cause) => Error::Upstream(vendor, crate::error::Internal(cause)),
            unsettled @ (Self::NotTaken { .. } | Self::Unknown { .. }) => {
                Error::Upstream(vendor, crate::error::Internal(Box::new(unsettled)))
            }
            Self::NotSent(error) => error,
        }
    }
}

/// Seals and opens secrets with HSM keys of that purpose, one for each rotation.
#[async_trait::async_trait]
pub trait SecretVault: Send + Sync {
    /// The rotation under which secrets are sealed now.
    fn epoch(&self) -> u32;
    async fn seal(&self, place: &SecretPlace, secret: &SecretText) -> Result<SealedSecret>;
    /// Fails for a secret sealed for another place, or by a key that is not used any more.
    async fn open(&self, place: &SecretPlace, sealed: &SealedSecret) -> Result<SecretText>;
}

/// The vendors of this installation. An absent one is not configured.
#[derive(Clone)]
pub struct Vendors {
    pub secrets: Arc<dyn SecretVault>,
    pub fireblocks: Option<Arc<dyn FireblocksApi>>,
    pub privy: Option<Arc<dyn PrivyApi>>,
    /// The quorum that users may name instead of making one.
    pub static_quorum: Option<StaticQuorum>,
    /// The member of arbiter quorums besides the user.
    pub arbiter_key: Option<MemberKey>,
    pub limits: VendorLimits,
}

/// Bounds of the vendors' part, all configurable.
#[derive(Clone, Debug)]
pub struct VendorLimits {
    /// Fireblocks integrations an organization may have. Default 1000.
    pub integrations: Quota,
    /// Quorums that an organization, and a user, may have made at Privy. Default 1000 and 10.
    pub quorums: UserQuota,
    /// How often one integration's key may be made anew within a day. Default 3.
    pub recreations_max: u32,
    /// Least pause between validations of one integration, and between completions. Default 10 s.
    pub validation_pause: Duration,
    /// Pause between looks at a transaction that a vendor has. Default 5 s.
    pub poll_interval: Duration,
    /// How long a transaction is looked for that the vendor no longer shows to the user's credentials, or refuses to.
    /// Default a week.
    pub lost_after: Duration,
}

impl Vendors {
    pub fn require_fireblocks(&self) -> Result<&Arc<dyn FireblocksApi>> {
        self.fireblocks.as_ref().ok_or(Error::Unconfigured("fireblocks.enabled"))
    }

    pub fn require_privy(&self) -> Result<&Arc<dyn PrivyApi>> {
        self.privy.as_ref().ok_or(Error::Unconfigured("privy.app_id"))
    }
}
