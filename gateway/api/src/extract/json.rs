//! The one JSON reader (threat-model T21): UTF-8, no duplicate keys at any depth, bounded depth, nothing after the
//! value. What it returns is the only reading there is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::failure::Failure;

/// A JSON value. Objects keep the order of their members.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn read(bytes: &[u8], depth_max: usize) -> Result<Self, Failure> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| Failure::Malformed("body is not UTF-8".to_owned()))?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let seed = Nested { depth_left: depth_max };
        let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map_err(|error| Failure::Malformed(format!("body is not acceptable JSON: {error}")))
    }

    /// The kind of value, for messages that must not repeat it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    pub(crate) fn has_member(&self, name: &str) -> bool {
        matches!(self, Self::Object(members) if members.iter().any(|(member, _)| member == name))
    }
}

impl From<&Json> for serde_json::Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::Text(text) => Self::String(text.clone()),
            Json::List(list) => Self::Array(list.iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect())
            }
        }
    }
}

/// Reads one value with this many levels left below it.
#[derive(Clone, Copy)]
struct Nested {
    depth_left: usize,
}

impl Nested {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left =
            self.depth_left.checked_sub(1).ok_or_else(|| E::custom("it is nested too deeply"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let item = self.below()?;
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(item)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let member = self.below()?;
        let mut names = std::collections::HashSet::new();
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate field `{}`", shown(&name))));
            }
            object.push((name, members.next_value_seed(member)?));
        }
        Ok(Json::Object(object))
    }
}

/// A client's own word, short and printable enough for a message.
pub(crate) fn shown(name: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    let printable = |character: &char| character.is_alphanumeric() || character.is_ascii_graphic();
    name.chars().filter(printable).take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
