//! Fireblocks integrations: a user's own, from the certificate request to the validated API key.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gateway_domain::{
    Error, OpCtx,
    fireblocks::{self, CompleteIntegration, Integration, RequestCertificate},
    identity::require_user,
    ids::PrincipalId,
    sealed::Sealed,
    vendors::VendorRole,
};

use crate::{
    answer::{Answered, created, ok},
    core::{call::Call, shapes},
    extract::scalar,
    failure::Failure,
    state::App,
};

mod transactions;
mod wire;

#[cfg(test)]
pub(crate) use transactions::CreateFireblocksTransactionDto;
pub(crate) use transactions::{__path_create_admin_transaction, create_admin_transaction};
pub(crate) use wire::{CompleteIntegrationDto, GenerateCsrDto};

use wire::{
    FireblocksConfigResponse, FireblocksCsrResponse, FireblocksIntegrationResponse,
    FireblocksValidationResponse,
};

const PEM: &str = "application/x-pem-file";

/// Makes an RSA-4096 key in the HSM and a certificate request for it.
#[utoipa::path(
    post,
    path = "/fireblocks/generate-csr/{type}",
    tag = "Fireblocks Integration",
    params(("type" = inline(shapes::VendorRole), Path)),
    request_body = GenerateCsrDto,
    responses((status = 201, body = FireblocksCsrResponse))
)]
pub(crate) async fn generate_csr(State(app): State<Arc<App>>, call: Call) -> Answered<FireblocksCsrResponse> {
    let role = call.path("type", role)?;
    let body: GenerateCsrDto = call.body()?;
    let (owner, recreate) = (owner(&call.ctx)?, body.recreate);
    let request = RequestCertificate { owner, role, subject: body.into_subject(), recreate };
    let (done, waited) = tokio::sync::oneshot::channel();
    let (services, ctx) = (app.services.clone(), call.ctx.clone());
    // A client that leaves while the token works must not leave half a key behind.
    (app.spawner)(Box::pin(async move {
        // The request may have given up waiting.
        let _ = done.send(fireblocks::request_certificate(&ctx, &services, request).await);
    }));
    let made = waited.await.map_err(|gone| Error::unavailable("the gateway", gone))?;
    let integration = made?;
    Ok(created(csr_response(&app, &integration).await?))
}

/// The user's integration of a type.
#[utoipa::path(
    get,
    path = "/fireblocks/integration/{type}",
    tag = "Fireblocks Integration",
    params(("type" = inline(shapes::VendorRole), Path)),
    responses((status = 200, body = FireblocksIntegrationResponse))
)]
pub(crate) async fn get_integration_status(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<FireblocksIntegrationResponse> {
    Ok(ok(FireblocksIntegrationResponse::of(&*own_integration(&app, &call).await?)))
}

/// The user's integrations, execution first.
#[utoipa::path(
    get,
    path = "/fireblocks/integrations",
    tag = "Fireblocks Integration",
    responses((status = 200, body = Vec<FireblocksIntegrationResponse>))
)]
pub(crate) async fn get_all_integrations(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<Vec<FireblocksIntegrationResponse>> {
    app.services.vendors.require_fireblocks()?;
    let all = app.services.store.integrations(call.ctx.organization, owner(&call.ctx)?).await?;
    Ok(ok(all.iter().map(|integration| FireblocksIntegrationResponse::of(integration)).collect()))
}

/// The certificate request; bare PEM for `Accept: application/x-pem-file`.
#[utoipa::path(
    get,
    path = "/fireblocks/csr/{type}",
    tag = "Fireblocks Integration",
    params(("type" = inline(shapes::VendorRole), Path)),
    responses((status = 200, content(
        (FireblocksCsrResponse = "application/json"),
        (String = "application/x-pem-file")
    )))
)]
pub(crate) async fn get_csr(State(app): State<Arc<App>>, call: Call) -> Result<Response, Failure> {
    let integration = own_integration(&app, &call).await?;
    if accepts_pem(&call) {
        let mut response = (StatusCode::OK, integration.csr.clone()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PEM));
        return Ok(response);
    }
    Ok(ok(csr_response(&app, &integration).await?).into_response())
}

/// Takes the API key that Fireblocks made of the certificate request.
#[utoipa::path(
    post,
    path = "/fireblocks/complete/{type}",
    tag = "Fireblocks Integration",
    params(("type" = inline(shapes::VendorRole), Path)),
    request_body = CompleteIntegrationDto,
    responses((status = 200, body = FireblocksIntegrationResponse))
)]
pub(crate) async fn complete_integration(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<FireblocksIntegrationResponse> {
    let role = call.path("type", role)?;
    let CompleteIntegrationDto { api_key, vault_account_id, environment, region } = call.body()?;
    let request = CompleteIntegration {
        owner: owner(&call.ctx)?,
        role,
        api_key,
        vault_account: vault_account_id,
        environment,
        region,
    };
    let integration = fireblocks::complete_integration(&call.ctx, &app.services, request).await?;
    Ok(ok(FireblocksIntegrationResponse::of(&integration)))
}

/// Asks Fireblocks whether the API key works.
#[utoipa::path(
    post,
    path = "/fireblocks/validate/{type}",
    tag = "Fireblocks Integration",
    params(("type" = inline(shapes::VendorRole), Path)),
    responses((status = 200, body = FireblocksValidationResponse))
)]
pub(crate) async fn validate_integration(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<FireblocksValidationResponse> {
    let role = call.path("type", role)?;
    let owner = owner(&call.ctx)?;
    let checked = fireblocks::validate_integration(&call.ctx, &app.services, owner, role).await?;
    Ok(ok(FireblocksValidationResponse::of(checked)))
}

/// What an executor needs. The private key never leaves the HSM.
#[utoipa::path(
    get,
    path = "/fireblocks/config/{type}/{ethereumAddress}",
    tag = "Fireblocks Integration",
    params(
        ("type" = inline(shapes::VendorRole), Path),
        ("ethereumAddress" = inline(shapes::Address), Path)
    ),
    responses((status = 200, body = FireblocksConfigResponse))
)]
pub(crate) async fn get_fireblocks_config(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<FireblocksConfigResponse> {
    let role = call.path("type", role)?;
    let address = call.path("ethereumAddress", scalar::address_text)?;
    let vendor = app.services.vendors.require_fireblocks()?;
    let user = require_user(&app.services, call.ctx.organization, address).await?;
    let (integration, access, api_key) =
        fireblocks::disclose_api_key(&call.ctx, &app.services, user.id, role).await?;
    let base_url = vendor.base_url(access.environment, access.region);
    Ok(ok(FireblocksConfigResponse::of(&integration, &access, (address, base_url, &api_key))))
}

fn role(text: &str) -> Result<VendorRole, String> {
    match text {
        "execution" => Ok(VendorRole::Execution),
        "agent" => Ok(VendorRole::Agent),
        _ => Err("must be execution or agent".to_owned()),
    }
}

fn owner(ctx: &OpCtx) -> Result<PrincipalId, Failure> {
    ctx.principal().ok_or(Failure::CredentialMissing)
}

async fn own_integration(app: &App, call: &Call) -> Result<Sealed<Integration>, Failure> {
    let role = call.path("type", role)?;
    app.services.vendors.require_fireblocks()?;
    let found = app.services.store.integration(call.ctx.organization, owner(&call.ctx)?, role).await?;
    found.ok_or_else(|| Error::NotFound("fireblocks integration").into())
}

async fn csr_response(app: &App, integration: &Integration) -> Result<FireblocksCsrResponse, Failure> {
    let key = app.services.store.key(integration.organization, integration.key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the integration's key does not exist"))?;
    Ok(FireblocksCsrResponse::of(integration, &key)?)
}

/// Whether the PEM is asked for by name; anything else gets JSON.
fn accepts_pem(call: &Call) -> bool {
    let named = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|one| one.split(';').next().map(str::trim) == Some(PEM)))
    };
    call.headers.get_all(header::ACCEPT).iter().any(named)
}
