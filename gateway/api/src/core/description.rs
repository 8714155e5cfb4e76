//! The family's OpenAPI document: what the handlers' annotations say, with what the authorization table adds.

mod errors;
mod examples;
mod links;
mod security;

use utoipa::{
    OpenApi as _,
    openapi::{OpenApi, path::Operation},
};

use crate::{
    core::{
        authorization::{Rule, rules},
        dialect::ErrorResponse,
        internal_routes, routes,
    },
    openapi::never_null,
    wording::Message,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Countersign core API",
        version = "1.0",
        description = "Users, transactions and approvals. Amounts are decimal strings in wei, times RFC 3339 in UTC, \
                       addresses in any letter case. A field that is not required may be left out and is never null. \
                       The operations under /internal are served on the operator's listener only."
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
            errors::describe(operation, rule);
            operation.operation_id = Some(rule.operation.to_owned());
            operation.security = Some(security::of(rule));
        }
    }
    security::add_schemes(document.components.get_or_insert_default());
    never_null(&mut document);
    examples::attach(&mut document);
    links::attach(&mut document);
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
