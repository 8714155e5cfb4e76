//! Transactions that an admin key asks for directly: judged like any other, executed by Fireblocks.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use gateway_domain::{
    Address, B256, Error, U256,
    chain::ChainId,
    fireblocks::VendorStatus,
    transactions::{
        CreateTransaction, ExecutionType, FailureReason, Provider, RequestIdentity, RequestName,
        State as TransactionState, Transaction, made_earlier,
    },
    vendors::{CallOutcome, VendorRole},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created},
    core::{
        call::Call,
        request_digest::request_digest,
        shapes,
        transactions::{Asked, make},
    },
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const DATA_BYTES_MAX: usize = 128 * 1024;
const ROLES: [(&str, VendorRole); 2] = [("execution", VendorRole::Execution), ("agent", VendorRole::Agent)];

#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateFireblocksTransactionDto {
    /// Whose funds move: the escrow address of a user.
    #[schema(value_type = shapes::Address)]
    escrow_address: Address,
    #[schema(value_type = shapes::Address)]
    to: Address,
    /// Wei in decimal digits, below 2^256.
    #[schema(value_type = shapes::Wei)]
    value: U256,
    /// Call data, at most 128 KiB; absent means none.
    #[schema(value_type = Option<shapes::CallData>)]
    data: Vec<u8>,
    /// The client's name for the transaction; Fireblocks' `externalTxId`.
    #[schema(value_type = shapes::Hash)]
    request_hash: B256,
    /// Which of the user's integrations: execution or agent. Default execution.
    #[serde(rename = "type")]
    #[schema(value_type = Option<shapes::VendorRole>)]
    role: VendorRole,
}

impl Wire for CreateFireblocksTransactionDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let escrow_address = fields.required("escrowAddress", scalar::address);
        let to = fields.required("to", scalar::address);
        let value = fields.required("value", scalar::wei);
        let data = fields.optional("data", scalar::bytes(DATA_BYTES_MAX)).unwrap_or_default();
        let request_hash = fields.required("requestHash", scalar::bytes32);
        let role = fields.optional("type", scalar::choice(&ROLES)).unwrap_or(VendorRole::Execution);
        Some(Self {
            escrow_address: escrow_address?,
            to: to?,
            value: value?,
            data,
            request_hash: request_hash?,
            role,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FireblocksTransactionResponse {
    /// Fireblocks' id; the gateway's own until Fireblocks has the transaction.
    id: String,
    /// Fireblocks' status. `PENDING_AUTHORIZATION` while approvals are outstanding here, `QUEUED` while it is not known
    /// to have arrived.
    #[schema(value_type = shapes::FireblocksStatus)]
    status: &'static str,
    #[schema(value_type = shapes::Hash)]
    external_tx_id: String,
    #[schema(value_type = shapes::Hash)]
    request_hash: String,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    role: &'static str,
}

impl CreateFireblocksTransactionDto {
    /// All admin keys of an organization share these names.
    fn name(&self) -> RequestName {
        RequestName::Shared(self.request_hash)
    }

    fn digest(&self) -> B256 {
        request_digest(
            "fireblocks",
            [
                ("escrowAddress", Some(presentation::address(self.escrow_address).into())),
                ("to", Some(presentation::address(self.to).into())),
                ("value", Some(self.value.to_string().into())),
                ("data", Some(presentation::bytes(&self.data).into())),
                ("requestHash", Some(presentation::hash(self.request_hash).into())),
                ("type", Some(self.role.as_str().into())),
            ],
        )
    }
}

/// Asks that Fireblocks execute a transaction. Nothing is sent before policy and plugins have agreed.
#[utoipa::path(
    post,
    path = "/fireblocks/admin/transactions",
    tag = "Fireblocks Integration",
    request_body = CreateFireblocksTransactionDto,
    responses((status = 201, body = FireblocksTransactionResponse))
)]
pub(crate) async fn create_admin_transaction(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<FireblocksTransactionResponse> {
    let body: CreateFireblocksTransactionDto = call.body()?;
    let role = body.role;
    let identity = RequestIdentity { digest: body.digest(), idempotency: None };
    let earlier = made_earlier(&call.ctx, &app.services, Some(body.name()), &identity).await?;
    let id = if let Some(earlier) = earlier {
        earlier.transaction.id
    } else {
        let request = transaction(&app, &call, body, identity).await?;
        make(&app, &call.ctx, Asked::Trusted(Box::new(request))).await?.id
    };
    let stored = app.services.store.transaction(call.ctx.organization, id).await?;
    let stored = stored.ok_or_else(|| Error::inconsistency("a transaction vanished after it was stored"))?;
    Ok(created(response(&app, &stored, role).await?))
}

async fn transaction(
    app: &App,
    call: &Call,
    body: CreateFireblocksTransactionDto,
    identity: RequestIdentity,
) -> Result<CreateTransaction, Failure> {
    app.services.vendors.require_fireblocks()?;
    let (store, organization) = (&app.services.store, call.ctx.organization);
    let owner = store.user_by_escrow_address(organization, body.escrow_address).await?;
    let owner = owner.ok_or(Error::NotFound("user with this escrowAddress"))?;
    let settings = store.settings(organization, owner.id).await?;
    let settings = settings.ok_or_else(|| Error::inconsistency("a user without settings"))?;
    Ok(CreateTransaction {
        name: Some(body.name()),
        identity,
        owner,
        chain: ChainId::eip155(settings.chain_id).map_err(Error::inconsistency)?,
        to: Some(body.to),
        value: body.value,
        data: body.data,
        execution_type: ExecutionType::DirectUser,
        provider: Provider::Fireblocks,
        vendor_role: body.role,
        note: None,
        requirements: settings.requirements(ExecutionType::DirectUser),
        minimum_confidence_ppm: settings.orion_confidence_threshold_ppm,
        approval_ttl: Duration::from_secs(u64::from(settings.approval_ttl_seconds)),
    })
}

async fn response(
    app: &App,
    transaction: &Transaction,
    role: VendorRole,
) -> Result<FireblocksTransactionResponse, Failure> {
    let calls = app.services.store.vendor_calls(transaction.organization, transaction.id).await?;
    let outcome = calls.last().map(|call| &call.outcome);
    if let Some(CallOutcome::Refused { http_status, code }) = outcome {
        let (vendor, http_status, code) = ("Fireblocks", *http_status, *code);
        return Err(Error::VendorRefused { vendor, http_status, code }.into());
    }
    let status = match &transaction.state {
        TransactionState::Rejected { reason, .. } if reason.is_by_policy() => {
            return Err(Error::Forbidden("the transaction was denied").into());
        }
        // By people or time, and only a repeat finds it so.
        TransactionState::Rejected { .. } => VendorStatus::Rejected,
        TransactionState::Aborted => VendorStatus::Cancelled,
        TransactionState::Pending => VendorStatus::PendingAuthorization,
        TransactionState::Approved | TransactionState::Signed { .. } | TransactionState::Submitted { .. } => {
            VendorStatus::Queued
        }
        TransactionState::HandedOver { status, .. } => *status,
        TransactionState::Executed { .. }
        | TransactionState::ExecutedByVendor { .. }
        | TransactionState::Settled { .. } => VendorStatus::Completed,
        TransactionState::Failed { reason } => final_status(*reason),
    };
    let vendor_id = calls.last().and_then(|call| call.vendor_id());
    Ok(FireblocksTransactionResponse {
        id: vendor_id.map_or_else(|| transaction.id.to_string(), str::to_owned),
        status: status.as_str(),
        external_tx_id: presentation::hash(transaction.request_hash),
        request_hash: presentation::hash(transaction.request_hash),
        role: role.as_str(),
    })
}

fn final_status(reason: FailureReason) -> VendorStatus {
    match reason {
        FailureReason::VendorCancelled => VendorStatus::Cancelled,
        FailureReason::VendorBlocked => VendorStatus::Blocked,
        FailureReason::VendorRejected => VendorStatus::Rejected,
        FailureReason::VendorTimedOut => VendorStatus::TimedOut,
        _ => VendorStatus::Failed,
    }
}
