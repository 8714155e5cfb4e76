//! Secrets that the gateway must be able to read back: sealed by an AES-256-GCM key of the HSM, bound to their place.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::OrganizationId;

/// A secret in clear: neither `Debug` nor `Serialize`, zeroized on drop.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which a person recognizes it.
    pub fn last4(&self) -> String {
        let skipped = self.0.chars().count().saturating_sub(4);
        self.0.chars().skip(skipped).collect()
    }
}

/// A sealed secret as it is stored; written `<epoch>:<hex digits>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SealedSecret {
    /// Rotation of the key that sealed it.
    pub epoch: u32,
    /// IV, ciphertext and tag.
    pub bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
#[error("a sealed secret reads `<epoch>:<hex digits>`")]
pub struct SealedSecretMalformed;

/// Where a sealed secret belongs. It opens nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlace {
    pub organization: OrganizationId,
    pub table: &'static str,
    pub row: String,
    pub column: &'static str,
    /// Rises with every secret put there, so that an older one does not open in its place.
    pub version: u64,
}

impl SecretPlace {
    /// The additional data of AES-GCM: `organization|table|row|column|version`. Ids and names hold no bar.
    pub fn additional_data(&self) -> Vec<u8> {
        let Self { organization, table, row, column, version } = self;
        format!("{organization}|{table}|{row}|{column}|{version}").into_bytes()
    }
}

impl fmt::Display for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, hex::encode(&self.bytes))
    }
}

impl FromStr for SealedSecret {
    type Err = SealedSecretMalformed;

    fn from_str(text: &str) -> Result<Self, SealedSecretMalformed> {
        let (epoch, bytes) = text.split_once(':').ok_or(SealedSecretMalformed)?;
        let epoch = epoch.parse().map_err(|_| SealedSecretMalformed)?;
        Ok(Self { epoch, bytes: hex::decode(bytes).map_err(|_| SealedSecretMalformed)? })
    }
}

impl From<SealedSecret> for String {
    fn from(sealed: SealedSecret) -> Self {
        sealed.to_string()
    }
}

impl TryFrom<String> for SealedSecret {
    type Error = SealedSecretMalformed;

    fn try_from(text: String) -> Result<Self, SealedSecretMalformed> {
        text.parse()
    }
}
