//! The settings of a binding.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

mod json;
#[cfg(test)]
mod tests;

/// JSON text that the component's `validate-settings` has accepted, hashed once; clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Arc<Hashed>);

#[derive(Debug, PartialEq, Eq)]
struct Hashed {
    text: Box<str>,
    digest: Digest,
    fault: Option<SettingsFault>,
}

/// Why settings are not read alike by everybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// JavaScript takes the last of them, Rust refuses both.
    #[error("key `{0}` is given twice")]
    KeyTwice(String),
    /// JSON by its grammar, with what some languages refuse: half a character, a number beyond all bounds, a thousand
    /// lists in each other.
    #[error("not every language reads them: {0}")]
    NotForAll(String),
    #[error("they are not JSON: {0}")]
    NotJson(String),
}

impl Settings {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What is wrong with the text as JSON. A plugin need not take JSON; what is JSON must say one thing to everybody.
    pub fn fault(&self) -> Option<&SettingsFault> {
        self.0.fault.as_ref()
    }

    /// The fault of what is JSON.
    pub(crate) fn ambiguity(&self) -> Option<&SettingsFault> {
        self.fault().filter(|fault| !matches!(fault, SettingsFault::NotJson(_)))
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

impl From<&str> for Settings {
    fn from(text: &str) -> Self {
        let (digest, fault) = (Digest::of(text.as_bytes()), json::fault(text));
        Self(Arc::new(Hashed { digest, fault, text: text.into() }))
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
