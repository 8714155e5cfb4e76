//! The operator listener: liveness, readiness, metrics, and `/operator/v1`, what operators do. It belongs on an address
//! that the public cannot reach.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use gateway_domain::{
    Clock, Error,
    entropy::Entropy,
    ids::OperatorId,
    operators::{OperatorActor, OperatorRole},
    ports::Services,
};
use serde::Serialize;
use tower::ServiceBuilder;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answer},
    config::ApiConfig,
    failure::Failure,
    layers::{self, Gate, KeyedRate, access, admission, catch_panics, guard_headers, request_id, size},
    openapi,
};

mod call;
mod controls;
mod description;
mod dialect;
mod dry_runs;
mod evaluations;
mod plugins;
mod policies;
mod proof;
mod proposals;
mod rollbacks;
#[cfg(test)]
mod tests;
mod vaults;
mod view;

pub(crate) use description::document;

/// What the operator listener works with.
#[derive(Clone)]
pub struct OperatorState {
    pub readiness: Arc<dyn ReadinessProbe>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// The bounds of sizes, times and requests under way; this listener has places of its own.
    pub config: ApiConfig,
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

/// `/livez`, `/readyz`, `/metrics`, and what `/operator/v1` is like.
pub fn operator_router(state: OperatorState) -> Router {
    let gate = Gate::new(state.clock.clone(), state.entropy.clone(), state.config.clone());
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi/operator.json", get(document_of_operators))
        .fallback(async || Failure::NoRoute)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .with_state(state);
    layered(routes, gate)
}

/// `/operator/v1`, without a fallback: it shares the listener. `uploads` bounds the requests that carry a component, which
/// are longer and take longer than others.
pub fn operator_api_router(services: &Services, config: ApiConfig, uploads: ApiConfig) -> Router {
    let rate = Arc::new(KeyedRate::new(config.rates.operator, config.rates.keys_max));
    let dry_runs = Arc::new(KeyedRate::new(config.rates.dry_run, config.rates.keys_max));
    let sources = Arc::new(KeyedRate::new(config.rates.source, config.rates.keys_max));
    let branch = |routes: OpenApiRouter<Arc<Desk>>, config: ApiConfig, role| {
        let gate = Gate::new(services.clock.clone(), services.entropy.clone(), config.clone());
        let (routes, _) = routes.split_for_parts();
        (
            routes.with_state(Arc::new(Desk {
                services: services.clone(),
                config,
                rate: rate.clone(),
                dry_runs: dry_runs.clone(),
                sources: sources.clone(),
                role,
            })),
            gate,
        )
    };
    let (others, gate) = branch(routes(), config, None);
    let others = layered(others.method_not_allowed_fallback(async || Failure::MethodNotAllowed), gate);
    let (uploads, gate) = branch(uploads_routes(), uploads, Some(OperatorRole::Author));
    others.merge(layered(uploads, gate))
}

/// What the operators' requests work with.
pub(crate) struct Desk {
    pub(crate) services: Services,
    pub(crate) config: ApiConfig,
    rate: Arc<KeyedRate<OperatorId>>,
    dry_runs: Arc<KeyedRate<OperatorId>>,
    sources: Arc<KeyedRate<IpAddr>>,
    /// Without which no body is read.
    role: Option<OperatorRole>,
}

impl Desk {
    /// Whether anybody there may ask so soon again, whoever that is.
    fn admit_source(&self, source: IpAddr) -> Result<(), Failure> {
        self.sources.check(&source).map_err(|retry_after| Failure::RateLimited { retry_after })
    }

    /// Whether the operator may ask for anything here.
    fn require_role(&self, operator: &OperatorActor) -> Result<(), Failure> {
        if self.role.is_some_and(|role| !operator.roles.contains(&role)) {
            return Err(Error::Forbidden("the role author is required").into());
        }
        Ok(())
    }

    /// Whether the operator may ask so soon again. Charged for what the operator has just signed: a proof that somebody
    /// else has read and repeats is nothing the operator asked for.
    fn charge(&self, operator: &OperatorActor) -> Result<(), Failure> {
        self.rate.check(&operator.operator).map_err(|retry_after| Failure::RateLimited { retry_after })
    }

    /// Whether the operator may have plugins asked so soon again.
    fn charge_dry_run(&self, operator: OperatorId) -> Result<(), Failure> {
        self.dry_runs.check(&operator).map_err(|retry_after| Failure::RateLimited { retry_after })
    }
}

/// Every operation of `/operator/v1` but uploads, with its description.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(controls::get_charter))
        .routes(routes!(controls::revoke_operator))
        .routes(routes!(controls::freeze))
        .routes(routes!(controls::revoke_api_key))
        .routes(routes!(dry_runs::create_dry_run))
        .routes(routes!(evaluations::list_evaluations))
        .routes(routes!(policies::get_policy))
        .routes(routes!(policies::list_policies))
        .routes(routes!(policies::get_policy_revision))
        .routes(routes!(rollbacks::roll_back_policy))
        .routes(routes!(plugins::list_plugins))
        .routes(routes!(plugins::get_plugin))
        .routes(routes!(plugins::revoke_plugin))
        .routes(routes!(vaults::list_vaults))
        .routes(routes!(vaults::get_vault))
        .routes(routes!(vaults::list_vault_keys))
        .routes(routes!(proposals::create_proposal, proposals::list_proposals))
        .routes(routes!(proposals::get_proposal))
        .routes(routes!(proposals::approve_proposal))
        .routes(routes!(proposals::refuse_proposal))
        .routes(routes!(proposals::withdraw_proposal))
        .routes(routes!(proposals::claim_api_key))
}

/// Operations that carry a component.
pub(crate) fn uploads_routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(plugins::upload_plugin))
}

fn layered(routes: Router, gate: Arc<Gate>) -> Router {
    // As on the public listener, but for what concerns browsers and sources: this one is for a known few.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::clone(&gate), request_id))
        .layer(from_fn(access))
        .layer(from_fn(guard_headers))
        .layer(from_fn(dialect::render))
        .layer(catch_panics())
        .layer(from_fn_with_state(Arc::clone(&gate), admission))
        .layer(from_fn_with_state(Arc::clone(&gate), layers::timeout))
        .layer(from_fn_with_state(gate, size));
    routes.layer(layers)
}

async fn document_of_operators() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::openapi(openapi::Family::Operator));
    answer::json(StatusCode::OK, DOCUMENT.as_str())
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
