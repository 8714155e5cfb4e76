//! The state that a plugin reads, behind a port of the caller.

use std::collections::BTreeMap;
use std::time::Instant;

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// Reads the state of one organization and binding lineage, as one transaction sees it.
///
/// Called on an evaluation thread, at most once a key or counter and evaluation. An implementation may
/// block; its time counts against the deadline, by which it must end its waiting, because nothing interrupts it. Writes never come here: they are in the evaluation's
/// record, for the caller to apply when it records the verdict.
pub trait StatePort: Send + Sync {
    /// The value of a key, if it has one.
    fn read(&self, key: &str, deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError>;

    /// What is reserved under a counter.
    fn counted(&self, counter: &CounterName, deadline: Instant) -> Result<Counted, StatePortError>;
}

/// A counter: its name and its window together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CounterName {
    pub name: String,
    /// At least 1.
    pub window_seconds: u32,
}

/// A counter as one transaction finds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// What other transactions have reserved.
    pub others: U256,
    /// Whether the transaction is signed already, so that what it reserved is final and part of the sum.
    pub is_final: bool,
}

/// The port could not answer; the evaluation fails.
#[derive(Debug, thiserror::Error)]
#[error("cannot read state: {0}")]
pub struct StatePortError(pub String);

/// State known beforehand, as in a replay.
#[derive(Debug, Clone, Default)]
pub struct StateSnapshot {
    pub values: BTreeMap<String, Vec<u8>>,
    pub counters: BTreeMap<CounterName, Counted>,
}

impl StatePort for StateSnapshot {
    fn read(&self, key: &str, _deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        Ok(self.values.get(key).cloned())
    }

    fn counted(&self, counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
        Ok(self.counters.get(counter).copied().unwrap_or_default())
    }
}

/// No key has a value and nothing is reserved.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoState;

impl StatePort for NoState {
    fn read(&self, _key: &str, _deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        Ok(None)
    }

    fn counted(&self, _counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
        Ok(Counted::default())
    }
}
