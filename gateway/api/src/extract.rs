//! From bytes to values: one strict JSON reader, and rules that name field and fault.

mod body;
mod fields;
mod json;
mod query;
pub(crate) mod scalar;

pub(crate) use body::RawBody;
pub(crate) use fields::{Fields, Wire};
pub(crate) use json::Json;
pub(crate) use query::read_query;
