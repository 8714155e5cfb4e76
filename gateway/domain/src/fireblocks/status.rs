//! Fireblocks' transaction statuses and what they mean here (contract/core.md section 5).

use serde::{Deserialize, Serialize};

use crate::transactions::FailureReason;

macro_rules! statuses {
    ($($name:ident = $word:literal),+ $(,)?) => {
        /// Where a transaction stands at Fireblocks, as Fireblocks tells it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum VendorStatus {
            $($name,)+
            /// A word that this version does not know; never final.
            Unknown,
        }

        impl VendorStatus {
            /// Every documented status.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                    Self::Unknown => "UNKNOWN",
                }
            }

            pub fn read(word: &str) -> Self {
                match word {
                    $($word => Self::$name,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}

statuses! {
    Submitted = "SUBMITTED",
    PendingAmlScreening = "PENDING_AML_SCREENING",
    PendingEnrichment = "PENDING_ENRICHMENT",
    PendingAuthorization = "PENDING_AUTHORIZATION",
    Queued = "QUEUED",
    PendingSignature = "PENDING_SIGNATURE",
    PendingThirdPartyManualApproval = "PENDING_3RD_PARTY_MANUAL_APPROVAL",
    PendingThirdParty = "PENDING_3RD_PARTY",
    Broadcasting = "BROADCASTING",
    Confirming = "CONFIRMING",
    Completed = "COMPLETED",
    Cancelling = "CANCELLING",
    Cancelled = "CANCELLED",
    Blocked = "BLOCKED",
    Rejected = "REJECTED",
    Failed = "FAILED",
    // Not among the primary statuses of today's documentation, but in Fireblocks' own SDKs.
    Pending = "PENDING",
    PendingEmailApproval = "PENDING_EMAIL_APPROVAL",
    PendingConsoleApproval = "PENDING_CONSOLE_APPROVAL",
    Confirmed = "CONFIRMED",
    PartiallyCompleted = "PARTIALLY_COMPLETED",
    TimedOut = "TIMEOUT",
}

/// What a status means for the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    UnderWay,
    Completed,
    Failed(FailureReason),
}

impl VendorStatus {
    pub(crate) fn meaning(self) -> Meaning {
        match self {
            Self::Completed => Meaning::Completed,
            Self::Cancelled => Meaning::Failed(FailureReason::VendorCancelled),
            Self::Blocked => Meaning::Failed(FailureReason::VendorBlocked),
            Self::Rejected => Meaning::Failed(FailureReason::VendorRejected),
            Self::Failed => Meaning::Failed(FailureReason::VendorFailed),
            Self::TimedOut => Meaning::Failed(FailureReason::VendorTimedOut),
            Self::Submitted
            | Self::PendingAmlScreening
            | Self::PendingEnrichment
            | Self::PendingAuthorization
            | Self::Queued
            | Self::PendingSignature
            | Self::PendingThirdPartyManualApproval
            | Self::PendingThirdParty
            | Self::Broadcasting
            | Self::Confirming
            | Self::Cancelling
            | Self::Pending
            | Self::PendingEmailApproval
            | Self::PendingConsoleApproval
            // One more confirmation than none; COMPLETED is what follows.
            | Self::Confirmed
            // Of several transactions in one; ours has one.
            | Self::PartiallyCompleted
            | Self::Unknown => Meaning::UnderWay,
        }
    }
}

#[cfg(test)]
mod tests;
