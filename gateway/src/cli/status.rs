//! How a command ended, as its exit code.

use hsm::{HsmError, State};
use serde::{Deserialize, Serialize};

use crate::{config::ConfigError, control::ControlError, data_dir::DataDirError};

/// Shown at the end of `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  the PIN is latched: see `countersign doctor`
  4  the data directory is in use by a running gateway or command
  5  verification found a fault
  6  stopped because only a new process can reach the token again: start it anew";

/// What was asked for cannot be, whatever the deployment's state.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Done,
    Failed,
    Usage,
    PinLatched,
    Locked,
    Unverified,
    RestartRequired,
}

impl Status {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::PinLatched => 3,
            Self::Locked => 4,
            Self::Unverified => 5,
            Self::RestartRequired => 6,
        }
    }

    /// By the first cause that says more than that something failed.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(specific).unwrap_or(Self::Failed)
    }
}

fn specific(cause: &(dyn std::error::Error + 'static)) -> Option<Status> {
    if let Some(HsmError::PinLatched(_) | HsmError::Unavailable { state: State::PinLatched, .. }) =
        cause.downcast_ref()
    {
        return Some(Status::PinLatched);
    }
    if let Some(DataDirError::InUse(_)) = cause.downcast_ref() {
        return Some(Status::Locked);
    }
    if let Some(error) = cause.downcast_ref::<ControlError>() {
        return Some(error.status());
    }
    (cause.is::<ConfigError>() || cause.is::<UsageError>()).then_some(Status::Usage)
}
