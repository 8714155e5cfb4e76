//! The operator family's OpenAPI document.

use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Content, OpenApi, Ref, RefOr,
        path::Operation,
        response::ResponseBuilder,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use super::{dialect::Problem, routes, uploads_routes};

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
    for item in document.paths.paths.values_mut() {
        for operation in [item.get.as_mut(), item.post.as_mut()].into_iter().flatten() {
            complete(operation);
        }
    }
    // `Operator` is no registered scheme, so the header is described as it is.
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("authorization")));
    document.components.get_or_insert_default().add_security_scheme("operatorProof", scheme);
    document
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
