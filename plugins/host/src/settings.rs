//! The settings of a binding.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// JSON text that the component's `validate-settings` has accepted, hashed once; clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Arc<Hashed>);

#[derive(Debug, PartialEq, Eq)]
struct Hashed {
    text: Box<str>,
    digest: Digest,
}

impl Settings {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

impl From<&str> for Settings {
    fn from(text: &str) -> Self {
        Self(Arc::new(Hashed { digest: Digest::of(text.as_bytes()), text: text.into() }))
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}
