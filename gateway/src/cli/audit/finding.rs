//! What is wrong with a log, for people and for programs.

use gateway_domain::audit::AuditFinding;
use gateway_store::StoreError;
use serde::Serialize;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Stable name of the kind of fault.
    pub(super) kind: &'static str,
    /// Names lane and entry, or checkpoint.
    pub(super) message: String,
}

impl Finding {
    pub(super) fn new(kind: &'static str, message: String) -> Self {
        Self { kind, message }
    }

    /// A row that is no value of its type; other errors are not about the log and stay errors.
    pub(super) fn of_unreadable(what: &str, error: StoreError) -> Result<Self, StoreError> {
        match error {
            StoreError::Malformed(malformed) => Ok(Self::new("unreadable", format!("{what}: {malformed}"))),
            other => Err(other),
        }
    }
}

impl From<&AuditFinding> for Finding {
    fn from(finding: &AuditFinding) -> Self {
        let kind = match finding {
            AuditFinding::Gap { .. } => "entry-missing",
            AuditFinding::Broken { .. } => "chain-broken",
            AuditFinding::Changed { .. } => "entry-changed",
            AuditFinding::RolledBack { .. } => "rolled-back",
            AuditFinding::Forged { .. } => "head-forged",
            AuditFinding::CheckpointGap { .. } => "checkpoint-missing",
            AuditFinding::CheckpointBroken { .. } => "checkpoint-chain-broken",
            AuditFinding::ForeignKey { .. } => "foreign-key",
            AuditFinding::BadSignature { .. } => "bad-signature",
            AuditFinding::CheckpointRegress { .. } => "checkpoint-regress",
            AuditFinding::Witness { .. } => "witness-disagrees",
        };
        Self::new(kind, finding.to_string())
    }
}

impl From<AuditFinding> for Finding {
    fn from(finding: AuditFinding) -> Self {
        Self::from(&finding)
    }
}
