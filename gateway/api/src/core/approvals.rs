//! Approvals: votes on a transaction, and which are still wanted.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    B256, Error, OpCtx,
    actor::Actor,
    approvals::{Ballot, CastVote, Role, VoteRecorded, cast_vote},
    credentials::Label,
    policy::Policy,
    sealed::Sealed,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created, ok},
    core::{
        call::Call,
        shapes,
        transactions::{
            ApiKeyApproval, Hearing, TransactionApproval, VoteView, execution_number, role_words, status_word,
        },
    },
    extract::{Fields, Json, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

/// A vote. All but `approved` is for orion keys.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateApprovalDto {
    approved: bool,
    /// Absent counts as below every threshold.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    confidence: Option<u32>,
    #[schema(max_length = 20_000, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    analysis: Option<String>,
    /// Equal to the path's.
    #[schema(value_type = Option<shapes::Hash>)]
    request_hash: Option<B256>,
}

impl Wire for CreateApprovalDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let approved = fields.required("approved", scalar::boolean);
        let confidence = fields.optional("confidence", scalar::confidence);
        let analysis = fields.optional("analysis", scalar::prose(20_000));
        let request_hash = fields.optional("requestHash", scalar::bytes32);
        Some(Self { approved: approved?, confidence, analysis, request_hash })
    }
}

/// What form 3 signs of the body. Everything else in it is judged after authentication.
pub(crate) fn approved_of(body: &Json) -> Result<bool, Failure> {
    let approved = match body {
        Json::Object(members) => members.iter().find(|(name, _)| name == "approved"),
        _ => None,
    };
    match approved {
        Some((_, Json::Bool(approved))) => Ok(*approved),
        Some((_, other)) => {
            Err(Failure::invalid(format!("approved must be true or false, not {}", other.kind())))
        }
        None => Err(Failure::invalid("approved is required")),
    }
}

/// The recorded vote and the transaction's status after it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ApprovalResponse {
    Wallet(WalletApprovalResponse),
    ApiKey(ApiKeyApprovalResponse),
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalletApprovalResponse {
    #[serde(flatten)]
    approval: TransactionApproval,
    #[schema(value_type = shapes::TransactionStatus)]
    transaction_status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyApprovalResponse {
    #[serde(flatten)]
    approval: ApiKeyApproval,
    #[schema(value_type = shapes::TransactionStatus)]
    transaction_status: &'static str,
}

/// Records the caller's vote. The same vote again answers with the first record while that counts; another may follow one
/// that no longer does (an expired signature, a revoked key). A rejection takes an approval back as long as nothing was
/// permitted to be signed.
#[utoipa::path(
    post,
    path = "/transactions/{requestHash}/approvals",
    tag = "Approvals",
    params(("requestHash" = inline(shapes::Hash), Path)),
    request_body = CreateApprovalDto,
    responses((status = 201, body = ApprovalResponse))
)]
pub(crate) async fn create_approval(State(app): State<Arc<App>>, call: Call) -> Answered<ApprovalResponse> {
    let request_hash = call.path("requestHash", scalar::bytes32_text)?;
    let body: CreateApprovalDto = call.body()?;
    check_repeated_hash(&call.ctx, &body, request_hash)?;
    let cast = CastVote {
        ballot: if body.approved { Ballot::Approve } else { Ballot::Reject },
        confidence_ppm: body.confidence,
        analysis: body.analysis,
        signed_until: call.signed_until,
    };
    let recorded = cast_vote(&call.ctx, &app.services, request_hash, cast).await?;
    Ok(created(ApprovalResponse::of(&recorded)))
}

impl ApprovalResponse {
    fn of(recorded: &VoteRecorded) -> Self {
        let transaction_status = status_word(&recorded.transaction.state);
        match VoteView::of(&recorded.vote, &recorded.transaction) {
            VoteView::Wallet(approval) => {
                Self::Wallet(WalletApprovalResponse { approval, transaction_status })
            }
            VoteView::ApiKey(approval) => {
                Self::ApiKey(ApiKeyApprovalResponse { approval, transaction_status })
            }
        }
    }
}

fn check_repeated_hash(ctx: &OpCtx, body: &CreateApprovalDto, request_hash: B256) -> Result<(), Failure> {
    let is_orion = matches!(&ctx.actor, Actor::ApiKey(key) if key.label == Label::Orion);
    match body.request_hash {
        Some(_) if !is_orion => Err(Failure::invalid("requestHash may only be given with an orion key")),
        Some(repeated) if repeated != request_hash => {
            Err(Failure::invalid("requestHash must equal the requestHash of the path"))
        }
        Some(_) | None => Ok(()),
    }
}

#[expect(clippy::struct_excessive_bools, reason = "the contract names these four")]
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApprovalStatusResponse {
    #[schema(format = "uuid")]
    transaction_id: String,
    #[schema(format = "uuid")]
    organization: String,
    #[schema(value_type = shapes::Hash)]
    request_hash: String,
    /// What votes are about: form 3 signs it.
    #[schema(value_type = shapes::Hash)]
    intent_hash: String,
    #[schema(value_type = shapes::TransactionStatus)]
    status: &'static str,
    #[schema(minimum = 0, maximum = 2)]
    execution_type: u8,
    user: bool,
    agent: bool,
    arbiter: bool,
    orion: bool,
    /// Roles that must approve, those included that have.
    required: Vec<String>,
    rejected_by: Vec<String>,
}

/// Who has approved, who must, and the hashes that an approval signature covers.
#[utoipa::path(
    get,
    path = "/transactions/{requestHash}/approval-status",
    tag = "Approvals",
    params(("requestHash" = inline(shapes::Hash), Path)),
    responses((status = 200, body = ApprovalStatusResponse))
)]
pub(crate) async fn get_approval_status(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<ApprovalStatusResponse> {
    let request_hash = call.path("requestHash", scalar::bytes32_text)?;
    let found = app.services.store.transaction_by_request_hash(call.ctx.organization, request_hash).await?;
    let transaction =
        found.filter(|found| call.reach.covers(found.owner)).ok_or(Error::NotFound("transaction"))?;
    let policy = Hearing::policy(&app.services, call.ctx.organization).await?;
    let hearing = Hearing::of(&app.services, &policy, transaction).await?;
    let hearing = hearing.counting_now(&app.services, call.ctx.now).await?;
    Ok(ok(ApprovalStatusResponse::of(&hearing, &policy)))
}

impl ApprovalStatusResponse {
    fn of(hearing: &Hearing, policy: &Sealed<Policy>) -> Self {
        let transaction = &hearing.transaction;
        let approved = hearing.approved_roles();
        Self {
            transaction_id: transaction.id.to_string(),
            organization: transaction.organization.to_string(),
            request_hash: presentation::hash(transaction.request_hash),
            intent_hash: presentation::hash(transaction.intent_hash),
            status: status_word(&transaction.state),
            execution_type: execution_number(transaction.execution_type),
            user: approved.contains(&Role::User),
            agent: approved.contains(&Role::Agent),
            arbiter: approved.contains(&Role::Arbiter),
            orion: approved.contains(&Role::Orion),
            required: role_words(&hearing.required(policy)),
            rejected_by: role_words(&hearing.rejecting_roles()),
        }
    }
}
