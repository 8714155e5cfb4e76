//! What can go wrong, as a closed list: each code is stable, ends in a denial and is counted apart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::EvaluationRecord;
use crate::text::plain;

const DETAIL_BYTES: usize = 4096;

/// Why there is no verdict. Codes are part of the audit trail: never renamed, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The deadline passed, in the queue or in the guest.
    Timeout,
    /// The plugin's queue, or the host's as a whole, is full.
    QueueFull,
    /// The sandbox had to stop the plugin too often in a row; it is not run for a while.
    BreakerOpen,
    /// The host is shutting down.
    ShuttingDown,
    /// The guest asked for more linear memory than it may have.
    MemoryLimit,
    /// The guest asked for more table elements than it may have.
    TableLimit,
    /// The component holds more instances, memories or tables than it may, or larger ones.
    InstanceLimit,
    /// The guest recursed past its native stack.
    StackOverflow,
    /// The guest touched memory that it does not have: a wild pointer, or its own stack ran out.
    OutOfBounds,
    /// The guest aborted; a Rust guest panicked, and its message is in the log.
    Abort,
    /// Any other trap.
    Trap,
    /// More data crossed the boundary, in one call or in the answer, than may.
    OutputTooLarge,
    /// More log lines or bytes than may be written.
    LogLimit,
    /// More state keys or bytes than may be read or written.
    StateLimit,
    /// The caller's state port failed.
    StateUnavailable,
    /// More calls to the host, or bytes in its answers, than may be made.
    CallLimit,
    /// A question about history that covers more time or transactions than may be asked about.
    HistoryLimit,
    /// The history cannot be read.
    HistoryUnavailable,
    /// A request to an upstream that is not declared so.
    HttpRefused,
    /// A question to the chain that is malformed.
    ChainRefused,
    /// A replayed evaluation asked the host something else than the record has.
    ReplayMismatch,
    /// The component imports or called a capability, an upstream or a method of the chain that is not granted.
    MissingCapability,
    /// Confidence above one million parts per million.
    BadConfidence,
    /// An answer that breaks the contract: bad reason code, empty role, count of zero, bad text encoding.
    InvalidOutput,
    /// The plugin itself answered with an error.
    GuestError,
    /// The settings are longer than they may be.
    SettingsTooLarge,
    /// The settings are JSON that languages read differently, such as a key that is named twice.
    SettingsAmbiguous,
    /// The component's bytes do not have the expected digest.
    DigestMismatch,
    /// The component is longer than it may be.
    ComponentTooLarge,
    /// The component does not compile, or compiling exceeded its limits.
    CompileFailed,
    /// The component imports something outside the contract.
    ForeignImport,
    /// The component does not export a released version of the contract.
    UnsupportedContract,
    /// The compiled cache cannot be read or written.
    CacheUnavailable,
    /// A fault of the host itself.
    HostError,
}

impl FailureCode {
    /// The stable text of the code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::QueueFull => "queue_full",
            Self::BreakerOpen => "breaker_open",
            Self::ShuttingDown => "shutting_down",
            Self::MemoryLimit => "memory_limit",
            Self::TableLimit => "table_limit",
            Self::InstanceLimit => "instance_limit",
            Self::StackOverflow => "stack_overflow",
            Self::OutOfBounds => "out_of_bounds",
            Self::Abort => "abort",
            Self::Trap => "trap",
            Self::OutputTooLarge => "output_too_large",
            Self::LogLimit => "log_limit",
            Self::StateLimit => "state_limit",
            Self::StateUnavailable => "state_unavailable",
            Self::CallLimit => "call_limit",
            Self::HistoryLimit => "history_limit",
            Self::HistoryUnavailable => "history_unavailable",
            Self::HttpRefused => "http_refused",
            Self::ChainRefused => "chain_refused",
            Self::ReplayMismatch => "replay_mismatch",
            Self::MissingCapability => "missing_capability",
            Self::BadConfidence => "bad_confidence",
            Self::InvalidOutput => "invalid_output",
            Self::GuestError => "guest_error",
            Self::SettingsTooLarge => "settings_too_large",
            Self::SettingsAmbiguous => "settings_ambiguous",
            Self::DigestMismatch => "digest_mismatch",
            Self::ComponentTooLarge => "component_too_large",
            Self::CompileFailed => "compile_failed",
            Self::ForeignImport => "foreign_import",
            Self::UnsupportedContract => "unsupported_contract",
            Self::CacheUnavailable => "cache_unavailable",
            Self::HostError => "host_error",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// No verdict: a code for machines and a detail for the operator. Not for the plugin's tenants, because
/// the detail may quote the guest.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct EvaluationFailure {
    pub code: FailureCode,
    /// Capped and stripped of control and bidirectional characters.
    pub detail: String,
    /// What was fed to the guest and logged by it, when the guest ran and its thread has answered; else
    /// [`EvaluationRecord::unanswered`] says what was asked.
    pub record: Option<Box<EvaluationRecord>>,
}

impl EvaluationFailure {
    /// A failure without a record. The detail may quote anything that came from a component.
    pub fn new(code: FailureCode, detail: impl AsRef<str>) -> Self {
        Self { code, detail: plain(detail.as_ref(), DETAIL_BYTES), record: None }
    }
}

/// Raised by host functions and limits to end an evaluation; travels through the guest as a trap.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Stop {
    pub(crate) code: FailureCode,
    pub(crate) detail: String,
}

impl Stop {
    pub(crate) fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
