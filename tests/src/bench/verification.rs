//! The check that a careful caller of `C_Sign` makes, with the libraries that the HSM layer uses: recovery of
//! the public key for secp256k1, because Ethereum needs the recovery id; verification for P-256.

use anyhow::{Result, ensure};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use hsm::{KeyAlgorithm, PublicKey};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};

pub(crate) enum Verification {
    Secp256k1(secp256k1::PublicKey),
    P256(ParsedPublicKey),
}

impl Verification {
    pub(crate) fn by(key: &PublicKey) -> Result<Verification> {
        if key.algorithm() == KeyAlgorithm::P256 {
            return Ok(Verification::P256(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_bytes())?));
        }
        Ok(Verification::Secp256k1(secp256k1::PublicKey::from_slice(key.as_bytes())?))
    }

    pub(crate) fn check(&self, digest: &[u8; 32], raw: &[u8]) -> Result<()> {
        match self {
            Verification::P256(key) => {
                Ok(key.verify_digest_sig(&Digest::import_less_safe(digest, &SHA256)?, raw)?)
            }
            Verification::Secp256k1(key) => {
                let mut signature = Signature::from_compact(raw)?;
                signature.normalize_s();
                let compact = signature.serialize_compact();
                let is_ours = [RecoveryId::Zero, RecoveryId::One].into_iter().any(|id| {
                    let recovered = RecoverableSignature::from_compact(&compact, id)
                        .and_then(|candidate| candidate.recover(Message::from_digest(*digest)));
                    recovered.is_ok_and(|recovered| recovered == *key)
                });
                ensure!(is_ours, "a signature by another key");
                Ok(())
            }
        }
    }
}
