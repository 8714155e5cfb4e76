//! The service itself.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, ok},
    core::dialect::ErrorResponse,
    state::App,
};

const API_VERSION: &str = "1.0";

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HelloResponse {
    message: &'static str,
    service: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthResponse {
    status: HealthStatus,
    version: &'static str,
    uptime_seconds: u64,
    /// Parts by name.
    checks: BTreeMap<&'static str, PartStatus>,
}

/// A part is down, or nobody looked because too many requests are under way.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the choice; each form is made where it is answered")]
pub(crate) enum Unhealthy {
    Down(HealthResponse),
    Overloaded(ErrorResponse),
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    Ok,
    Error,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartStatus {
    Up,
    Down,
}

/// Greets, without touching anything.
#[utoipa::path(get, path = "/", tag = "App", responses((status = 200, body = HelloResponse)))]
pub(crate) async fn get_hello() -> Answer<HelloResponse> {
    ok(HelloResponse { message: "Hello", service: "gateway", version: API_VERSION })
}

/// Tells whether the parts that every request needs are up.
#[utoipa::path(
    get,
    path = "/health",
    tag = "App",
    responses((status = 200, body = HealthResponse), (status = 503, body = Unhealthy))
)]
pub(crate) async fn health_check(State(app): State<Arc<App>>) -> Answer<HealthResponse> {
    let checks = app.health.checks().await;
    let (status, code) = if checks.values().all(|up| *up) {
        (HealthStatus::Ok, StatusCode::OK)
    } else {
        (HealthStatus::Error, StatusCode::SERVICE_UNAVAILABLE)
    };
    let part = |up| if up { PartStatus::Up } else { PartStatus::Down };
    Answer(
        code,
        HealthResponse {
            status,
            version: API_VERSION,
            uptime_seconds: app.started_at.elapsed().as_secs(),
            checks: checks.into_iter().map(|(name, up)| (name, part(up))).collect(),
        },
    )
}
