//! What a key is for, written into the HSM object itself (`CKA_LABEL`), so that a database row cannot say otherwise.

use std::fmt;

use crate::error::HsmError;

/// Longest encoded label in bytes; tokens commonly keep labels of at least this length.
pub const LABEL_BYTES_MAX: usize = 255;

const FORMAT: &str = "cs1";
const FIELD_SEPARATOR: char = '|';
const KIND_SEPARATOR: char = ',';

/// Organization, key id, purpose and permitted kinds of a key.
///
/// Encoded as `cs1|organization|key_id|purpose|kind,kind`. Every field is ASCII letters, digits and `_ . : / @ -`;
/// only `kinds` may be empty. The encoding is canonical: equal labels have equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyLabel {
    /// The tenant that owns the key.
    pub organization: String,
    /// The key's id in the gateway's records.
    pub key_id: String,
    /// What the key is used for, such as `wallet` or `jwt`; purposes never mix.
    pub purpose: String,
    /// The kinds of request that may use the key, in the order given.
    pub kinds: Vec<String>,
}

impl KeyLabel {
    /// The text stored in `CKA_LABEL`.
    pub fn encode(&self) -> Result<String, HsmError> {
        for field in [&self.organization, &self.key_id, &self.purpose].into_iter().chain(&self.kinds) {
            if field.is_empty() || !field.chars().all(is_permitted) {
                return Err(HsmError::InvalidInput(
                    "label fields are non-empty ASCII letters, digits and `_.:/@-`",
                ));
            }
        }
        let encoded = self.to_string();
        if encoded.len() > LABEL_BYTES_MAX {
            return Err(HsmError::InvalidInput("the encoded label is longer than 255 bytes"));
        }
        Ok(encoded)
    }

    /// Reads a label back; `None` for a label that this crate did not write.
    pub fn decode(encoded: &str) -> Option<Self> {
        let mut fields = encoded.split(FIELD_SEPARATOR);
        if fields.next()? != FORMAT {
            return None;
        }
        let (organization, key_id, purpose) = (fields.next()?, fields.next()?, fields.next()?);
        let kinds = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        let kinds = match kinds {
            "" => Vec::new(),
            list => list.split(KIND_SEPARATOR).map(str::to_owned).collect(),
        };
        let label =
            Self { organization: organization.into(), key_id: key_id.into(), purpose: purpose.into(), kinds };
        (label.encode().ok()? == encoded).then_some(label)
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { organization, key_id, purpose, kinds } = self;
        write!(formatter, "{FORMAT}|{organization}|{key_id}|{purpose}|{}", kinds.join(","))
    }
}

fn is_permitted(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_.:/@-".contains(character)
}

#[cfg(test)]
mod tests;
