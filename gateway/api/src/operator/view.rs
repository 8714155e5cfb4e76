//! Operators and proposals as `/operator/v1` shows them.

use gateway_domain::operators::{Approval, Charter, Operator, OperatorRole, Proposal};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::presentation::{prose, time};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CharterResponse {
    /// Counts from 1, the genesis record.
    revision: u64,
    /// Approvers besides the proposer who must sign a proposal.
    approvals_required: u32,
    operators: Vec<OperatorResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OperatorResponse {
    #[schema(format = "uuid")]
    id: String,
    name: String,
    /// author, approver, auditor.
    roles: Vec<&'static str>,
    /// SHA-256 of the P-256 point.
    key_fingerprint: String,
    #[schema(format = "date-time")]
    enrolled_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time", nullable = false)]
    revoked_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProposalResponse {
    #[schema(format = "uuid")]
    id: String,
    /// The nil UUID for a change of the charter.
    #[schema(format = "uuid")]
    organization: String,
    #[schema(format = "uuid")]
    proposer: String,
    /// What approvers sign: SHA-256 of `signedText`.
    digest: String,
    /// JSON of everything that was proposed. Clients should show this, and compute the digest themselves.
    signed_text: String,
    /// open, carried, `carried_at_once`, used, refused, withdrawn or expired.
    state: &'static str,
    reason: String,
    /// As it was proposed.
    #[schema(schema_with = super::description::change)]
    change: Value,
    approvals: Vec<ApprovalResponse>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    expires_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ApprovalResponse {
    #[schema(format = "uuid")]
    operator: String,
    #[schema(format = "date-time")]
    at: String,
    /// The signed request, to be checked with the operator's key.
    evidence: String,
}

impl CharterResponse {
    pub(super) fn of(charter: &Charter) -> Self {
        Self {
            revision: charter.revision,
            approvals_required: charter.approvals_required,
            operators: charter.operators.iter().map(OperatorResponse::of).collect(),
        }
    }
}

impl OperatorResponse {
    fn of(operator: &Operator) -> Self {
        Self {
            id: operator.id.to_string(),
            name: prose(&operator.name),
            roles: operator.roles.iter().copied().map(OperatorRole::as_str).collect(),
            key_fingerprint: operator.public_key.fingerprint(),
            enrolled_at: time(operator.enrolled_at),
            revoked_at: operator.revoked_at.map(time),
        }
    }
}

impl ProposalResponse {
    pub(super) fn of(proposal: &Proposal, now: gateway_domain::Timestamp) -> Self {
        let has_expired = proposal.state.name() == "open" && !proposal.is_open(now);
        Self {
            id: proposal.id.to_string(),
            organization: proposal.organization.to_string(),
            proposer: proposal.proposer.to_string(),
            digest: proposal.digest().to_string(),
            signed_text: proposal.signed_text(),
            state: if has_expired { "expired" } else { proposal.state.name() },
            reason: prose(&proposal.reason),
            change: serde_json::to_value(&proposal.change).unwrap_or_default(),
            approvals: proposal.approvals.iter().map(ApprovalResponse::of).collect(),
            created_at: time(proposal.created_at),
            expires_at: time(proposal.expires_at),
        }
    }
}

impl ApprovalResponse {
    fn of(approval: &Approval) -> Self {
        Self {
            operator: approval.operator.to_string(),
            at: time(approval.at),
            evidence: approval.evidence.clone(),
        }
    }
}
