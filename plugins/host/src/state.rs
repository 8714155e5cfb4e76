//! The state that a plugin reads, behind a port of the caller.

use std::collections::BTreeMap;

/// Reads the state of one organization and binding lineage.
///
/// Called on an evaluation thread, at most once a key and evaluation. An implementation may block; its
/// time counts against the deadline. Writes never come here: they are in the evaluation's record, for
/// the caller to apply when it records the verdict.
pub trait StatePort: Send + Sync {
    /// The value of a key, if it has one.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StatePortError>;
}

/// The port could not answer; the evaluation fails.
#[derive(Debug, thiserror::Error)]
#[error("cannot read state: {0}")]
pub struct StatePortError(pub String);

/// State known beforehand, as in a replay.
#[derive(Debug, Clone, Default)]
pub struct StateSnapshot(pub BTreeMap<String, Vec<u8>>);

impl StatePort for StateSnapshot {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StatePortError> {
        Ok(self.0.get(key).cloned())
    }
}

/// No key has a value.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoState;

impl StatePort for NoState {
    fn read(&self, _key: &str) -> Result<Option<Vec<u8>>, StatePortError> {
        Ok(None)
    }
}
