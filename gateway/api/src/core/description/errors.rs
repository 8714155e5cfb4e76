//! The failures of an operation: which there are, what they are like, and an example in the very words of the server.

use std::time::Duration;

use gateway_domain::{Error, error::Internal};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        Content, Header, Ref, RefOr,
        path::Operation,
        response::{Response, ResponseBuilder},
        schema::{Object, Type},
    },
};

use super::examples::REQUEST_ID;
use crate::{
    core::{
        authorization::{COMMON_ERRORS, RECEIVING_ERRORS, Rule},
        dialect::ErrorResponse,
    },
    failure::Failure,
};

/// Answered by nothing but the listener's layers.
const UNRECEIVING: [&str; 2] = ["get_hello", "health_check"];

pub(super) fn describe(operation: &mut Operation, rule: &Rule) {
    let mut statuses = [rule.errors, &COMMON_ERRORS].concat();
    if !UNRECEIVING.contains(&rule.operation) {
        statuses.extend(RECEIVING_ERRORS);
    }
    if operation.request_body.is_some() {
        statuses.push(415);
    }
    let responses = &mut operation.responses.responses;
    for status in statuses {
        let described = || RefOr::T(error(status, rule));
        responses.entry(status.to_string()).or_insert_with(described);
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            about(status).clone_into(&mut response.description);
        }
    }
}

fn about(status: &str) -> &'static str {
    match status {
        "200" => "Done.",
        "201" => "Made, or found as an equal request had made it.",
        "204" => "Done; there is nothing to say.",
        "400" => "The request breaks a rule; `message` names every fault.",
        "401" => "No credential that this operation takes, or one that proves nothing.",
        "403" => "The caller is known and may not do this.",
        "404" => "There is no such object, or not for this caller.",
        "408" => "The body did not arrive in time.",
        "409" => "The request contradicts the present state.",
        "413" => "The body is too long.",
        "414" => "Path and query are too long.",
        "415" => "The body is not said to be JSON in UTF-8.",
        "429" => "Too many requests, or a quota is used up. `retry-after` says when to come back.",
        "431" => "The headers are too long.",
        "500" => "The gateway failed; `requestId` finds the cause in its log.",
        "502" => "The vendor failed or refused.",
        "503" => "A part is away, overloaded or not configured. `retry-after` says when to come back.",
        _ => "Failed.",
    }
}

fn error(status: u16, rule: &Rule) -> Response {
    let mut content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(ErrorResponse::name()))));
    content.example = example(status, rule);
    let mut response = ResponseBuilder::new().description(match (rule.operation, status) {
        ("create_transaction", 502) => {
            "Kept for clients that expect it: a vendor's failure shows as FAILED in a 201 at present."
        }
        _ => about(&status.to_string()),
    });
    for (name, about) in headers(status) {
        response = response.header(*name, header(about));
    }
    response.content("application/json", content).build()
}

fn headers(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("www-authenticate", "The ways to authenticate.")],
        429 | 503 => &[("retry-after", "Seconds.")],
        _ => &[],
    }
}

fn header(about: &str) -> Header {
    let text = Object::with_type(Type::String);
    Header::builder().schema(Some(text)).description(Some(about)).build()
}

/// What the server says of a failure that this operation may have.
fn example(status: u16, rule: &Rule) -> Option<Value> {
    let body = ErrorResponse::example(&failure(status, rule)?, REQUEST_ID);
    Some(serde_json::to_value(body).expect("wire types have string keys only"))
}

fn failure(status: u16, rule: &Rule) -> Option<Failure> {
    let pause = Duration::from_secs(1);
    let failure = match status {
        400 => invalid(rule),
        401 => Error::Unauthenticated.into(),
        403 => Error::Forbidden("the API key lacks the scope for this").into(),
        404 => Error::NotFound(subject(rule.path)).into(),
        408 => Failure::BodyTooSlow,
        409 => Error::Conflict(conflict(rule.operation)).into(),
        413 => Failure::BodyTooLarge { bytes_max: 1_048_576 },
        414 => Failure::UriTooLong { bytes_max: 8_192 },
        415 => Failure::UnsupportedMediaType,
        429 => Failure::RateLimited { retry_after: pause },
        431 => Failure::HeadersTooLarge { bytes_max: 16_384 },
        500 => Failure::Panicked,
        502 => Error::Upstream("Privy", Internal::new("an example")).into(),
        503 => Failure::Overloaded,
        _ => return None,
    };
    Some(failure)
}

fn invalid(rule: &Rule) -> Failure {
    let parameter = rule.path.rsplit('{').next().and_then(|rest| rest.strip_suffix('}'));
    match parameter {
        Some("ethereumAddress" | "inbox") => Failure::invalid(format!(
            "{} must be `0x` and 40 hexadecimal digits",
            parameter.unwrap_or_default()
        )),
        Some("type") => Failure::invalid("type must be execution or agent"),
        Some("id") => Failure::invalid("id must be a whole number of at least 1"),
        Some("apiKeyId") => Failure::invalid("apiKeyId must be a UUID"),
        _ if rule.path.contains("{requestHash}") => {
            Failure::invalid("requestHash must be `0x` and 64 hexadecimal digits")
        }
        _ if rule.method == axum::http::Method::GET => Failure::BodyUnreadable,
        _ => Failure::invalid("ethereumAddres is not a known field"),
    }
}

/// What is missing where something is not found.
fn subject(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("fireblocks") => "fireblocks integration",
        Some("verification-services") => "verification service",
        Some("transactions" | "internal") => "transaction",
        Some("settings") if path.contains("privy-quorum") => "quorum",
        _ if path.contains("{apiKeyId}") => "API key",
        _ => "user",
    }
}

fn conflict(operation: &str) -> &'static str {
    match operation {
        "create_user" => "a user with this ethereumAddress exists",
        "create_transaction" | "create_admin_transaction" => "requestHash is in use",
        "create_approval" => "the transaction is not pending",
        "update_settlement" => "the transaction is not APPROVED, or was settled differently",
        _ => "the object was changed by another request",
    }
}
