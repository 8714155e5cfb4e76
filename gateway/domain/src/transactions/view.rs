//! How the core family sees the one state machine (contract/core.md section 4).

use crate::transactions::State;

/// The five statuses of the core family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreStatus {
    Pending,
    Approved,
    Rejected,
    Executed,
    Failed,
}

impl CoreStatus {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Rejected, Self::Executed, Self::Failed];

    pub fn of(state: &State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Approved | State::Signed { .. } | State::Submitted { .. } | State::HandedOver { .. } => {
                Self::Approved
            }
            State::Executed { reverted: false, .. }
            | State::ExecutedByVendor { .. }
            | State::Settled { .. } => Self::Executed,
            State::Executed { reverted: true, .. } | State::Failed { .. } => Self::Failed,
            State::Rejected { .. } | State::Aborted => Self::Rejected,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Executed => "EXECUTED",
            Self::Failed => "FAILED",
        }
    }

    /// Why it ended so, where the state says.
    pub fn reason(state: &State) -> Option<String> {
        match state {
            State::Rejected { reason, detail, .. } => Some(format!("{}: {detail}", reason.as_str())),
            State::Aborted => Some("aborted".to_owned()),
            State::Failed { reason } => Some(reason.as_str().to_owned()),
            State::Executed { reverted: true, .. } => Some("reverted".to_owned()),
            State::Pending
            | State::Approved
            | State::Signed { .. }
            | State::Submitted { .. }
            | State::HandedOver { .. }
            | State::ExecutedByVendor { .. }
            | State::Settled { .. }
            | State::Executed { reverted: false, .. } => None,
        }
    }
}
