//! How the core family says that something failed: `{statusCode, error, message, requestId, details?}`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use gateway_domain::Error;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{answer, failure::Failure, layers::RequestId};

/// What overload and time-outs ask the client to wait.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Configuration does not change between two tries of a program.
const UNCONFIGURED_PAUSE: Duration = Duration::from_hours(1);

/// Every error body of the family.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorResponse {
    status_code: u16,
    /// The status' reason phrase.
    error: &'static str,
    message: Message,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<serde_json::Value>,
}

/// One text, or for validation one text for each broken rule.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Message {
    Text(String),
    Rules(Vec<String>),
}

/// A failure as the family words it.
#[derive(Debug, PartialEq, Eq)]
struct Wording {
    status: StatusCode,
    message: Message,
    retry_after: Option<Duration>,
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
    log(failure);
    let Wording { status, message, retry_after } = wording(failure);
    let error = status.canonical_reason().unwrap_or("Error");
    let body = ErrorResponse { status_code: status.as_u16(), error, message, request_id, details: None };
    let bytes = serde_json::to_vec(&body).expect("wire types have string keys only");
    let mut response = answer::json(status, bytes);
    if let Some(pause) = retry_after {
        // Rounded up: a client that comes back on time must not come too early.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        let schemes = HeaderValue::from_static("Bearer, ApiKey, EthereumSignature");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
    }
    response
}

/// Internal causes go to the operator's log, once, and nowhere else. The request's span names the request.
fn log(failure: &Failure) {
    match failure {
        Failure::Domain(error @ (Error::Inconsistency(_) | Error::Internal(_))) => {
            tracing::error!(cause = causes(error), "a request failed: {error}");
        }
        Failure::Domain(error @ (Error::Unavailable { .. } | Error::Upstream(..))) => {
            tracing::warn!(cause = causes(error), "a request failed: {error}");
        }
        Failure::Panicked => tracing::error!("a request panicked"),
        Failure::TimedOut => tracing::warn!("a request took too long"),
        _ => {}
    }
}

/// The internal cause and what lies behind it.
fn causes(error: &Error) -> String {
    let mut texts = Vec::new();
    let mut next: Option<&dyn std::error::Error> = error.internal_cause().map(|cause| cause as _);
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.join(": ")
}

fn wording(failure: &Failure) -> Wording {
    match failure {
        Failure::Domain(error) => domain_wording(error),
        Failure::Malformed(fault) => says(StatusCode::BAD_REQUEST, fault.clone()),
        Failure::CredentialMissing => says(StatusCode::UNAUTHORIZED, "a credential is required"),
        Failure::NoRoute => says(StatusCode::NOT_FOUND, "there is no such route"),
        Failure::MethodNotAllowed => {
            says(StatusCode::METHOD_NOT_ALLOWED, "the route does not have this method")
        }
        Failure::BodyTooLarge { bytes_max } => {
            says(StatusCode::PAYLOAD_TOO_LARGE, format!("body must be at most {bytes_max} bytes"))
        }
        Failure::BodyUnreadable => says(StatusCode::BAD_REQUEST, "body could not be read to its end"),
        Failure::BodyTooSlow => says(StatusCode::REQUEST_TIMEOUT, "body did not arrive in time"),
        Failure::UnsupportedMediaType => {
            says(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json in UTF-8")
        }
        Failure::UriTooLong { bytes_max } => {
            says(StatusCode::URI_TOO_LONG, format!("path with query must be at most {bytes_max} bytes"))
        }
        Failure::HeadersTooLarge { bytes_max } => says(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("headers must be at most {bytes_max} bytes together"),
        ),
        Failure::RateLimited { retry_after } => {
            says(StatusCode::TOO_MANY_REQUESTS, "too many requests").after(*retry_after)
        }
        Failure::SourceBusy => {
            says(StatusCode::TOO_MANY_REQUESTS, "too many requests of this source are under way")
                .after(BUSY_PAUSE)
        }
        Failure::Overloaded => {
            says(StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way").after(BUSY_PAUSE)
        }
        Failure::TimedOut => {
            says(StatusCode::SERVICE_UNAVAILABLE, "the request took too long").after(BUSY_PAUSE)
        }
        Failure::Unconfigured(setting) => {
            says(StatusCode::SERVICE_UNAVAILABLE, format!("`{setting}` is not configured"))
                .after(UNCONFIGURED_PAUSE)
        }
        Failure::Panicked => says(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

fn domain_wording(error: &Error) -> Wording {
    match error {
        Error::Invalid(rules) => Wording {
            status: StatusCode::BAD_REQUEST,
            message: Message::Rules(rules.clone()),
            retry_after: None,
        },
        Error::Unauthenticated => says(StatusCode::UNAUTHORIZED, error.to_string()),
        Error::Forbidden(_) => says(StatusCode::FORBIDDEN, error.to_string()),
        Error::NotFound(_) => says(StatusCode::NOT_FOUND, error.to_string()),
        Error::Conflict(_) => says(StatusCode::CONFLICT, error.to_string()),
        Error::Exhausted { retry_after, .. } => {
            says(StatusCode::TOO_MANY_REQUESTS, error.to_string()).after(*retry_after)
        }
        Error::Unavailable { retry_after, .. } => {
            says(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).after(*retry_after)
        }
        Error::Upstream(..) => says(StatusCode::BAD_GATEWAY, error.to_string()),
        Error::Inconsistency(_) | Error::Internal(_) => {
            says(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

fn says(status: StatusCode, text: impl Into<String>) -> Wording {
    Wording { status, message: Message::Text(text.into()), retry_after: None }
}

impl Wording {
    fn after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }
}

#[cfg(test)]
mod tests;
