//! Requests, and the record of an evaluation: all that is needed to repeat it elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::capability::Grants;
use crate::digest::Digest;
use crate::outcome::Outcome;
use crate::state::StatePort;
use crate::transaction::{ClaimedTransaction, VerifiedTransaction};

/// One transaction to judge under one binding.
pub struct EvaluationRequest {
    pub verified: VerifiedTransaction,
    pub claimed: ClaimedTransaction,
    /// JSON text that the component's `validate-settings` has accepted.
    pub settings: String,
    /// What the binding is granted.
    pub grants: Grants,
    pub state: Arc<dyn StatePort>,
    /// Milliseconds since 1970-01-01T00:00:00Z; what the plugin sees as the time.
    pub requested_at_ms: u64,
    /// When the answer must be there, waiting included; none for the host's longest.
    pub deadline: Option<Instant>,
}

/// A verdict with what it cost and what it rests on.
#[derive(Debug, Clone)]
pub struct Evaluation {
    pub outcome: Outcome,
    /// Wall-clock time from request to answer, waiting included.
    pub duration_micros: u64,
    /// The part of it in which the sandbox was made, ran and was thrown away.
    pub run_time: Duration,
    pub record: EvaluationRecord,
}

/// Everything that went into and out of the sandbox. Fed with the same component, inputs and state
/// reads, an evaluation comes to the same outcome and writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    pub component: Digest,
    /// Version of the contract that the component was built against.
    pub contract: String,
    pub verified: VerifiedTransaction,
    pub claimed: ClaimedTransaction,
    pub settings: String,
    pub settings_digest: Digest,
    pub grants: Grants,
    pub requested_at_ms: u64,
    /// In order of the key; the value that the port gave.
    pub state_reads: Vec<StateRead>,
    /// In order of the key; the caller applies them with the verdict, if no read has changed.
    pub state_writes: Vec<StateWrite>,
    pub logs: Vec<LogLine>,
    /// The most linear memory that the guest had.
    pub memory_peak_bytes: u64,
}

/// A key as the port gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRead {
    pub key: String,
    #[serde(with = "crate::hexadecimal::optional")]
    pub value: Option<Vec<u8>>,
}

/// A key as the evaluation left it; no value removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    pub key: String,
    #[serde(with = "crate::hexadecimal::optional")]
    pub value: Option<Vec<u8>>,
}

/// A line that the guest logged, as plain text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
