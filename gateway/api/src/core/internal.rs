//! What verification services report, on the operator listener alone.

use std::sync::Arc;

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gateway_domain::{
    B256, Timestamp,
    verification::{
        OrionMetadata, Settlement, SettlementStatus, TeeKind, TeeProof, record_settlement, record_tee_proof,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, ok},
    core::{
        call::Call,
        shapes,
        transactions::{Hearing, OrionMetadataResponse},
    },
    extract::{Fields, Json, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const PROOF_CHARACTERS_MAX: usize = 64 * 1024;
const HEX_BYTES_MAX: usize = 1024;

/// Evidence of where the service ran. It is kept and shown, and nothing is concluded from it.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateTeeProofDto {
    /// Base64, or hex digits.
    #[schema(
        min_length = 1,
        max_length = 65_536,
        pattern = "^((0x)?([0-9a-fA-F]{2})*|([0-9A-Za-z+/]{4})*([0-9A-Za-z+/][AQgw]==|[0-9A-Za-z+/]{2}[048AEIMQUYcgkosw]=)?)$"
    )]
    tee_proof: String,
    #[schema(value_type = Option<shapes::TeeType>)]
    tee_type: Option<TeeKind>,
    #[schema(value_type = Option<shapes::ShortBytes>)]
    measurement: Option<Vec<u8>>,
    /// Must contain the requestHash.
    #[schema(value_type = Option<shapes::ShortBytes>)]
    report_data: Option<Vec<u8>>,
    #[schema(value_type = Option<String>, format = "date-time")]
    signed_at: Option<Timestamp>,
}

pub(super) const TEE_TYPES: [(&str, TeeKind); 4] =
    [("tdx", TeeKind::Tdx), ("sev-snp", TeeKind::SevSnp), ("sgx", TeeKind::Sgx), ("nitro", TeeKind::Nitro)];

impl Wire for UpdateTeeProofDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let tee_proof = fields.required("teeProof", base64_or_hex);
        let tee_type = fields.optional("teeType", scalar::choice(&TEE_TYPES));
        let measurement = fields.optional("measurement", scalar::hexadecimal(HEX_BYTES_MAX));
        let report_data = fields.optional("reportData", scalar::hexadecimal(HEX_BYTES_MAX));
        let signed_at = fields.optional("signedAt", scalar::time);
        Some(Self { tee_proof: tee_proof?, tee_type, measurement, report_data, signed_at })
    }
}

fn base64_or_hex(json: &Json) -> Result<String, String> {
    let text = scalar::text_within(1, PROOF_CHARACTERS_MAX)(json)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    if hex::decode(digits).is_ok() || STANDARD.decode(&text).is_ok() {
        Ok(text)
    } else {
        Err("must be base64 or pairs of hexadecimal digits".to_owned())
    }
}

/// How somebody else executed the transaction.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateSettlementDto {
    #[schema(value_type = shapes::SettlementStatus)]
    status: SettlementStatus,
    /// Required when settled.
    #[schema(value_type = Option<shapes::Hash>)]
    settlement_tx_hash: Option<B256>,
    #[schema(value_type = Option<shapes::ChainId>)]
    chain_id: Option<u64>,
    block_number: Option<u64>,
    #[schema(value_type = Option<shapes::Count>)]
    gas_used: Option<String>,
    #[schema(max_length = 1000, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    failure_reason: Option<String>,
    #[schema(value_type = Option<String>, format = "date-time")]
    settled_at: Option<Timestamp>,
}

pub(super) const SETTLEMENT_STATUSES: [(&str, SettlementStatus); 3] = [
    ("pending", SettlementStatus::Pending),
    ("settled", SettlementStatus::Settled),
    ("failed", SettlementStatus::Failed),
];

impl Wire for UpdateSettlementDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let status = fields.required("status", scalar::choice(&SETTLEMENT_STATUSES));
        let settlement_tx_hash = fields.optional("settlementTxHash", scalar::bytes32);
        let chain_id = fields.optional("chainId", scalar::chain).map(gateway_domain::chain::ChainId::number);
        let block_number = fields.optional("blockNumber", scalar::integer);
        let gas_used = fields.optional("gasUsed", scalar::counter).map(|gas| gas.to_string());
        let failure_reason = fields.optional("failureReason", scalar::plain_text(0, 1000));
        let settled_at = fields.optional("settledAt", scalar::time);
        Some(Self {
            status: status?,
            settlement_tx_hash,
            chain_id,
            block_number,
            gas_used,
            failure_reason,
            settled_at,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TeeProofResponse {
    tee_proof: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TeeType>)]
    tee_type: Option<TeeKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::ShortBytes>)]
    measurement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::ShortBytes>)]
    report_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    signed_at: Option<String>,
    #[schema(format = "date-time")]
    received_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettlementResponse {
    #[schema(value_type = shapes::SettlementStatus)]
    status: SettlementStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    settlement_tx_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::ChainId>)]
    chain_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Count>)]
    gas_used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    settled_at: Option<String>,
}

impl TeeProofResponse {
    pub(crate) fn of(proof: &TeeProof) -> Self {
        Self {
            tee_proof: proof.proof.clone(),
            tee_type: proof.kind,
            measurement: proof.measurement.clone(),
            report_data: proof.report_data.clone(),
            signed_at: proof.signed_at.map(presentation::time),
            received_at: presentation::time(proof.received_at),
        }
    }
}

impl SettlementResponse {
    pub(crate) fn of(settlement: &Settlement) -> Self {
        Self {
            status: settlement.status,
            settlement_tx_hash: settlement.hash.map(presentation::hash),
            chain_id: settlement.chain_id,
            block_number: settlement.block,
            gas_used: settlement.gas_used.clone(),
            failure_reason: settlement.failure_reason.as_deref().map(presentation::prose),
            settled_at: settlement.settled_at.map(presentation::time),
        }
    }
}

/// Stores or replaces the proof. Nothing in it is verified here.
#[utoipa::path(
    patch,
    path = "/internal/orion-metadata/{requestHash}/tee-proof",
    tag = "Internal",
    params(("requestHash" = inline(shapes::Hash), Path)),
    request_body = UpdateTeeProofDto,
    responses((status = 200, body = OrionMetadataResponse))
)]
pub(crate) async fn update_tee_proof(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<OrionMetadataResponse> {
    let request_hash = call.path("requestHash", scalar::bytes32_text)?;
    let body: UpdateTeeProofDto = call.body()?;
    let proof = TeeProof {
        proof: body.tee_proof,
        kind: body.tee_type,
        measurement: body.measurement.as_deref().map(presentation::bytes),
        report_data: body.report_data.as_deref().map(presentation::bytes),
        signed_at: body.signed_at,
        received_at: call.ctx.now,
    };
    let (transaction, metadata) = record_tee_proof(&call.ctx, &app.services, request_hash, proof).await?;
    shown(&app, &call, transaction.id, &metadata).await
}

/// Records how a transaction of execution provider `none` was executed, and ends it.
#[utoipa::path(
    patch,
    path = "/internal/orion-metadata/{requestHash}/settlement",
    tag = "Internal",
    params(("requestHash" = inline(shapes::Hash), Path)),
    request_body = UpdateSettlementDto,
    responses((status = 200, body = OrionMetadataResponse))
)]
pub(crate) async fn update_settlement(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<OrionMetadataResponse> {
    let request_hash = call.path("requestHash", scalar::bytes32_text)?;
    let body: UpdateSettlementDto = call.body()?;
    if body.status == SettlementStatus::Settled && body.settlement_tx_hash.is_none() {
        return Err(Failure::invalid("settlementTxHash is required when status is settled"));
    }
    let settlement = Settlement {
        status: body.status,
        hash: body.settlement_tx_hash,
        chain_id: body.chain_id,
        block: body.block_number,
        gas_used: body.gas_used,
        failure_reason: body.failure_reason,
        settled_at: body.settled_at,
    };
    let (transaction, metadata) =
        record_settlement(&call.ctx, &app.services, request_hash, settlement).await?;
    shown(&app, &call, transaction.id, &metadata).await
}

async fn shown(
    app: &App,
    call: &Call,
    transaction: gateway_domain::ids::TransactionId,
    metadata: &OrionMetadata,
) -> Answered<OrionMetadataResponse> {
    let organization = call.ctx.organization;
    let stored = app.services.store.transaction(organization, transaction).await?;
    let stored = stored.ok_or(gateway_domain::Error::NotFound("transaction"))?;
    let policy = Hearing::policy(&app.services, organization).await?;
    let hearing = Hearing::of(&app.services, &policy, stored).await?;
    Ok(ok(OrionMetadataResponse::reported(&hearing, metadata)))
}
