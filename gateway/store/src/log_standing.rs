//! What checkpoints tell of the audit log. Rows that agree with a log that went back prove nothing.

use std::sync::{Arc, PoisonError, RwLock};

use gateway_domain::changes::CommitError;

/// Whether the log is known to be other than what was signed of it.
#[derive(Default)]
pub(crate) struct LogStanding(RwLock<Option<Arc<str>>>);

/// Why a permit was not stored.
#[derive(Debug, thiserror::Error)]
#[error("the audit log is not the one that was signed: {0}")]
struct Withheld(Arc<str>);

impl LogStanding {
    pub(crate) fn set(&self, fault: Option<&str>) {
        metrics::gauge!("countersign_store_log_intact").set(if fault.is_none() { 1.0 } else { 0.0 });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fault.map(Arc::from);
    }

    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn require_intact(&self) -> Result<(), CommitError> {
        match self.fault() {
            Some(fault) => Err(CommitError::Refused(Box::new(Withheld(fault)))),
            None => Ok(()),
        }
    }
}
