//! Operators, proposals and policies as `/operator/v1` shows them.

use gateway_domain::{
    operators::{Approval, Charter, Operator, OperatorRole, Proposal},
    policy::{PluginRevision, Policy},
    sealed::Sealed,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::presentation::{prose, time};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CharterResponse {
    /// Counts from 1, the genesis record.
    revision: u64,
    /// Approvers who must sign a proposal.
    approvals_required: u32,
    /// Whether the proposer's own approval counts; only in `dev`.
    self_approval: bool,
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
    /// open, carried, used, refused, withdrawn or expired.
    state: &'static str,
    reason: String,
    /// As it was proposed.
    #[schema(value_type = Object)]
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

/// The policy in force, in the form in which a change names the next one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyResponse {
    revision: u64,
    #[schema(value_type = Object)]
    floor: Value,
    #[schema(value_type = Vec<Object>)]
    bindings: Value,
    #[schema(format = "date-time")]
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginsResponse {
    plugins: Vec<PluginResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PluginResponse {
    /// Of this revision.
    #[schema(format = "uuid")]
    id: String,
    plugin: String,
    /// SHA-256 of the component.
    component_digest: String,
    /// SHA-256 over component digest, settings and grants: what a binding names.
    subject_digest: String,
    /// JSON.
    settings: String,
    grants: Vec<String>,
    #[schema(format = "date-time")]
    created_at: String,
}

impl PluginsResponse {
    pub(super) fn of(revisions: &[Sealed<PluginRevision>]) -> Self {
        let shown = revisions.iter().map(|revision| PluginResponse {
            id: revision.id.to_string(),
            plugin: revision.plugin.clone(),
            component_digest: revision.component_digest.to_string(),
            subject_digest: revision.subject_digest().to_string(),
            settings: revision.settings.clone(),
            grants: revision.grants.iter().cloned().collect(),
            created_at: time(revision.created_at),
        });
        Self { plugins: shown.collect() }
    }
}

impl CharterResponse {
    pub(super) fn of(charter: &Charter) -> Self {
        Self {
            revision: charter.revision,
            approvals_required: charter.approvals_required,
            self_approval: charter.self_approval,
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

impl PolicyResponse {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            revision: policy.revision,
            floor: serde_json::to_value(&policy.floor).unwrap_or_default(),
            bindings: serde_json::to_value(&policy.bindings).unwrap_or_default(),
            created_at: time(policy.created_at),
        }
    }
}
