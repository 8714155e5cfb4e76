//! OpenAPI 3.1 documents, one for each API family, made from the handlers' own annotations.

mod optional;
mod page;

use utoipa::openapi::{OpenApi, path::Operation};

pub(crate) use optional::never_null;
pub(crate) use page::page;

/// The API families this build serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Core,
    /// `/operator/v1` of the operator listener.
    Operator,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::Core, Self::Operator];

    /// As in `/openapi/{family}.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Operator => "operator",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    fn document(self) -> OpenApi {
        match self {
            Self::Core => crate::core::document(),
            Self::Operator => crate::operator::document(),
        }
    }
}

/// The family's OpenAPI document as indented JSON.
pub fn openapi(family: Family) -> String {
    let mut text = serde_json::to_string_pretty(&family.document()).expect("documents have string keys only");
    text.push('\n');
    text
}

/// Every operation, whatever its method.
pub(crate) fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
            .into_iter()
            .filter_map(Option::as_mut)
    })
}
