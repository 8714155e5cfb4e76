//! The operator family's OpenAPI document.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Array, Content, OpenApi, Ref, RefOr, Schema,
        example::Example,
        path::Operation,
        response::ResponseBuilder,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use super::{dialect::Problem, routes, uploads_routes};
use crate::openapi::{never_null, operations};

/// What the domain's own types look like in JSON: parts of a change are signed as the domain writes them.
const SCHEMAS: &str = include_str!("description/schemas.json");
/// Of request bodies, by schema and name.
const EXAMPLES: &str = include_str!("description/examples.json");

/// Statuses that every operation may answer with.
const ERRORS: [(&str, &str); 13] = [
    ("400", "Bad Request"),
    ("401", "Unauthorized"),
    ("403", "Forbidden"),
    ("404", "Not Found"),
    ("405", "Method Not Allowed"),
    ("408", "Request Timeout"),
    ("409", "Conflict"),
    ("413", "Payload Too Large"),
    ("414", "URI Too Long"),
    ("415", "Unsupported Media Type"),
    ("429", "Too Many Requests"),
    ("500", "Internal Server Error"),
    ("503", "Service Unavailable"),
];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Countersign operator API",
        version = "1.0",
        description = "What permits more than before is a proposal that several operators sign; what stops something \
                       takes one. Served on the operator listener. Every request carries `Authorization: Operator TOKEN`: \
                       a JWT for this request alone, ES256 under the operator's key, with `typ` countersign-operator+jwt \
                       and `kid` the operator's id, and the claims `htm` (method), `htu` (path with query), `bsh` \
                       (SHA-256 of the body, base64url without padding), `iat` (seconds) and `jti` (16 to 64 characters, \
                       never used before)."
    ),
    components(schemas(Problem))
)]
struct Base;

pub(crate) fn document() -> OpenApi {
    let (_, described) = routes().merge(uploads_routes()).split_for_parts();
    let mut document = Base::openapi();
    document.merge(described);
    // The default is an empty licence name, which says nothing.
    document.info.license = None;
    let examples: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(EXAMPLES).expect("examples are JSON");
    for operation in operations(&mut document) {
        complete(operation);
        show(operation, &examples);
    }
    never_null(&mut document);
    // `Operator` is no registered scheme, so the header is described as it is.
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("authorization")));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("operatorProof", scheme);
    let schemas: BTreeMap<String, RefOr<Schema>> =
        serde_json::from_str(SCHEMAS).expect("schemas are such as OpenAPI has");
    components.schemas.extend(schemas);
    document
}

pub(super) fn change() -> RefOr<Schema> {
    Ref::from_schema_name("Change").into()
}

pub(super) fn floor() -> RefOr<Schema> {
    Ref::from_schema_name("Floor").into()
}

pub(super) fn bindings() -> RefOr<Schema> {
    Array::new(Ref::from_schema_name("Binding")).into()
}

/// Gives the body its examples.
fn show(operation: &mut Operation, examples: &BTreeMap<String, BTreeMap<String, Value>>) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(Content { schema: Some(RefOr::Ref(schema)), examples: shown, .. }) = content else {
            continue;
        };
        let name = schema.ref_location.rsplit('/').next().unwrap_or_default();
        let named = examples.get(name).into_iter().flatten();
        shown.extend(named.map(|(name, value)| {
            (name.clone(), RefOr::T(Example::builder().value(Some(value.clone())).build()))
        }));
    }
}

fn complete(operation: &mut Operation) {
    let none: [&str; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new("operatorProof", none)]);
    let responses = &mut operation.responses.responses;
    for (_, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            "Done".clone_into(&mut response.description);
        }
    }
    for (status, phrase) in ERRORS {
        let schema = Ref::from_schema_name(Problem::name());
        let content = Content::new(Some(RefOr::Ref(schema)));
        let response =
            ResponseBuilder::new().description(phrase).content("application/problem+json", content).build();
        responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}
