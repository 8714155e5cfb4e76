//! Going back to an earlier policy: at once by one approver where little can come of it, else by a proposal.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use gateway_domain::operators::{self, Change, Propose, REASON_CHARACTERS_MAX, RollbackObstacle, RolledBack};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, proposals::LIFETIME_DEFAULT, view::ProposalResponse};
use crate::{
    answer::{Answered, created},
    extract::{Fields, Wire, scalar},
};

#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackDto {
    /// Why; for those who approve, and for the record.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

impl Wire for RollbackDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { reason: fields.required("reason", scalar::prose(REASON_CHARACTERS_MAX))? })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RollbackResponse {
    /// Whether that policy is in force again; if not, its proposal waits for approvals.
    at_once: bool,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    obstacle: Option<&'static str>,
    proposal: ProposalResponse,
}

/// Brings an earlier policy back: at once if the caller is an approver, a quorum carried that policy, one replaced it within
/// `limits.rollback_window_seconds`, and only revisions of the same plugins differ, none of them revoked. Otherwise it is proposed, which needs the role author. What must not come back is to be revoked.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/policies/{revision}/rollback",
    operation_id = "roll_back_policy",
    tag = "Policies",
    params(("organization" = String, Path, format = "uuid"), ("revision" = u64, Path, minimum = 1)),
    request_body = RollbackDto,
    responses((status = 201, body = RollbackResponse))
)]
pub(super) async fn roll_back_policy(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<RollbackResponse> {
    operators::require_stopper(&call.ctx)?;
    let RollbackDto { reason } = call.body()?;
    let ctx = call.within(call.id("organization")?);
    let to = call.number("revision")?;
    let change = Change::PolicyRollback { to, policy: None };
    let request = Propose { change, reason, lifetime: Duration::from_secs(LIFETIME_DEFAULT) };
    let RolledBack { proposal, obstacle } =
        operators::roll_back_policy(&ctx, &desk.services, to, request).await?;
    Ok(created(RollbackResponse {
        at_once: obstacle.is_none(),
        obstacle: obstacle.map(RollbackObstacle::as_str),
        proposal: ProposalResponse::of(&proposal, ctx.now),
    }))
}
