//! P-256 keys of quorum members: given as SPKI in PEM, sent to Privy as base64 of the DER.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::{
    PublicKey,
    pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding},
};

/// A well-formed public key on the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberKey {
    pem: String,
    der_base64: String,
}

#[derive(Debug, thiserror::Error)]
#[error("not a P-256 public key as SPKI in PEM")]
pub struct MemberKeyMalformed;

impl MemberKey {
    pub fn from_pem(text: &str) -> Result<Self, MemberKeyMalformed> {
        let key = PublicKey::from_public_key_pem(text.trim()).map_err(|_| MemberKeyMalformed)?;
        Self::of(&key)
    }

    /// From a SEC1 point, as key records hold it.
    pub fn from_sec1(point: &[u8]) -> Result<Self, MemberKeyMalformed> {
        Self::of(&PublicKey::from_sec1_bytes(point).map_err(|_| MemberKeyMalformed)?)
    }

    fn of(key: &PublicKey) -> Result<Self, MemberKeyMalformed> {
        let der = key.to_public_key_der().map_err(|_| MemberKeyMalformed)?;
        let pem = key.to_public_key_pem(LineEnding::LF).map_err(|_| MemberKeyMalformed)?;
        Ok(Self { pem, der_base64: STANDARD.encode(der.as_bytes()) })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What Privy reads: base64 of the `SubjectPublicKeyInfo`.
    pub fn der_base64(&self) -> &str {
        &self.der_base64
    }
}

#[cfg(test)]
mod tests;
