//! Dry runs: "would this be approved?", with the body that `POST /transactions` of the core family takes unencrypted.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Address, U256,
    approvals::EvidenceLevel,
    chain::ChainId,
    operators,
    policy::{Mode, Power, Rehearsal, Requirement},
    transactions::{DryRun, DryRunRequest, ExecutionType, Opinion, dry_run},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, evaluations::SaidResponse};
use crate::{
    answer::{Answered, ok},
    extract::{Fields, Wire, scalar},
    presentation::{hash, prose},
};

const DATA_BYTES_MAX: usize = 128 * 1024;
const NOTE_CHARACTERS_MAX: usize = 256;

/// What would be asked for.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DryRunDto {
    /// Whose funds would move: the escrow address of a user.
    #[schema(value_type = String, pattern = "^0x[0-9a-fA-F]{40}$")]
    escrow_address: Address,
    #[schema(value_type = String, pattern = "^0x[0-9a-fA-F]{40}$")]
    to: Address,
    /// Wei in decimal digits, below 2^256.
    #[schema(value_type = String, pattern = "^[0-9]{1,78}$")]
    value: U256,
    /// Call data, at most 128 KiB; absent means none.
    #[schema(value_type = Option<String>, pattern = "^0x([0-9a-fA-F]{2})*$")]
    data: Vec<u8>,
    #[schema(value_type = u64, minimum = 1)]
    chain_id: ChainId,
    /// 0 unless it says otherwise; 1 and 2 show what an encrypted request would need.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 2)]
    execution_type: ExecutionType,
    #[schema(max_length = 256)]
    note: Option<String>,
}

impl Wire for DryRunDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let escrow_address = fields.required("escrowAddress", scalar::address);
        let to = fields.required("to", scalar::address);
        let value = fields.required("value", scalar::wei);
        let data = fields.optional("data", scalar::bytes(DATA_BYTES_MAX)).unwrap_or_default();
        let chain_id = fields.required("chainId", scalar::chain);
        let execution_type = fields.optional("executionType", scalar::execution_type);
        let note = fields.optional("note", scalar::plain_text(0, NOTE_CHARACTERS_MAX));
        Some(Self {
            escrow_address: escrow_address?,
            to: to?,
            value: value?,
            data,
            chain_id: chain_id?,
            execution_type: execution_type.unwrap_or(ExecutionType::DirectUser),
            note,
        })
    }
}

impl From<DryRunDto> for DryRunRequest {
    fn from(dto: DryRunDto) -> Self {
        Self {
            escrow: dto.escrow_address,
            chain: dto.chain_id,
            to: dto.to,
            value: dto.value,
            data: dto.data,
            execution_type: dto.execution_type,
            note: dto.note,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DryRunResponse {
    /// Under which the evaluations are stored. No transaction has this id.
    #[schema(format = "uuid")]
    id: String,
    policy_revision: u64,
    intent_hash: String,
    /// approved, pending or denied.
    decision: &'static str,
    /// Every role that would have to agree.
    required: Vec<String>,
    /// What people would still have to give.
    missing: Vec<MissingResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    denial: Option<DenialResponse>,
    /// Whether a real request would be turned away for now, because the same was denied too often.
    asked_too_often: bool,
    /// Every binding that covers it, in the order of the policy.
    bindings: Vec<OpinionResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MissingResponse {
    role: String,
    count: u32,
    /// The least of bearer, request and signed that counts.
    #[schema(value_type = String)]
    evidence: EvidenceLevel,
}

#[derive(Debug, Serialize, ToSchema)]
struct DenialResponse {
    reason: &'static str,
    detail: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OpinionResponse {
    #[schema(format = "uuid")]
    binding: String,
    plugin: String,
    /// enforce or shadow. What a shadow says decides nothing.
    mode: &'static str,
    /// gate, or the role that its approval counts for.
    power: String,
    #[serde(flatten)]
    said: SaidResponse,
}

/// Asks every binding and says what would be decided. Nothing is signed, and nothing stored but what the bindings said;
/// no decision ever rests on that. Plugins ask their upstreams as ever, so it needs the role author or approver.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/dry-runs",
    operation_id = "create_dry_run",
    tag = "Policies",
    params(("organization" = String, Path, format = "uuid")),
    request_body = DryRunDto,
    responses((status = 200, body = DryRunResponse))
)]
pub(super) async fn create_dry_run(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<DryRunResponse> {
    // Whoever may not even stop anything does not set plugins to work either.
    desk.charge_dry_run(operators::require_stopper(&call.ctx)?.operator)?;
    let asked: DryRunDto = call.body()?;
    let ctx = call.within(call.id("organization")?);
    Ok(ok(DryRunResponse::of(&dry_run(&ctx, &desk.services, asked.into()).await?)))
}

impl DryRunResponse {
    fn of(run: &DryRun) -> Self {
        let (missing, denial) = match &run.rehearsal {
            Rehearsal::Approved { .. } => (Vec::new(), None),
            Rehearsal::Pending(open) => (open.unmet.iter().map(MissingResponse::of).collect(), None),
            Rehearsal::Denied(denial) => {
                let detail = prose(&denial.detail);
                (Vec::new(), Some(DenialResponse { reason: denial.reason.as_str(), detail }))
            }
        };
        Self {
            id: run.id.to_string(),
            policy_revision: run.policy_revision(),
            intent_hash: hash(run.intent.hash()),
            decision: run.rehearsal.as_str(),
            required: run.rehearsal.required().iter().map(ToString::to_string).collect(),
            missing,
            denial,
            asked_too_often: run.asked_too_often,
            bindings: run.opinions().map(OpinionResponse::of).collect(),
        }
    }
}

impl MissingResponse {
    fn of(requirement: &Requirement) -> Self {
        let Requirement { role, count, evidence, .. } = requirement;
        Self { role: role.to_string(), count: *count, evidence: *evidence }
    }
}

impl OpinionResponse {
    fn of(opinion: Opinion<'_>) -> Self {
        let Opinion { binding, evaluation } = opinion;
        Self {
            binding: binding.id.to_string(),
            plugin: prose(&binding.plugin),
            mode: match binding.mode {
                Mode::Enforce => "enforce",
                Mode::Shadow => "shadow",
            },
            power: match &binding.power {
                Power::Gate => "gate".to_owned(),
                Power::Authority(role) => role.to_string(),
            },
            said: SaidResponse::of(evaluation),
        }
    }
}
