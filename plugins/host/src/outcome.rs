//! What a plugin answered, after the host has checked, capped and cleaned it.

use serde::{Deserialize, Serialize};

use crate::transaction::NameValue;

/// Full confidence.
pub const PARTS_PER_MILLION: u32 = 1_000_000;

/// A plugin's vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
    Abstain,
    /// Never empty; counts are at least 1.
    NeedApprovals(Vec<ApprovalsNeeded>),
    /// Of a later contract; the caller denies unless it knows the name.
    Other(String),
}

impl Verdict {
    /// Every name that [`Verdict::as_str`] gives.
    pub(crate) const NAMES: [&'static str; 5] = ["approve", "reject", "abstain", "need_approvals", "other"];

    /// The verdict's name, without its arguments.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Abstain => "abstain",
            Self::NeedApprovals(_) => "need_approvals",
            Self::Other(_) => "other",
        }
    }
}

/// A demand for approvals of distinct principals in a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsNeeded {
    pub role: String,
    pub count: u32,
}

/// A verdict and its grounds. All text is plain (see [`plain`](crate::plain)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub verdict: Verdict,
    /// 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`.
    pub reason_code: String,
    pub analysis: String,
    /// 0 to [`PARTS_PER_MILLION`].
    pub confidence_ppm: u32,
    pub evidence: Vec<NameValue>,
}

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema as text. Shown to operators, never evaluated.
    pub settings_schema: String,
}

/// One thing wrong with settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsProblem {
    pub field: String,
    pub rule: String,
}
