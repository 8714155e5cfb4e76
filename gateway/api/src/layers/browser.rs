//! What browsers are told.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::state::App;

const PREFLIGHT_AGE: Duration = Duration::from_mins(10);

/// Lets pages of the configured origins call the API; without any no page may. Credentials travel in headers
/// that pages set themselves, so cookies are never allowed.
pub(crate) fn cors(app: &App) -> CorsLayer {
    let origins = app.config.cors_origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok());
    let asked = ["x-api-key", "x-ethereum-address", "x-ethereum-signature", "x-ethereum-timestamp"];
    let asked =
        asked.into_iter().chain(["x-ethereum-expires", "idempotency-key"]).map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(asked.chain([header::CONTENT_TYPE, header::AUTHORIZATION]).collect::<Vec<_>>())
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}

/// Answers are data for one caller: not to be stored, sniffed, framed or scripted. A handler that serves a page
/// sets its own content policy.
pub(crate) async fn guard_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
