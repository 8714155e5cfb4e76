//! What is said about each failure. A family's dialect only gives it a shape, so that listeners and families do not
//! contradict each other.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use gateway_domain::Error;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::failure::Failure;

/// What overload and time-outs ask the client to wait.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Configuration does not change between two tries of a program.
const UNCONFIGURED_PAUSE: Duration = Duration::from_hours(1);

/// One text, or for validation one text for each broken rule.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Message {
    Text(String),
    Rules(Vec<String>),
}

/// A failure in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wording {
    pub(crate) status: StatusCode,
    pub(crate) message: Message,
    /// The value of `retry-after`.
    pub(crate) retry_after: Option<HeaderValue>,
    /// Facts for programs.
    pub(crate) details: Option<Value>,
}

impl Wording {
    /// Also logs what only the operator may know.
    pub(crate) fn of(failure: &Failure) -> Self {
        log(failure);
        wording(failure)
    }

    fn after(self, pause: Duration) -> Self {
        // Rounded up: a client that comes back on time must not come too early.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        Self { retry_after: Some(HeaderValue::from(seconds.max(1))), ..self }
    }
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

/// Without the log.
pub(crate) fn wording(failure: &Failure) -> Wording {
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
            details: None,
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
        Error::VendorRefused { http_status, code, .. } => {
            let details = json!({"httpStatus": http_status, "code": code});
            Wording { details: Some(details), ..says(StatusCode::BAD_GATEWAY, error.to_string()) }
        }
        Error::Unconfigured(_) => {
            says(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).after(UNCONFIGURED_PAUSE)
        }
        Error::Inconsistency(_) | Error::Internal(_) => {
            says(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

fn says(status: StatusCode, text: impl Into<String>) -> Wording {
    Wording { status, message: Message::Text(text.into()), retry_after: None, details: None }
}

#[cfg(test)]
mod tests;
