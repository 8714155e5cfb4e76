//! P-256 keys of operators.

use std::fmt;

use p256::{
    PublicKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    elliptic_curve::sec1::ToEncodedPoint as _,
    pkcs8::DecodePublicKey as _,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A point on the curve: SEC1, uncompressed; in text as hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct OperatorKey([u8; 65]);

#[derive(Debug, thiserror::Error)]
#[error("must be a P-256 public key as SPKI in PEM")]
pub struct OperatorKeyMalformed;

impl OperatorKey {
    pub fn from_pem(text: &str) -> Result<Self, OperatorKeyMalformed> {
        Self::of(&PublicKey::from_public_key_pem(text.trim()).map_err(|_| OperatorKeyMalformed)?)
    }

    fn of(key: &PublicKey) -> Result<Self, OperatorKeyMalformed> {
        let point = key.to_encoded_point(false);
        point.as_bytes().try_into().map(Self).map_err(|_| OperatorKeyMalformed)
    }

    /// The affine coordinates, big-endian.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        self.0[1..].split_at(32)
    }

    /// Whether `signature` (r || s) over `message` is the key's: ES256 of RFC 7518.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = VerifyingKey::from_sec1_bytes(&self.0);
        let signature = Signature::from_slice(signature);
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
    }

    /// SHA-256 of the point, for people to compare.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<OperatorKey> for String {
    fn from(key: OperatorKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for OperatorKey {
    type Error = OperatorKeyMalformed;

    fn try_from(text: String) -> Result<Self, OperatorKeyMalformed> {
        let bytes = hex::decode(text).map_err(|_| OperatorKeyMalformed)?;
        Self::of(&PublicKey::from_sec1_bytes(&bytes).map_err(|_| OperatorKeyMalformed)?)
    }
}
