//! Evaluations: what policy bindings say about an intent.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    approvals::Role,
    clock::Timestamp,
    ids::{BindingId, EvaluationId, OrganizationId, TransactionId},
    sealed::{RowVersion, Sealable},
};

mod fresh;
mod retain;
mod run;

pub(crate) use fresh::Fresh;
pub(crate) use retain::{retain, store_alone};
pub(crate) use run::{evaluate, evaluate_dry, evaluate_shadows};

/// Failure codes that say nothing about the transaction: nobody asked the plugin, or the gateway could not answer it.
/// No decision rests on them, the caller is told to come back.
const NOT_ASKED: [&str; 7] = [
    "queue_full",
    "breaker_open",
    "shutting_down",
    "host_error",
    "cache_unavailable",
    "state_unavailable",
    "history_unavailable",
];

/// The code of a shadow that could not be asked, for one of these reasons or another.
const UNASKED: &str = "not_asked";

/// The record of an evaluation that no guest was run for.
const NO_RECORD: &str = "{}";

/// Why an evaluation was made. Only decisions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Decision,
    Shadow,
    DryRun,
    Replay,
}

/// How much dry runs may have stored when one more evaluation of theirs is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DryRunRoom {
    /// From when on evaluations count.
    pub since: Timestamp,
    /// As many as there may be in the organization, with the new one.
    pub evaluations_max: u32,
}

impl Purpose {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Shadow => "shadow",
            Self::DryRun => "dry_run",
            Self::Replay => "replay",
        }
    }
}

/// A binding's word about one intent, with what is needed to hear it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub id: EvaluationId,
    pub organization: OrganizationId,
    pub transaction: TransactionId,
    pub intent_hash: B256,
    pub binding: BindingId,
    pub policy_revision: u64,
    /// SHA-256 over component digest, settings and grants of the evaluated revision.
    pub subject_digest: B256,
    /// The plugin's or rule's name, for people.
    pub subject_name: String,
    pub purpose: Purpose,
    pub result: EvaluationResult,
    pub duration_micros: u64,
    /// What replays the evaluation bit for bit: request, settings digest, host answers, logs.
    pub record: String,
    pub created_at: Timestamp,
}

impl Evaluation {
    /// The code of a failure that is no word of the plugin's: the gateway did not, or could not, ask it.
    pub fn unasked(&self) -> Option<&str> {
        match &self.result {
            EvaluationResult::Failure { code, .. } if !self.is_recorded() => Some(code),
            result => result.unasked(),
        }
    }

    /// Whether there is anything that replays it.
    pub fn is_recorded(&self) -> bool {
        self.record != NO_RECORD
    }
}

/// A failure is not a verdict, and it denies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationResult {
    Verdict(Outcome),
    Failure {
        /// From a closed list, such as `timeout`.
        code: String,
        detail: String,
    },
}

impl EvaluationResult {
    /// The code of a failure that says nothing about the transaction.
    pub fn unasked(&self) -> Option<&str> {
        match self {
            Self::Failure { code, .. } if NOT_ASKED.contains(&code.as_str()) => Some(code),
            Self::Failure { .. } | Self::Verdict(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub verdict: Verdict,
    pub reason_code: String,
    pub analysis: String,
    /// Parts per million; absent counts as below every threshold.
    pub confidence_ppm: Option<u32>,
    pub evidence: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
    Abstain,
    /// Approvals demanded besides everything else.
    NeedApprovals(Vec<(Role, u32)>),
    /// A case this gateway does not know; it denies.
    Other(String),
}

impl Sealable for Evaluation {
    const TABLE: &'static str = "evaluations";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::written_once::<Self>(self.id))
    }
}

impl Verdict {
    /// The verdict's name, without what it demands.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Abstain => "abstain",
            Self::NeedApprovals(_) => "need_approvals",
            Self::Other(_) => "other",
        }
    }
}
