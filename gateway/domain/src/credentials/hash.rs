//! Keyed hashes of server-made secrets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    credentials::ApiKeySecret,
    mac::{EpochMac, EpochMacMalformed, MacKeys},
    sessions::RefreshToken,
};

/// What is stored of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialHash(EpochMac);

/// Recognises secrets without storing them and without asking the HSM.
pub struct CredentialHasher(MacKeys);

impl CredentialHasher {
    pub fn new(keys: MacKeys) -> Self {
        Self(keys)
    }

    pub fn hash(&self, public_id: &str, secret: &ApiKeySecret) -> CredentialHash {
        CredentialHash(self.0.mac(&[b"api-key", public_id.as_bytes(), secret.expose()]))
    }

    pub fn verifies(&self, public_id: &str, secret: &ApiKeySecret, hash: CredentialHash) -> bool {
        self.0.verifies(&[b"api-key", public_id.as_bytes(), secret.expose()], hash.0)
    }

    pub fn hash_refresh_token(&self, token: &RefreshToken) -> CredentialHash {
        CredentialHash(self.0.mac(&[b"refresh-token", token.expose()]))
    }

    /// What the token may be stored as, one hash for each epoch.
    pub fn refresh_token_hashes(&self, token: &RefreshToken) -> Vec<CredentialHash> {
        self.0.macs(&[b"refresh-token", token.expose()]).into_iter().map(CredentialHash).collect()
    }
}

impl fmt::Display for CredentialHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CredentialHash {
    type Err = EpochMacMalformed;

    fn from_str(text: &str) -> Result<Self, EpochMacMalformed> {
        text.parse().map(Self)
    }
}
