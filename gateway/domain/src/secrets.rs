//! Secrets that the gateway must be able to read back: sealed by an AES-256-GCM key of the HSM, bound to their place.

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

/// A sealed secret as it is stored: IV, ciphertext and tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(#[serde(with = "hex::serde")] pub Vec<u8>);

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
