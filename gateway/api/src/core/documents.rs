//! The family's description of itself, open to everybody.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{answer, openapi, state::App};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::openapi(openapi::Family::Core));
static PAGE: LazyLock<String> = LazyLock::new(|| openapi::page(&super::document()));

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/openapi/core.json", get(document)).route("/docs", get(page))
}

async fn document() -> Response {
    answer::json(StatusCode::OK, DOCUMENT.as_str())
}

async fn page() -> Response {
    let mut response = PAGE.as_str().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // The page has a style sheet inside it, and nothing else to load.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
