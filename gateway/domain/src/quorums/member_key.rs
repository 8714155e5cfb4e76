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
mod tests {
    use super::*;

    /// A key made by openssl, and its DER in base64 by openssl.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ\nD7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g==\n-----END PUBLIC KEY-----\n";

    #[test]
    fn pem_becomes_the_der_that_openssl_writes() {
        let key = MemberKey::from_pem(PEM).unwrap();
        assert_eq!(
            key.der_base64(),
            concat!(
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ",
                "D7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g=="
            )
        );
        assert_eq!(key.pem(), PEM);
        assert_eq!(MemberKey::from_pem(&format!("\n {PEM}")).unwrap(), key);
    }

    #[test]
    fn other_keys_and_texts_are_refused() {
        let other_curve = "-----BEGIN PUBLIC KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE+tJ9fIhv7TS+TruoKe0Q+eMcBOrYI9qp\n1fIfwNnLR07/xtzZ9dz8rQFuQJ/po2gBuvnpY93dXWrEmP/pMpvU5Q==\n-----END PUBLIC KEY-----\n";
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            other_curve,
            &PEM.replace("MFk", "MFl"),
            &PEM.replace("PUBLIC", "PRIVATE"),
        ] {
            assert!(MemberKey::from_pem(text).is_err(), "{text}");
        }
    }
}
