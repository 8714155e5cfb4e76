//! The operator listener: liveness, readiness and metrics. It belongs on an address that the public cannot reach.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::answer::Answer;

/// What the operator listener works with.
#[derive(Clone)]
pub struct OperatorState {
    pub readiness: Arc<dyn ReadinessProbe>,
    /// Renders all metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Whether this gateway can do its job now.
#[async_trait]
pub trait ReadinessProbe: Send + Sync {
    async fn readiness(&self) -> Readiness;
}

/// Parts by name; the gateway is ready when none has a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The HSM's supervisor, the last canary signature, the database and so on, each with its fault if it has one.
    pub parts: BTreeMap<&'static str, Option<String>>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.parts.values().all(Option::is_none)
    }
}

#[derive(Debug, Serialize)]
struct ReadinessResponse {
    status: &'static str,
    /// `ok`, or what is wrong.
    parts: BTreeMap<&'static str, String>,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn operator_router(state: OperatorState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(state)
}

/// Answers as long as the process can answer at all.
async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<OperatorState>) -> Response {
    let readiness = state.readiness.readiness().await;
    let (code, status) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let shown = |fault: Option<String>| fault.unwrap_or_else(|| "ok".to_owned());
    let parts = readiness.parts.into_iter().map(|(name, fault)| (name, shown(fault))).collect();
    Answer(code, ReadinessResponse { status, parts }).into_response()
}

async fn metrics(State(state): State<OperatorState>) -> Response {
    let mut response = (state.metrics)().into_response();
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    response
}
