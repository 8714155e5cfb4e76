//! What plugins said about a transaction, or in a dry run.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Error,
    approvals::Role,
    evaluations::{Evaluation, EvaluationResult, Outcome, Verdict},
    ids::{OrganizationId, TransactionId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall};
use crate::{
    answer::{Answered, ok},
    presentation::{hash, prose, share, time},
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EvaluationsResponse {
    /// In the order in which they were made.
    evaluations: Vec<EvaluationResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EvaluationResponse {
    #[schema(format = "uuid")]
    id: String,
    #[schema(format = "uuid")]
    binding: String,
    plugin: String,
    /// decision, shadow, `dry_run` or replay. Decisions alone are counted.
    purpose: &'static str,
    /// Under which the plugin was asked.
    policy_revision: u64,
    #[serde(flatten)]
    said: SaidResponse,
    #[schema(format = "date-time")]
    created_at: String,
}

/// A verdict with its grounds, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SaidResponse {
    /// The verdict, or `failure`: approve, reject, abstain, `need_approvals`, other.
    verdict: &'static str,
    /// Of the verdict, or of the failure.
    code: String,
    /// The plugin's own words.
    analysis: String,
    /// From 0 to 1; absent counts as below every threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    confidence: Option<f64>,
    /// What it demands besides everything else.
    demands: Vec<DemandResponse>,
    evidence: Vec<EvidenceResponse>,
    duration_micros: u64,
    /// SHA-256 over component digest, settings and grants.
    subject_digest: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemandResponse {
    role: String,
    count: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct EvidenceResponse {
    name: String,
    value: String,
}

/// Every evaluation of a transaction, or of a dry run by its id: who was asked, what it said, and how long it took. What
/// it was shown and what it asked stays on the gateway's machine, for `plugin replay`.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/transactions/{id}/evaluations",
    operation_id = "list_evaluations",
    tag = "Policies",
    params(("organization" = String, Path, format = "uuid"), ("id" = String, Path, format = "uuid")),
    responses((status = 200, body = EvaluationsResponse))
)]
pub(super) async fn list_evaluations(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<EvaluationsResponse> {
    let organization: OrganizationId = call.id("organization")?;
    let transaction: TransactionId = call.id("id")?;
    let store = &desk.services.store;
    let evaluations = store.evaluations(organization, transaction).await?;
    // A dry run has evaluations and no transaction.
    if evaluations.is_empty() && store.transaction(organization, transaction).await?.is_none() {
        return Err(Error::NotFound("transaction").into());
    }
    let evaluations = evaluations.iter().map(|evaluation| EvaluationResponse::of(evaluation)).collect();
    Ok(ok(EvaluationsResponse { evaluations }))
}

impl EvaluationResponse {
    fn of(evaluation: &Evaluation) -> Self {
        Self {
            id: evaluation.id.to_string(),
            binding: evaluation.binding.to_string(),
            plugin: prose(&evaluation.subject_name),
            purpose: evaluation.purpose.as_str(),
            policy_revision: evaluation.policy_revision,
            said: SaidResponse::of(evaluation),
            created_at: time(evaluation.created_at),
        }
    }
}

impl SaidResponse {
    pub(super) fn of(evaluation: &Evaluation) -> Self {
        let shown = Self {
            verdict: "failure",
            code: String::new(),
            analysis: String::new(),
            confidence: None,
            demands: Vec::new(),
            evidence: Vec::new(),
            duration_micros: evaluation.duration_micros,
            subject_digest: hash(evaluation.subject_digest),
        };
        match &evaluation.result {
            EvaluationResult::Failure { code, detail } => {
                Self { code: code.clone(), analysis: prose(detail), ..shown }
            }
            EvaluationResult::Verdict(outcome) => shown.saying(outcome),
        }
    }

    fn saying(self, outcome: &Outcome) -> Self {
        let demands = match &outcome.verdict {
            Verdict::NeedApprovals(needs) => needs.as_slice(),
            Verdict::Approve | Verdict::Reject | Verdict::Abstain | Verdict::Other(_) => &[],
        };
        let demand =
            |(role, count): &(Role, u32)| DemandResponse { role: prose(&role.to_string()), count: *count };
        let named =
            |(name, value): &(String, String)| EvidenceResponse { name: prose(name), value: prose(value) };
        Self {
            verdict: outcome.verdict.as_str(),
            code: prose(&outcome.reason_code),
            analysis: prose(&outcome.analysis),
            confidence: outcome.confidence_ppm.map(share),
            demands: demands.iter().map(demand).collect(),
            evidence: outcome.evidence.iter().map(named).collect(),
            ..self
        }
    }
}
