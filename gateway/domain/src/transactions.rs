//! Transactions: requests that a key sign something, from the asking to the last confirmation.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    approvals::Role,
    clock::Timestamp,
    fireblocks::VendorStatus,
    ids::{AttemptId, OrganizationId, PrincipalId, TransactionId, VendorCallId},
    policy::{Denial, DenialReason, Requirement},
    sealed::{RowVersion, Sealable},
};

mod abort;
mod account;
mod assess;
mod attempt;
mod create;
mod denials;
mod dry_run;
mod encrypted;
mod intent;
mod progress;
mod release;
mod repeat;
mod request_hash;
mod view;

pub use abort::abort;
pub(crate) use abort::unpermitted;
use account::{Account, Asked, NOT_INTEGRATED, account};
pub(crate) use assess::{Assessment, assess, hear_shadows, supersedes};
use assess::{Rehearsed, rehearse};
pub use assess::{counting_votes, last_words};
pub use attempt::{Attempt, AttemptOutcome};
pub use create::{CreateTransaction, Created, create};
pub use denials::RecentDenials;
pub use dry_run::{DryRun, DryRunRequest, Opinion, dry_run};
pub use encrypted::{CreateEncryptedTransaction, PlaintextRequest, create_encrypted};
pub use intent::{Ceilings, Intent, IntentMismatch, Kind};
pub use progress::{Progress, advance, carry_on};
pub(crate) use release::{release_condition, require_thawed};
pub use repeat::{IdempotencyKey, RequestIdentity, RequestName, made_earlier};
pub use request_hash::request_hash;
pub use view::CoreStatus;

/// A request that a key sign something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub id: TransactionId,
    pub organization: OrganizationId,
    /// The name the API uses; unique in the organization.
    pub request_hash: B256,
    /// The counter that went into a request hash the gateway computed, or the client's.
    pub request_nonce: U256,
    /// Of the request that made it, [`RequestIdentity::digest`]: an equal one is answered with this transaction.
    pub request_digest: B256,
    /// The principal whose credential created it.
    pub initiator: PrincipalId,
    /// The user whose funds move.
    pub owner: PrincipalId,
    pub owner_address: Address,
    pub execution_type: ExecutionType,
    pub provider: Provider,
    /// Set for what arrived encrypted: the service it was encrypted for.
    pub verification_service: Option<u32>,
    pub intent: Intent,
    pub intent_hash: B256,
    /// What had to be approved when the transaction was made; judged with the present policy, both must hold.
    pub snapshot: RequirementSnapshot,
    pub note: Option<String>,
    pub state: State,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Requirements and eligible principals, frozen at creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementSnapshot {
    pub requirements: Vec<Requirement>,
    pub minimum_confidence_ppm: u32,
    /// Who may fill each role. A principal enrolled later fills none.
    pub eligible: BTreeMap<Role, BTreeSet<PrincipalId>>,
    /// From then on a transaction of which no signature exists is rejected.
    pub expires_at: Timestamp,
}

/// Who executes, as the core family says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionType {
    DirectUser,
    UserExecuted,
    AgentExecuted,
}

/// Who makes the signature and sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Our key, our broadcast.
    Hsm,
    Fireblocks,
    Privy,
    /// Somebody else executes and reports.
    None,
}

/// Where a transaction stands. Each state holds the facts that are true in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum State {
    Pending,
    /// Policy is satisfied; no signature exists.
    Approved,
    /// A signature is stored and has not been sent.
    Signed {
        attempt: AttemptId,
    },
    /// Sent at least once.
    Submitted {
        attempt: AttemptId,
        since: Timestamp,
        phase: Phase,
    },
    /// Included with the configured confirmations.
    Executed {
        attempt: AttemptId,
        hash: B256,
        block: u64,
        reverted: bool,
    },
    /// A vendor has it and executes it.
    HandedOver {
        call: VendorCallId,
        since: Timestamp,
        /// As the vendor told it last.
        status: VendorStatus,
    },
    /// The vendor says that it is executed.
    ExecutedByVendor {
        call: VendorCallId,
        hash: Option<B256>,
    },
    /// Executed by somebody else, as reported.
    Settled {
        hash: B256,
        block: Option<u64>,
    },
    Rejected {
        reason: DenialReason,
        detail: String,
        rejected_by: BTreeSet<Role>,
    },
    Aborted,
    Failed {
        reason: FailureReason,
    },
}

/// Finer facts of a submitted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Pushed,
    Queued,
    Mined { block: u64 },
    Stuck,
}

/// Why a transaction ended without effect; the closed list that clients may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    InsufficientFunds,
    /// The node says that the call would revert or refuses the transaction.
    Refused,
    /// Gas or fees of the market lie above the ceilings that were approved.
    CeilingExceeded,
    /// Another transaction used the nonce; ours can never execute.
    NonceTaken,
    /// Stored evidence did not verify.
    EvidenceInvalid,
    /// The vendor would not take it.
    VendorRefused,
    /// The user has no wallet at the escrow address at the vendor.
    VendorWalletMissing,
    /// The vendor took it and cancelled it, blocked it, rejected it, or failed.
    VendorCancelled,
    VendorBlocked,
    VendorRejected,
    VendorFailed,
    VendorTimedOut,
    /// The vendor took it, or may have, and does not show it to the user's present credentials.
    VendorLost,
    /// Whoever executed it reported that it failed.
    Settlement,
}

impl State {
    pub fn rejected(denial: &Denial) -> Self {
        Self::Rejected {
            reason: denial.reason,
            detail: denial.detail.clone(),
            rejected_by: denial.rejected_by.clone(),
        }
    }

    /// The stable word stored and indexed beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Signed { .. } => "signed",
            Self::Submitted { .. } => "submitted",
            Self::Executed { reverted: false, .. } => "executed",
            Self::Executed { reverted: true, .. } => "reverted",
            Self::HandedOver { .. } => "handed_over",
            Self::ExecutedByVendor { .. } => "executed_by_vendor",
            Self::Settled { .. } => "settled",
            Self::Rejected { .. } => "rejected",
            Self::Aborted => "aborted",
            Self::Failed { .. } => "failed",
        }
    }

    pub fn is_final(&self) -> bool {
        match self {
            Self::Executed { .. }
            | Self::ExecutedByVendor { .. }
            | Self::Settled { .. }
            | Self::Rejected { .. }
            | Self::Aborted
            | Self::Failed { .. } => true,
            Self::Pending
            | Self::Approved
            | Self::Signed { .. }
            | Self::Submitted { .. }
            | Self::HandedOver { .. } => false,
        }
    }

    /// Whether it took place with success: seen on chain, or in the words of who executed it.
    pub fn has_paid(&self) -> bool {
        matches!(
            self,
            Self::Executed { reverted: false, .. } | Self::ExecutedByVendor { .. } | Self::Settled { .. }
        )
    }

    /// Whether something left the gateway that may execute: such a transaction is never simply given up.
    pub fn is_released(&self) -> bool {
        self.attempt().is_some() || matches!(self, Self::HandedOver { .. } | Self::ExecutedByVendor { .. })
    }

    /// The attempt that counts, once a signature exists.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Signed { attempt } | Self::Submitted { attempt, .. } | Self::Executed { attempt, .. } => {
                Some(*attempt)
            }
            Self::Pending
            | Self::Approved
            | Self::HandedOver { .. }
            | Self::ExecutedByVendor { .. }
            | Self::Settled { .. }
            | Self::Rejected { .. }
            | Self::Aborted
            | Self::Failed { .. } => None,
        }
    }
}

impl FailureReason {
    /// Whether it is said of what was signed or handed over before: that it cannot execute is then one node's or
    /// vendor's word.
    pub(crate) fn is_after_release(self) -> bool {
        match self {
            Self::NonceTaken
            | Self::VendorCancelled
            | Self::VendorBlocked
            | Self::VendorRejected
            | Self::VendorFailed
            | Self::VendorTimedOut
            | Self::VendorLost
            | Self::Settlement => true,
            Self::InsufficientFunds
            | Self::Refused
            | Self::CeilingExceeded
            | Self::EvidenceInvalid
            | Self::VendorRefused
            | Self::VendorWalletMissing => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::Refused => "refused_by_node",
            Self::CeilingExceeded => "ceiling_exceeded",
            Self::NonceTaken => "nonce_taken",
            Self::EvidenceInvalid => "evidence_invalid",
            Self::VendorRefused => "vendor_refused",
            Self::VendorWalletMissing => "vendor_wallet_missing",
            Self::VendorCancelled => "vendor_cancelled",
            Self::VendorBlocked => "vendor_blocked",
            Self::VendorRejected => "vendor_rejected",
            Self::VendorFailed => "vendor_failed",
            Self::VendorTimedOut => "vendor_timed_out",
            Self::VendorLost => "vendor_lost",
            Self::Settlement => "settlement_failed",
        }
    }
}

impl RequirementSnapshot {
    /// Adds what was demanded for the first time.
    pub(crate) fn keep(&mut self, demanded: impl IntoIterator<Item = Requirement>) {
        for requirement in demanded {
            if !self.requirements.contains(&requirement) {
                self.requirements.push(requirement);
            }
        }
    }
}

impl Transaction {
    /// Whether its time is over before a signature exists. What is signed may execute and has no such end.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Pending | State::Approved) && now >= self.snapshot.expires_at
    }

    /// The next version of this transaction in `state`.
    #[must_use]
    pub fn moved_to(&self, state: State, now: Timestamp) -> Self {
        Self { state, version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

impl Sealable for Transaction {
    const TABLE: &'static str = "transactions";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}
