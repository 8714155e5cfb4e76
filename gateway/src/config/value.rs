//! What a key can hold, and how it reads in TOML.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// Describes a key's type and default to the reference, and its number to the range check.
pub(crate) trait Value {
    fn kind(&self) -> &'static str;

    /// The value as TOML; absent when there is none, or when it must not be shown.
    fn toml(&self) -> Option<String>;

    fn number(&self) -> Option<u64> {
        None
    }
}

/// Text that must not be shown: neither `Debug` nor `Serialize`, zeroized on drop.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// An array of strings; in the environment, one string with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = List;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(List(items.map(ToOwned::to_owned).collect()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            fn kind(&self) -> &'static str {
                "integer"
            }

            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )+};
}
numbers!(u32, u64, usize);

impl Value for bool {
    fn kind(&self) -> &'static str {
        "boolean"
    }

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn kind(&self) -> &'static str {
        "string"
    }

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Value for SocketAddr {
    fn kind(&self) -> &'static str {
        "address and port"
    }

    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for PathBuf {
    fn kind(&self) -> &'static str {
        "path"
    }

    fn toml(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl Value for Secret {
    fn kind(&self) -> &'static str {
        "secret string"
    }

    fn toml(&self) -> Option<String> {
        None
    }
}

impl Value for List {
    fn kind(&self) -> &'static str {
        "array of strings"
    }

    fn toml(&self) -> Option<String> {
        let items: Vec<_> = self.0.iter().map(|item| quoted(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl Value for BTreeMap<String, String> {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn toml(&self) -> Option<String> {
        let items: Vec<_> =
            self.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        Some(if items.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", items.join(", ")) })
    }
}

macro_rules! optional {
    ($($value:ty => $kind:literal),+ $(,)?) => {$(
        impl Value for Option<$value> {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn toml(&self) -> Option<String> {
                self.as_ref().and_then(Value::toml)
            }

            fn number(&self) -> Option<u64> {
                self.as_ref().and_then(Value::number)
            }
        }
    )+};
}
optional!(String => "string", PathBuf => "path", Secret => "secret string", usize => "integer");

/// A TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(control)).expect("writing to a string succeeds");
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
