//! Parsed public keys: each signature is checked with one before it leaves this crate.

use aws_lc_rs::{
    digest::{Digest, SHA256},
    signature::{
        ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    },
};
use rsa::{pkcs1::DecodeRsaPublicKey, traits::PublicKeyParts};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature as Secp256k1Signature};

use crate::{error::HsmError, key::KeyAlgorithm};

/// Byte length of an uncompressed SEC 1 point on a 256-bit curve.
const POINT_BYTES: usize = 65;

pub(crate) enum Verifier {
    Secp256k1(secp256k1::PublicKey),
    P256(ParsedPublicKey),
    Ed25519(ed25519_dalek::VerifyingKey),
    Rsa { pkcs1: ParsedPublicKey, pss: ParsedPublicKey },
}

/// A secp256k1 signature in its one canonical form.
#[derive(Clone, Copy)]
pub(crate) struct Recovered {
    pub(crate) compact: [u8; 64],
    pub(crate) recovery_id: u8,
}

impl Verifier {
    pub(crate) fn parse(algorithm: KeyAlgorithm, bytes: &[u8]) -> Result<Self, HsmError> {
        const MALFORMED: HsmError =
            HsmError::InvalidInput("the public key is not well formed for its algorithm");
        match algorithm {
            KeyAlgorithm::Secp256k1 => {
                let point: [u8; POINT_BYTES] = bytes.try_into().map_err(|_| MALFORMED)?;
                secp256k1::PublicKey::from_slice(&point).map(Self::Secp256k1).map_err(|_| MALFORMED)
            }
            KeyAlgorithm::P256 => {
                if bytes.len() != POINT_BYTES {
                    return Err(MALFORMED);
                }
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).map(Self::P256).map_err(|_| MALFORMED)
            }
            KeyAlgorithm::Ed25519 => {
                let point: [u8; 32] = bytes.try_into().map_err(|_| MALFORMED)?;
                ed25519_dalek::VerifyingKey::from_bytes(&point).map(Self::Ed25519).map_err(|_| MALFORMED)
            }
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => {
                let bits = if algorithm == KeyAlgorithm::Rsa2048 { 2048 } else { 4096 };
                let key = rsa::RsaPublicKey::from_pkcs1_der(bytes).map_err(|_| MALFORMED)?;
                if key.n().bits() != bits {
                    return Err(MALFORMED);
                }
                let pkcs1 =
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes).map_err(|_| MALFORMED)?;
                let pss = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, bytes).map_err(|_| MALFORMED)?;
                Ok(Self::Rsa { pkcs1, pss })
            }
        }
    }

    /// Brings a raw `r || s` to low S and finds the recovery id; the one recovery that yields our key is the check.
    pub(crate) fn recover(&self, digest: &[u8; 32], raw: &[u8]) -> Result<Recovered, HsmError> {
        let Self::Secp256k1(expected) = self else { return Err(HsmError::VerificationFailed) };
        let mut signature =
            Secp256k1Signature::from_compact(raw).map_err(|_| HsmError::VerificationFailed)?;
        signature.normalize_s();
        let compact = signature.serialize_compact();
        let message = secp256k1::Message::from_digest(*digest);
        // Ids 2 and 3 need an r above the group order, which honest nonces meet once in 2^127.
        for recovery_id in [RecoveryId::Zero, RecoveryId::One, RecoveryId::Two, RecoveryId::Three] {
            let recovered = RecoverableSignature::from_compact(&compact, recovery_id)
                .and_then(|candidate| candidate.recover(message));
            if recovered.is_ok_and(|key| key == *expected) {
                return Ok(Recovered { compact, recovery_id: recovery_id.to_u8() });
            }
        }
        Err(HsmError::VerificationFailed)
    }

    pub(crate) fn verify_p256(&self, digest: &[u8; 32], raw: &[u8]) -> Result<(), HsmError> {
        let Self::P256(key) = self else { return Err(HsmError::VerificationFailed) };
        key.verify_digest_sig(&imported(digest), raw).map_err(|_| HsmError::VerificationFailed)
    }

    pub(crate) fn verify_ed25519(&self, message: &[u8], raw: &[u8]) -> Result<(), HsmError> {
        let Self::Ed25519(key) = self else { return Err(HsmError::VerificationFailed) };
        let signature =
            ed25519_dalek::Signature::from_slice(raw).map_err(|_| HsmError::VerificationFailed)?;
        key.verify_strict(message, &signature).map_err(|_| HsmError::VerificationFailed)
    }

    pub(crate) fn verify_rsa(
        &self,
        padding: RsaPadding,
        digest: &[u8; 32],
        raw: &[u8],
    ) -> Result<(), HsmError> {
        let Self::Rsa { pkcs1, pss } = self else { return Err(HsmError::VerificationFailed) };
        let key = match padding {
            RsaPadding::Pkcs1 => pkcs1,
            RsaPadding::Pss => pss,
        };
        key.verify_digest_sig(&imported(digest), raw).map_err(|_| HsmError::VerificationFailed)
    }
}

#[derive(Clone, Copy)]
pub(crate) enum RsaPadding {
    Pkcs1,
    Pss,
}

fn imported(digest: &[u8; 32]) -> Digest {
    Digest::import_less_safe(digest, &SHA256).expect("SHA-256 digests are 32 bytes")
}

#[cfg(test)]
mod tests;
