//! Proposals: what permits more than before, and who agreed.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use gateway_domain::{
    B256,
    ids::{OrganizationId, ProposalId},
    operators::{self, Change, DEPLOYMENT, Proposal, Propose, REASON_CHARACTERS_MAX},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, description, view::ProposalResponse};
use crate::{
    answer::{Answered, created, ok},
    extract::{Fields, Json, Wire, scalar},
};

pub(super) const LIFETIME_DEFAULT: u64 = 7 * 86_400;
const LIFETIME_MAX: u64 = 30 * 86_400;
const PAGE_MAX: u32 = 50;

#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProposeDto {
    /// Absent for a change of the charter.
    #[schema(value_type = Option<String>, format = "uuid")]
    organization: Option<OrganizationId>,
    #[schema(schema_with = description::change)]
    change: Change,
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// For how long it may be approved. Default seven days.
    #[schema(minimum = 60, maximum = 2_592_000)]
    lifetime_seconds: Option<u64>,
}

impl Wire for ProposeDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let organization = fields.optional("organization", scalar::uuid);
        let change = fields.required("change", change);
        let reason = fields.required("reason", scalar::prose(REASON_CHARACTERS_MAX));
        let lifetime_seconds = fields.optional("lifetimeSeconds", scalar::whole(60, LIFETIME_MAX));
        Some(Self { organization, change: change?, reason: reason?, lifetime_seconds })
    }
}

/// What the caller has read, and agrees to or ends.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DigestDto {
    #[schema(value_type = String, pattern = "^0x[0-9a-fA-F]{64}$")]
    digest: B256,
}

impl Wire for DigestDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { digest: fields.required("digest", scalar::bytes32)? })
    }
}

#[derive(Debug)]
pub(super) struct ListQuery {
    before: Option<ProposalId>,
    limit: Option<u32>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.optional("before", scalar::uuid);
        let limit = fields.optional("limit", scalar::count(1, PAGE_MAX));
        Some(Self { before, limit })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposalsResponse {
    proposals: Vec<ProposalResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimedResponse {
    #[schema(format = "uuid")]
    id: String,
    /// Shown only now.
    api_key: String,
}

/// The change, and nothing in it that would be overlooked.
fn change(json: &Json) -> Result<Change, String> {
    let given = Value::from(json);
    let change: Change =
        serde_json::from_value(given.clone()).map_err(|error| format!("is malformed: {error}"))?;
    let understood = serde_json::to_value(&change).map_err(|error| error.to_string())?;
    match overlooked(&given, &understood) {
        Some(name) => Err(format!("has the unknown field `{}`", name.escape_debug())),
        None => Ok(change),
    }
}

/// A member of `given` that is not in `understood`.
fn overlooked<'a>(given: &'a Value, understood: &Value) -> Option<&'a str> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(name, value)| {
            understood.get(name).map_or(Some(name.as_str()), |known| overlooked(value, known))
        }),
        (Value::Array(given), Value::Array(understood)) => {
            given.iter().zip(understood).find_map(|(value, known)| overlooked(value, known))
        }
        _ => None,
    }
}

/// Proposes a change. Needs the role author.
#[utoipa::path(
    post,
    path = "/operator/v1/proposals",
    operation_id = "create_proposal",
    tag = "Proposals",
    request_body = ProposeDto,
    responses((status = 201, body = ProposalResponse))
)]
pub(super) async fn create_proposal(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalResponse> {
    let ProposeDto { organization, change, reason, lifetime_seconds } = call.body()?;
    let lifetime = Duration::from_secs(lifetime_seconds.unwrap_or(LIFETIME_DEFAULT));
    let ctx = call.within(organization.unwrap_or(DEPLOYMENT));
    let proposal = operators::propose(&ctx, &desk.services, Propose { change, reason, lifetime }).await?;
    Ok(created(ProposalResponse::of(&proposal, ctx.now)))
}

/// Proposals, newest first.
#[utoipa::path(
    get,
    path = "/operator/v1/proposals",
    operation_id = "list_proposals",
    tag = "Proposals",
    params(
        ("before" = Option<String>, Query, format = "uuid", description = "The last id of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Default 25.")
    ),
    responses((status = 200, body = ProposalsResponse))
)]
pub(super) async fn list_proposals(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalsResponse> {
    let ListQuery { before, limit } = call.query()?;
    let listed = desk.services.store.proposals(before, limit.unwrap_or(PAGE_MAX / 2)).await?;
    let proposals = listed.iter().map(|proposal| ProposalResponse::of(proposal, call.ctx.now)).collect();
    Ok(ok(ProposalsResponse { proposals }))
}

/// One proposal, with who approved it and how that can be checked.
#[utoipa::path(
    get,
    path = "/operator/v1/proposals/{id}",
    operation_id = "get_proposal",
    tag = "Proposals",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, body = ProposalResponse))
)]
pub(super) async fn get_proposal(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalResponse> {
    let found = desk.services.store.proposal(call.id("id")?).await?;
    let proposal = found.ok_or(gateway_domain::Error::NotFound("proposal"))?;
    Ok(ok(ProposalResponse::of(&proposal, call.ctx.now)))
}

/// Approves what was read. The last approval that the charter demands makes the change. Needs the role approver.
#[utoipa::path(
    post,
    path = "/operator/v1/proposals/{id}/approve",
    operation_id = "approve_proposal",
    tag = "Proposals",
    params(("id" = String, Path, format = "uuid")),
    request_body = DigestDto,
    responses((status = 200, body = ProposalResponse))
)]
pub(super) async fn approve_proposal(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalResponse> {
    answer(&call, async |id, digest| operators::approve_proposal(&call.ctx, &desk.services, id, digest).await)
        .await
}

/// Ends a proposal; one author or approver is enough.
#[utoipa::path(
    post,
    path = "/operator/v1/proposals/{id}/refuse",
    operation_id = "refuse_proposal",
    tag = "Proposals",
    params(("id" = String, Path, format = "uuid")),
    request_body = DigestDto,
    responses((status = 200, body = ProposalResponse))
)]
pub(super) async fn refuse_proposal(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalResponse> {
    answer(&call, async |id, digest| operators::refuse_proposal(&call.ctx, &desk.services, id, digest).await)
        .await
}

/// Takes the caller's own proposal back.
#[utoipa::path(
    post,
    path = "/operator/v1/proposals/{id}/withdraw",
    operation_id = "withdraw_proposal",
    tag = "Proposals",
    params(("id" = String, Path, format = "uuid")),
    request_body = DigestDto,
    responses((status = 200, body = ProposalResponse))
)]
pub(super) async fn withdraw_proposal(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ProposalResponse> {
    answer(&call, async |id, digest| {
        operators::withdraw_proposal(&call.ctx, &desk.services, id, digest).await
    })
    .await
}

/// What becomes of the proposal that the caller has read.
async fn answer(
    call: &OperatorCall,
    decide: impl AsyncFnOnce(ProposalId, B256) -> gateway_domain::Result<Proposal>,
) -> Answered<ProposalResponse> {
    let DigestDto { digest } = call.body()?;
    let proposal = decide(call.id("id")?, digest).await?;
    Ok(ok(ProposalResponse::of(&proposal, call.ctx.now)))
}

/// Makes the API key that a carried proposal allows, once, for its proposer.
#[utoipa::path(
    post,
    path = "/operator/v1/proposals/{id}/api-key",
    operation_id = "claim_api_key",
    tag = "Proposals",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 201, body = ClaimedResponse))
)]
pub(super) async fn claim_api_key(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<ClaimedResponse> {
    let (key, text) = operators::claim_api_key(&call.ctx, &desk.services, call.id("id")?).await?;
    Ok(created(ClaimedResponse { id: key.id.to_string(), api_key: text.reveal().as_str().to_owned() }))
}
