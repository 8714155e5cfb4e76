//! Query strings, read by the same rules as bodies: every parameter once, none unknown.

use crate::{
    extract::{Fields, Json, Wire},
    failure::Failure,
};

/// The query as `T`. All values are text.
pub(crate) fn read_query<T: Wire>(query: Option<&str>) -> Result<T, Failure> {
    let mut members: Vec<(String, Json)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if members.iter().any(|(known, _)| *known == name) {
            return Err(Failure::Malformed("a query parameter is given twice".to_owned()));
        }
        members.push((name.into_owned(), Json::Text(value.into_owned())));
    }
    let mut fields = Fields::of(Json::Object(members))?;
    let value = T::read(&mut fields);
    fields.finish(value)
}
