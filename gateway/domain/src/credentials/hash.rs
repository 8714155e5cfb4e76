//! Keyed hashes of server-made secrets.

use serde::{Deserialize, Serialize};

use crate::{
    credentials::ApiKeySecret,
    mac::{EpochMac, MacKeys},
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
}
