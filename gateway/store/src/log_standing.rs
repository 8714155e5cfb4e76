//! What checkpoints tell of the audit log. Rows that agree with a log that went back prove nothing.

use std::sync::{Arc, PoisonError, RwLock};

use gateway_domain::changes::CommitError;

/// Whether the log is the one that was signed, as far as anybody has looked.
#[derive(Default)]
pub(crate) struct LogStanding(RwLock<Known>);

#[derive(Clone, Default, PartialEq)]
enum Known {
    /// Nobody has looked since the store was opened.
    #[default]
    Nothing,
    Intact,
    Fault(Arc<str>),
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// The log has become faulty, or faulty in another way.
    Fault,
    Intact,
    None,
}

/// Why a permit was not stored.
#[derive(Debug, thiserror::Error)]
enum Withheld {
    #[error("the audit log has not been compared with what was signed of it yet")]
    NotLookedAt,
    #[error("the audit log is not the one that was signed: {0}")]
    Fault(Arc<str>),
}

impl LogStanding {
    pub(crate) fn set(&self, fault: Option<&str>) -> LogChange {
        metrics::gauge!("countersign_store_log_intact").set(if fault.is_none() { 1.0 } else { 0.0 });
        let now = fault.map_or(Known::Intact, |fault| Known::Fault(fault.into()));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let change = match (&*known, &now) {
            (before, now) if before == now => LogChange::None,
            (_, Known::Fault(_)) => LogChange::Fault,
            _ => LogChange::Intact,
        };
        *known = now;
        change
    }

    /// What is known against the log, also that nobody has looked.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        match self.known() {
            Known::Nothing => Some(Withheld::NotLookedAt.to_string().into()),
            Known::Intact => None,
            Known::Fault(fault) => Some(fault),
        }
    }

    pub(crate) fn require_intact(&self) -> Result<(), CommitError> {
        match self.known() {
            Known::Nothing => Err(CommitError::Unavailable(Box::new(Withheld::NotLookedAt))),
            Known::Intact => Ok(()),
            Known::Fault(fault) => Err(CommitError::Refused(Box::new(Withheld::Fault(fault)))),
        }
    }

    fn known(&self) -> Known {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
