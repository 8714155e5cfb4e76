//! How the core family says that something failed: `{statusCode, error, message, requestId, details?}`.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answer,
    failure::Failure,
    layers::RequestId,
    wording::{Message, Wording, wording},
};

/// Every error body of the family.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorResponse {
    #[schema(minimum = 400, maximum = 599)]
    status_code: u16,
    /// The status' reason phrase.
    error: &'static str,
    message: Message,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

impl ErrorResponse {
    fn new(Wording { status, message, details, .. }: Wording, request_id: String) -> Self {
        let error = status.canonical_reason().unwrap_or("Error");
        Self { status_code: status.as_u16(), error, message, request_id, details }
    }

    /// What is said of `failure`, without anybody having failed.
    pub(crate) fn example(failure: &Failure, request_id: &str) -> Self {
        Self::new(wording(failure), request_id.to_owned())
    }
}

/// Puts the family's words into answers that carry a failure.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.map_or_else(|| "-".to_owned(), |id| id.0.to_string());
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
    let mut wording = Wording::of(failure);
    let (status, retry_after) = (wording.status, wording.retry_after.take());
    let body = ErrorResponse::new(wording, request_id);
    let bytes = serde_json::to_vec(&body).expect("wire types have string keys only");
    let mut response = answer::json(status, bytes);
    if let Some(pause) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, pause);
    }
    if status == StatusCode::UNAUTHORIZED {
        let schemes = HeaderValue::from_static("Bearer, ApiKey, EthereumSignature");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
    }
    response
}
