//! Constructors for the common outcomes.

use crate::{ApprovalsNeeded, Outcome, Verdict};

/// Full confidence, in parts per million.
pub const CERTAIN: u32 = 1_000_000;

impl Outcome {
    /// Approves with full confidence.
    pub fn approve(reason_code: &str, analysis: impl Into<String>) -> Self {
        Self::new(Verdict::Approve, reason_code, analysis)
    }

    /// Rejects with full confidence.
    pub fn reject(reason_code: &str, analysis: impl Into<String>) -> Self {
        Self::new(Verdict::Reject, reason_code, analysis)
    }

    /// Gives no opinion.
    pub fn abstain(reason_code: &str, analysis: impl Into<String>) -> Self {
        Self::new(Verdict::Abstain, reason_code, analysis)
    }

    /// Approves once `count` distinct principals in `role` have approved.
    pub fn need_approvals(role: &str, count: u32, reason_code: &str, analysis: impl Into<String>) -> Self {
        let needed = vec![ApprovalsNeeded { role: role.to_owned(), count }];
        Self::new(Verdict::NeedApprovals(needed), reason_code, analysis)
    }

    /// Sets the confidence in the verdict, in parts per million.
    #[must_use]
    pub fn with_confidence(mut self, parts_per_million: u32) -> Self {
        self.confidence_ppm = parts_per_million;
        self
    }

    /// Adds a fact that the verdict rests on.
    #[must_use]
    pub fn with_evidence(mut self, name: &str, value: impl Into<String>) -> Self {
        self.evidence.push((name.to_owned(), value.into()));
        self
    }

    fn new(verdict: Verdict, reason_code: &str, analysis: impl Into<String>) -> Self {
        Self {
            verdict,
            reason_code: reason_code.to_owned(),
            analysis: analysis.into(),
            confidence_ppm: CERTAIN,
            evidence: Vec::new(),
        }
    }
}
