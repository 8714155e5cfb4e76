//! The family's OpenAPI document: what the handlers' annotations say, with what the authorization table adds.

use axum::http::StatusCode;
use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Content, OpenApi, Ref, RefOr,
        path::Operation,
        response::{Response, ResponseBuilder},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    core::{
        authorization::{COMMON_ERRORS, Callers, Rule, SignatureRule, TokenRule, rules},
        dialect::ErrorResponse,
        internal_routes, routes,
    },
    wording::Message,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Countersign core API",
        version = "1.0",
        description = "Users, transactions and approvals. Amounts are decimal strings in wei, times RFC 3339 in UTC, \
                       addresses in any letter case."
    ),
    components(schemas(ErrorResponse, Message))
)]
struct Base;

pub(crate) fn document() -> OpenApi {
    let (_, described) = routes().merge(internal_routes()).split_for_parts();
    let mut document = Base::openapi();
    document.merge(described);
    // The default is an empty licence name, which says nothing.
    document.info.license = None;
    for rule in rules() {
        if let Some(operation) = operation_of(&mut document, rule) {
            add_errors(operation, rule);
            operation.operation_id = Some(rule.operation.to_owned());
            operation.security = Some(security(rule));
        }
    }
    let components = document.components.get_or_insert_default();
    let headers = [
        ("apiKey", "x-api-key"),
        ("internalToken", "x-internal-token"),
        ("ethereumAddress", "x-ethereum-address"),
    ];
    for (name, header) in headers.into_iter().chain([
        ("ethereumSignature", "x-ethereum-signature"),
        ("ethereumTimestamp", "x-ethereum-timestamp"),
        ("ethereumExpires", "x-ethereum-expires"),
    ]) {
        components
            .add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header))));
    }
    let bearer =
        SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
    components.add_security_scheme("accessToken", bearer);
    document
}

fn operation_of<'a>(document: &'a mut OpenApi, rule: &Rule) -> Option<&'a mut Operation> {
    let item = document.paths.paths.get_mut(rule.path)?;
    match rule.method.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

fn add_errors(operation: &mut Operation, rule: &Rule) {
    let responses = &mut operation.responses.responses;
    for status in rule.errors.iter().chain(&COMMON_ERRORS) {
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(error(*status)));
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            phrase(status).clone_into(&mut response.description);
        }
    }
}

fn phrase(status: &str) -> &'static str {
    let status = StatusCode::from_bytes(status.as_bytes()).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn error(status: u16) -> Response {
    let schema = Ref::from_schema_name(ErrorResponse::name());
    ResponseBuilder::new()
        .description(phrase(&status.to_string()))
        .content("application/json", Content::new(Some(RefOr::Ref(schema))))
        .build()
}

/// Each element is one way to authenticate.
fn security(rule: &Rule) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    if rule.callers == Callers::Internal {
        return ["apiKey", "internalToken"].map(|way| SecurityRequirement::new(way, none)).into();
    }
    let Callers::Credentials { keys, signatures, tokens } = rule.callers else { return Vec::new() };
    let mut ways = Vec::new();
    if keys.is_some() {
        ways.push(SecurityRequirement::new("apiKey", none));
    }
    let signed = || SecurityRequirement::new("ethereumAddress", none).add("ethereumSignature", none);
    match signatures {
        SignatureRule::Unused | SignatureRule::Refused => {}
        SignatureRule::Request => ways.push(signed().add("ethereumTimestamp", none)),
        SignatureRule::RequestOrApproval => {
            ways.push(signed().add("ethereumTimestamp", none));
            ways.push(signed().add("ethereumExpires", none));
        }
    }
    if tokens == TokenRule::Own {
        ways.push(SecurityRequirement::new("accessToken", none));
    }
    ways
}
