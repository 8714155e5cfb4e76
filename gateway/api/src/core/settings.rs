//! What a user chooses about their transactions.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Address,
    chain::ChainId,
    identity::{User, require_user},
    quorums::QuorumType,
    settings::{EscrowProof, Settings, SettingsUpdate, require_settings, update_settings as update},
    transactions::{ExecutionType, Provider},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, ok},
    core::{
        authorization::Reach, call::Call, quorums::PrivyQuorumResponse, shapes,
        transactions::execution_number,
    },
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

pub(super) const PROVIDERS: [(&str, Provider); 4] = [
    ("hsm", Provider::Hsm),
    ("privy", Provider::Privy),
    ("fireblocks", Provider::Fireblocks),
    ("none", Provider::None),
];

/// What shall change. Fields that are not named stay as they are.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateSettingsDto {
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 2)]
    execution_type: Option<ExecutionType>,
    #[schema(value_type = Option<shapes::ChainId>)]
    chain_id: Option<u64>,
    /// The wallet that logged in, if its owner keeps the funds there. Excludes provider `hsm`.
    #[schema(value_type = Option<shapes::Address>)]
    escrow_address: Option<Address>,
    /// For execution types 0 and 1.
    #[schema(value_type = Option<shapes::ExecutionProvider>)]
    execution_provider: Option<Provider>,
    /// For execution type 2.
    #[schema(value_type = Option<shapes::ExecutionProvider>)]
    agent_provider: Option<Provider>,
    #[schema(minimum = 1, maximum = 4_294_967_295_u32)]
    verification_service_id: Option<u64>,
    require_arbiter: Option<bool>,
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    orion_confidence_threshold: Option<u32>,
    #[schema(minimum = 60, maximum = 604_800)]
    approval_ttl_seconds: Option<u32>,
}

impl Wire for UpdateSettingsDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let ttl = |json: &_| {
            let seconds = scalar::whole(60, 604_800)(json)?;
            u32::try_from(seconds).map_err(|error| error.to_string())
        };
        Some(Self {
            execution_type: fields.optional("executionType", scalar::execution_type),
            chain_id: fields.optional("chainId", scalar::chain).map(ChainId::number),
            escrow_address: fields.optional("escrowAddress", scalar::address),
            execution_provider: fields.optional("executionProvider", scalar::choice(&PROVIDERS)),
            agent_provider: fields.optional("agentProvider", scalar::choice(&PROVIDERS)),
            verification_service_id: fields
                .optional("verificationServiceId", scalar::whole(1, u64::from(u32::MAX))),
            require_arbiter: fields.optional("requireArbiter", scalar::boolean),
            orion_confidence_threshold: fields.optional("orionConfidenceThreshold", scalar::confidence),
            approval_ttl_seconds: fields.optional("approvalTtlSeconds", ttl),
        })
    }
}

impl From<UpdateSettingsDto> for SettingsUpdate {
    fn from(body: UpdateSettingsDto) -> Self {
        Self {
            execution_type: body.execution_type,
            chain_id: body.chain_id,
            escrow_address: body.escrow_address,
            escrow_proof: EscrowProof::Session,
            execution_provider: body.execution_provider,
            agent_provider: body.agent_provider,
            verification_service: body.verification_service_id,
            require_arbiter: body.require_arbiter,
            orion_confidence_threshold_ppm: body.orion_confidence_threshold,
            approval_ttl_seconds: body.approval_ttl_seconds,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsResponse {
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[schema(minimum = 0, maximum = 2)]
    execution_type: u8,
    #[schema(value_type = shapes::ChainId)]
    chain_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Address>)]
    escrow_address: Option<String>,
    #[schema(value_type = shapes::ExecutionProvider)]
    execution_provider: &'static str,
    #[schema(value_type = shapes::ExecutionProvider)]
    agent_provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_service_id: Option<u64>,
    require_arbiter: bool,
    #[schema(minimum = 0, maximum = 1)]
    orion_confidence_threshold: f64,
    #[schema(minimum = 60, maximum = 604_800)]
    approval_ttl_seconds: u32,
    privy_quorums: PrivyQuorums,
    #[schema(format = "date-time")]
    updated_at: String,
}

/// The user's quorums by type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PrivyQuorums {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<PrivyQuorumResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<PrivyQuorumResponse>,
}

impl PrivyQuorums {
    async fn of(app: &App, user: &User) -> Result<Self, Failure> {
        let quorum = async |kind| -> Result<_, Failure> {
            let found = app.services.store.quorum(user.organization, user.id, kind).await?;
            Ok(found.map(|quorum| PrivyQuorumResponse::of(&quorum)))
        };
        Ok(Self { execution: quorum(QuorumType::Execution).await?, agent: quorum(QuorumType::Agent).await? })
    }
}

impl SettingsResponse {
    async fn of(app: &App, (user, settings): &(User, Settings)) -> Result<Self, Failure> {
        Ok(Self {
            ethereum_address: presentation::address(user.ethereum_address),
            execution_type: execution_number(settings.execution_type),
            chain_id: settings.chain_id,
            escrow_address: user.escrow.map(|escrow| presentation::address(escrow.address())),
            execution_provider: provider_word(settings.execution_provider),
            agent_provider: provider_word(settings.agent_provider),
            verification_service_id: settings.verification_service,
            require_arbiter: settings.require_arbiter,
            orion_confidence_threshold: presentation::share(settings.orion_confidence_threshold_ppm),
            approval_ttl_seconds: settings.approval_ttl_seconds,
            privy_quorums: PrivyQuorums::of(app, user).await?,
            updated_at: presentation::time(settings.updated_at),
        })
    }
}

fn provider_word(provider: Provider) -> &'static str {
    match provider {
        Provider::Hsm => "hsm",
        Provider::Fireblocks => "fireblocks",
        Provider::Privy => "privy",
        Provider::None => "none",
    }
}

/// The caller's settings.
#[utoipa::path(
    get,
    path = "/settings",
    tag = "Settings",
    responses((status = 200, body = SettingsResponse))
)]
pub(crate) async fn get_settings(State(app): State<Arc<App>>, call: Call) -> Answered<SettingsResponse> {
    let user = call.session()?.principal;
    let settings = require_settings(&app.services, call.ctx.organization, user).await?;
    Ok(ok(SettingsResponse::of(&app, &settings).await?))
}

/// Changes the named settings. A user who has no escrow yet gets a key made in the HSM. An `escrowAddress` that is neither
/// a key of the HSM nor the wallet that logged in needs, besides the token, a signature of this request by it, in the
/// headers of signed requests, or an admin's `x-api-key`.
#[utoipa::path(
    put,
    path = "/settings",
    tag = "Settings",
    request_body = UpdateSettingsDto,
    responses((status = 200, body = SettingsResponse))
)]
pub(crate) async fn update_settings(State(app): State<Arc<App>>, call: Call) -> Answered<SettingsResponse> {
    let body: UpdateSettingsDto = call.body()?;
    let session = call.session()?;
    let mut wanted = SettingsUpdate::from(body);
    if wanted.escrow_address.is_some_and(|address| address != session.address) {
        wanted.escrow_proof = call.escrow_proof().await?;
    }
    let settings = update(&call.ctx, &app.services, session.principal, wanted).await?;
    Ok(ok(SettingsResponse::of(&app, &settings).await?))
}

/// The settings of the user with this wallet; people see their own only.
#[utoipa::path(
    get,
    path = "/settings/by-ethereum/{ethereumAddress}",
    tag = "Settings",
    params(("ethereumAddress" = inline(shapes::Address), Path)),
    responses((status = 200, body = SettingsResponse))
)]
pub(crate) async fn get_settings_by_ethereum_address(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<SettingsResponse> {
    let address = call.path("ethereumAddress", scalar::address_text)?;
    // Before the look-up: nobody learns whether somebody else is a user.
    if matches!(call.reach, Reach::Principal(_)) && call.session()?.address != address {
        return Err(Failure::Domain(gateway_domain::Error::Forbidden(
            "users may only read their own settings",
        )));
    }
    let organization = call.ctx.organization;
    let user = require_user(&app.services, organization, address).await?;
    let settings = require_settings(&app.services, organization, user.id).await?;
    Ok(ok(SettingsResponse::of(&app, &settings).await?))
}
