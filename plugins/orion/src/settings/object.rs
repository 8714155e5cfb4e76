//! A JSON object that refuses repeated fields: two readers could otherwise see two settings.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// Fields in the order of the text.
pub(super) struct Object(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((field, value)) = map.next_entry()? {
            if fields.iter().any(|(known, _)| *known == field) {
                return Err(Error::custom(format!("`{field}` is repeated")));
            }
            fields.push((field, value));
        }
        Ok(Object(fields))
    }
}
