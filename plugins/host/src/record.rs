//! Requests, and the record of an evaluation: all that is needed to repeat it elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

use crate::capability::Grants;
use crate::digest::Digest;
use crate::outcome::Outcome;
use crate::outside::{Gap, HostCall, OutsidePort, RecordedAnswers, RecordedCalls};
use crate::prepare::PreparedPlugin;
use crate::sandbox::Sandbox;
use crate::settings::Settings;
use crate::state::{Counted, CounterName, StatePort, StateSnapshot};
use crate::transaction::{ClaimedTransaction, VerifiedTransaction};

/// One transaction to judge under one binding.
pub struct EvaluationRequest {
    pub verified: VerifiedTransaction,
    pub claimed: ClaimedTransaction,
    pub settings: Settings,
    /// What the binding is granted.
    pub grants: Grants,
    pub state: Arc<dyn StatePort>,
    pub outside: Arc<dyn OutsidePort>,
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
    /// Steps of the guest, where the engine counts them.
    pub fuel: Option<u64>,
    pub record: EvaluationRecord,
}

/// Everything that went into and out of the sandbox. Fed with the same component, inputs and answers
/// of the host, an evaluation comes to the same outcome and writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    pub component: Digest,
    /// Fingerprint of the engine and its settings. Another one may compile the component differently.
    pub engine: Digest,
    /// Names what bounded the evaluation: memory, sizes, calls, time. Under other bounds it may end otherwise.
    pub limits: Digest,
    /// Version of the contract that the component was built against.
    pub contract: String,
    pub verified: VerifiedTransaction,
    pub claimed: ClaimedTransaction,
    pub settings: Settings,
    pub settings_digest: Digest,
    pub grants: Grants,
    pub requested_at_ms: u64,
    /// In order of the key; the value that the port gave.
    pub state_reads: Vec<StateRead>,
    /// In order of the key; the caller applies them with the verdict, if no read has changed.
    pub state_writes: Vec<StateWrite>,
    /// In order of the counter; what the port said of it.
    pub counter_reads: Vec<CounterRead>,
    /// In order of the counter; the caller applies them like writes.
    pub reservations: Vec<Reservation>,
    /// In order of the calls: what the guest asked of the outside, and every answer.
    pub host_calls: Vec<HostCall>,
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

/// A counter as the port gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRead {
    #[serde(flatten)]
    pub counter: CounterName,
    #[serde(with = "crate::decimal")]
    pub others: U256,
    pub is_final: bool,
}

/// What the transaction is to hold under a counter; it replaces what it held before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    #[serde(flatten)]
    pub counter: CounterName,
    #[serde(with = "crate::decimal")]
    pub amount: U256,
}

impl CounterRead {
    pub(crate) fn new(counter: CounterName, found: Counted) -> Self {
        Self { counter, others: found.others, is_final: found.is_final }
    }
}

impl EvaluationRecord {
    /// The record of a request that got no answer from its thread: the guest was not run, or nobody waited for it any more.
    /// It says what was asked, and nothing of what the guest did.
    pub fn unanswered(plugin: &PreparedPlugin, request: EvaluationRequest) -> Self {
        let EvaluationRequest { verified, claimed, settings, grants, requested_at_ms, .. } = request;
        let mut sandbox = Sandbox::new(Arc::clone(plugin.limits()), grants);
        sandbox.requested_at_ms = requested_at_ms;
        Self::of(plugin, sandbox, grants, settings, (verified, claimed))
    }

    /// What went into a sandbox, and what it has seen and done.
    pub(crate) fn of(
        plugin: &PreparedPlugin,
        sandbox: Sandbox,
        grants: Grants,
        settings: Settings,
        (verified, claimed): (VerifiedTransaction, ClaimedTransaction),
    ) -> Self {
        let (state_reads, state_writes, counter_reads, reservations) = sandbox.memory.into_record();
        Self {
            component: plugin.digest(),
            engine: plugin.engine_digest(),
            limits: plugin.limits_digest(),
            contract: plugin.contract().version().to_owned(),
            verified,
            claimed,
            settings_digest: settings.digest(),
            settings,
            grants,
            requested_at_ms: sandbox.requested_at_ms,
            state_reads,
            state_writes,
            counter_reads,
            reservations,
            host_calls: sandbox.calls.into_record(),
            logs: sandbox.logs,
            memory_peak_bytes: sandbox.memory_peak_bytes as u64,
        }
    }

    /// The request that repeats this evaluation: same inputs, and the same answers of the host.
    pub fn repeat(&self) -> EvaluationRequest {
        EvaluationRequest {
            verified: self.verified.clone(),
            claimed: self.claimed.clone(),
            settings: self.settings.clone(),
            grants: self.grants,
            state: Arc::new(self.state()),
            outside: Arc::new(RecordedCalls::new(self.host_calls.iter().cloned())),
            requested_at_ms: self.requested_at_ms,
            deadline: None,
        }
    }

    /// The request that asks another plugin about the same transaction, under settings and grants of its own, with
    /// whatever answers this record has. What it asks besides ends the evaluation and is told by the gap.
    pub fn ask_anew(&self, settings: Settings, grants: Grants) -> (EvaluationRequest, Gap) {
        let gap = Gap::default();
        let answers = Arc::new(RecordedAnswers::of(self, gap.clone()));
        let request = EvaluationRequest {
            verified: self.verified.clone(),
            claimed: self.claimed.clone(),
            settings,
            grants,
            state: Arc::clone(&answers) as Arc<dyn StatePort>,
            outside: answers,
            requested_at_ms: self.requested_at_ms,
            deadline: None,
        };
        (request, gap)
    }

    fn state(&self) -> StateSnapshot {
        let values = self.state_reads.iter().filter_map(|read| Some((read.key.clone(), read.value.clone()?)));
        let counted = |read: &CounterRead| Counted { others: read.others, is_final: read.is_final };
        let counters = self.counter_reads.iter().map(|read| (read.counter.clone(), counted(read)));
        StateSnapshot { values: values.collect(), counters: counters.collect() }
    }
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
