//! Verification services: open to everybody, for the data is public key material.

use std::sync::Arc;

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway_domain::{
    Error, Timestamp,
    openpgp::{Fingerprint, PUBLIC_KEY_BYTES_MAX},
    verification::VerificationService,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, ok},
    core::{call::Call, shapes},
    extract::scalar,
    failure::Failure,
    presentation,
    state::App,
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerificationServiceResponse {
    #[schema(minimum = 1)]
    id: u32,
    name: String,
    /// The service's address on chain.
    #[schema(value_type = shapes::Address)]
    inbox: String,
    /// What payloads for the service are encrypted to.
    pgp_public_key: String,
    #[schema(value_type = shapes::Fingerprint)]
    pgp_fingerprint: String,
    /// Whether new payloads may be sent to it: it is switched on, and its key is not expired.
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

impl VerificationServiceResponse {
    fn of(service: &VerificationService, now: Timestamp) -> Self {
        Self {
            id: service.id,
            name: service.name.clone(),
            inbox: presentation::address(service.inbox),
            pgp_public_key: service.public_key.clone(),
            pgp_fingerprint: service.fingerprint.to_string(),
            active: service.is_offered(now),
            description: service.description.clone(),
            created_at: presentation::time(service.created_at),
            updated_at: presentation::time(service.updated_at),
        }
    }
}

/// All services, by number.
#[utoipa::path(
    get,
    path = "/verification-services",
    tag = "Verification Services",
    responses((status = 200, body = Vec<VerificationServiceResponse>))
)]
pub(crate) async fn get_all_verification_services(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<Vec<VerificationServiceResponse>> {
    Ok(ok(listed(&app, &call).await?))
}

/// The services that new payloads may be sent to, by number.
#[utoipa::path(
    get,
    path = "/verification-services/active",
    tag = "Verification Services",
    responses((status = 200, body = Vec<VerificationServiceResponse>))
)]
pub(crate) async fn get_active_verification_services(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<Vec<VerificationServiceResponse>> {
    let mut offered = listed(&app, &call).await?;
    offered.retain(|service| service.active);
    Ok(ok(offered))
}

/// The service with this number.
#[utoipa::path(
    get,
    path = "/verification-services/{id}",
    tag = "Verification Services",
    params(("id" = u32, Path, minimum = 1, maximum = 4_294_967_295_u32)),
    responses((status = 200, body = VerificationServiceResponse))
)]
pub(crate) async fn get_verification_service_by_id(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<VerificationServiceResponse> {
    let id = call.path("id", service_number)?;
    only(&app, &call, |service| service.id == id).await
}

/// The service with this inbox.
#[utoipa::path(
    get,
    path = "/verification-services/inbox/{inbox}",
    tag = "Verification Services",
    params(("inbox" = inline(shapes::Address), Path)),
    responses((status = 200, body = VerificationServiceResponse))
)]
pub(crate) async fn get_verification_service_by_inbox(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<VerificationServiceResponse> {
    let inbox = call.path("inbox", scalar::address_text)?;
    only(&app, &call, |service| service.inbox == inbox).await
}

/// The service with this key: its fingerprint, the armored key as base64url, or the armored key percent-encoded.
/// A key that is too long for a path (414) is named by its fingerprint.
#[utoipa::path(
    get,
    path = "/verification-services/pgp-public-key/{key}",
    tag = "Verification Services",
    params(("key" = String, Path, min_length = 1)),
    responses((status = 200, body = VerificationServiceResponse))
)]
pub(crate) async fn get_verification_service_by_pgp_public_key(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<VerificationServiceResponse> {
    let text = call.path("key", |text| Ok(text.to_owned()))?;
    let fingerprint = if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        fingerprint
    } else {
        let named = app.services.publication.openpgp.fingerprint(&armored(text)?);
        named.map_err(|fault| Failure::invalid(format!("key {fault}")))?
    };
    only(&app, &call, |service| service.fingerprint == fingerprint).await
}

fn armored(text: String) -> Result<String, Failure> {
    if text.contains("-----BEGIN") {
        return Ok(text);
    }
    let rule = "key must be a fingerprint, or an armored public key as base64url or percent-encoded";
    let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let decoded = decoded.filter(|bytes| bytes.len() <= PUBLIC_KEY_BYTES_MAX);
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| Failure::invalid(rule))
}

/// Service numbers count from 1.
fn service_number(text: &str) -> Result<u32, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain).ok_or_else(|| "must be a whole number of at least 1".to_owned())
}

async fn listed(app: &App, call: &Call) -> Result<Vec<VerificationServiceResponse>, Failure> {
    let services = app.services.store.verification_services(call.ctx.organization).await?;
    Ok(services.iter().map(|service| VerificationServiceResponse::of(service, call.ctx.now)).collect())
}

async fn only(
    app: &App,
    call: &Call,
    wanted: impl Fn(&VerificationService) -> bool,
) -> Answered<VerificationServiceResponse> {
    let services = app.services.store.verification_services(call.ctx.organization).await?;
    let found = services.iter().find(|service| wanted(service));
    let service = found.ok_or(Error::NotFound("verification service"))?;
    Ok(ok(VerificationServiceResponse::of(service, call.ctx.now)))
}
