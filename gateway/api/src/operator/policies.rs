//! Policies: the one in force, and those before it with who carried them.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use gateway_domain::{Error, ids::OrganizationId, operators::Proposal, policy::Policy};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, description};
use crate::{
    answer::{Answered, ok},
    extract::{Fields, Json, Wire, scalar},
    presentation::{prose, time},
};

const PAGE_MAX: u32 = 50;
/// That databases can count to.
const REVISION_MAX: u64 = i64::MAX as u64;

#[derive(Debug)]
pub(super) struct ListQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.optional("before", revision);
        let limit = fields.optional("limit", scalar::count(1, PAGE_MAX));
        Some(Self { before, limit })
    }
}

fn revision(json: &Json) -> Result<u64, String> {
    let number = scalar::counter(json).ok().filter(|number| (1..=REVISION_MAX).contains(number));
    number.ok_or_else(|| format!("must be 1 to {REVISION_MAX}"))
}

/// A policy in the form in which a change names the next one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyResponse {
    revision: u64,
    #[schema(schema_with = description::floor)]
    floor: Value,
    #[schema(schema_with = description::bindings)]
    bindings: Value,
    /// Ids of the plugin revisions among them that were revoked: their bindings deny.
    revoked: Vec<String>,
    #[schema(format = "date-time")]
    created_at: String,
    /// Absent in a deployment without operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    carried: Option<CarriedResponse>,
}

/// Who made a policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CarriedResponse {
    #[schema(format = "uuid")]
    proposal: String,
    #[schema(format = "uuid")]
    proposer: String,
    /// Ids of the operators whose approvals the proposal holds.
    approvers: Vec<String>,
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PoliciesResponse {
    policies: Vec<PolicyResponse>,
}

/// The policy in force.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/policy",
    operation_id = "get_policy",
    tag = "Policies",
    params(("organization" = String, Path, format = "uuid")),
    responses((status = 200, body = PolicyResponse))
)]
pub(super) async fn get_policy(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<PolicyResponse> {
    let organization: OrganizationId = call.id("organization")?;
    let policy = desk.services.store.policy(organization).await?.ok_or(Error::NotFound("policy"))?;
    Ok(ok(desk.shown(&policy).await?))
}

/// Policies, newest first: each is what a proposal made of the one before it.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/policies",
    operation_id = "list_policies",
    tag = "Policies",
    params(
        ("organization" = String, Path, format = "uuid"),
        ("before" = Option<u64>, Query, minimum = 1, maximum = 9_223_372_036_854_775_807_i64, description = "The last revision of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Default 25.")
    ),
    responses((status = 200, body = PoliciesResponse))
)]
pub(super) async fn list_policies(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<PoliciesResponse> {
    let ListQuery { before, limit } = call.query()?;
    let organization: OrganizationId = call.id("organization")?;
    let listed = desk.services.store.policy_list(organization, before, limit.unwrap_or(PAGE_MAX / 2)).await?;
    let mut policies = Vec::with_capacity(listed.len());
    for policy in &listed {
        policies.push(desk.shown(policy).await?);
    }
    Ok(ok(PoliciesResponse { policies }))
}

/// One policy of the past, or the one in force.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/policies/{revision}",
    operation_id = "get_policy_revision",
    tag = "Policies",
    params(("organization" = String, Path, format = "uuid"), ("revision" = u64, Path, minimum = 1)),
    responses((status = 200, body = PolicyResponse))
)]
pub(super) async fn get_policy_revision(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<PolicyResponse> {
    let organization: OrganizationId = call.id("organization")?;
    let policy = desk.services.store.policy_revision(organization, call.number("revision")?).await?;
    let policy = policy.ok_or(Error::NotFound("policy"))?;
    Ok(ok(desk.shown(&policy).await?))
}

impl Desk {
    async fn shown(&self, policy: &Policy) -> gateway_domain::Result<PolicyResponse> {
        let carried = match policy.proposal {
            Some(id) => {
                self.services.store.proposal(id).await?.map(|proposal| CarriedResponse::of(&proposal))
            }
            None => None,
        };
        let revocations = self.services.store.plugin_revocations(policy.organization).await?;
        let bound: BTreeSet<_> = policy.bindings.iter().map(|binding| binding.revision).collect();
        let revoked = revocations.iter().filter(|revocation| bound.contains(&revocation.revision));
        Ok(PolicyResponse {
            revision: policy.revision,
            floor: serde_json::to_value(&policy.floor).unwrap_or_default(),
            bindings: serde_json::to_value(&policy.bindings).unwrap_or_default(),
            revoked: revoked.map(|revocation| revocation.revision.to_string()).collect(),
            created_at: time(policy.created_at),
            carried,
        })
    }
}

impl CarriedResponse {
    fn of(proposal: &Proposal) -> Self {
        Self {
            proposal: proposal.id.to_string(),
            proposer: proposal.proposer.to_string(),
            approvers: proposal.approvals.iter().map(|approval| approval.operator.to_string()).collect(),
            reason: prose(&proposal.reason),
        }
    }
}
