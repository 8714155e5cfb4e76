//! How the operator listener says that something failed: problem details (RFC 9457).

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer,
    failure::Failure,
    layers::RequestId,
    wording::{Message, Wording},
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    #[schema(value_type = String)]
    title: &'static str,
    status: u16,
    detail: String,
    request_id: String,
}

/// Puts words into answers that carry a failure.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map_or_else(|| "-".to_owned(), |id| id.0.to_string());
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() else { return response };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut response = rendered(&failure, id);
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn rendered(failure: &Failure, request_id: String) -> Response {
    let Wording { status, message, retry_after, .. } = Wording::of(failure);
    let detail = match message {
        Message::Text(text) => text,
        Message::Rules(rules) => rules.join("; "),
    };
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem { kind: "about:blank", title, status: status.as_u16(), detail, request_id };
    let bytes = serde_json::to_vec(&problem).expect("wire types have string keys only");
    let mut response = answer::json(status, bytes);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(pause) = retry_after {
        headers.insert(header::RETRY_AFTER, pause);
    }
    response
}
