//! Signatures. Each is verified with the cached public key before it leaves the thread that made it.

use std::time::Instant;

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::ObjectHandle,
};
use sha2::{Digest, Sha256};

use crate::{
    Hsm,
    error::HsmError,
    key::{KeyAlgorithm, KeyReference},
    key_map::ResolvedPair,
    lanes::Lane,
    status::count,
    verifier::RsaPadding,
    worker::TokenSession,
};

/// DER prefix of a PKCS #1 v1.5 `DigestInfo` for SHA-256 (RFC 8017, section 9.2).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// An ECDSA signature over a digest, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSignature {
    /// `r || s`, big-endian, 32 bytes each. Low S for secp256k1; as the token made it for P-256.
    pub bytes: [u8; 64],
    /// Recovery id (0 or 1 but for one nonce in 2^127) for secp256k1; none for P-256.
    pub recovery_id: Option<u8>,
}

/// How a whole message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// Pure Ed25519 (RFC 8032), 64 bytes.
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt (RFC 8017, section 8.1).
    RsaPssSha256,
}

impl Hsm {
    /// ECDSA over a 32-byte digest, with secp256k1 or P-256. After `not_after` nothing is sent to the token, and what
    /// it answers is dropped.
    pub async fn sign_digest(
        &self,
        key: &KeyReference,
        digest: &[u8; 32],
        lane: Lane,
        not_after: Instant,
    ) -> Result<DigestSignature, HsmError> {
        if !matches!(key.public_key.algorithm(), KeyAlgorithm::Secp256k1 | KeyAlgorithm::P256) {
            return Err(HsmError::AlgorithmMismatch { operation: "sign_digest" });
        }
        let (key, digest) = (key.clone(), *digest);
        let sign = move |token: &TokenSession<'_>| {
            let pair = token.shared.keys.usable_pair(token, &key)?;
            ecdsa(token, &pair, &digest, Some(not_after))
        };
        self.run("sign_digest", lane, self.timeouts().sign, sign).await
    }

    /// Signs a whole message with Ed25519 or RSA, under the same rule for `not_after`.
    pub async fn sign_message(
        &self,
        key: &KeyReference,
        scheme: SignatureScheme,
        message: &[u8],
        lane: Lane,
        not_after: Instant,
    ) -> Result<Vec<u8>, HsmError> {
        let algorithm = key.public_key.algorithm();
        let fits = match scheme {
            SignatureScheme::Ed25519 => algorithm == KeyAlgorithm::Ed25519,
            SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPssSha256 => algorithm.is_rsa(),
        };
        if !fits {
            return Err(HsmError::AlgorithmMismatch { operation: "sign_message" });
        }
        self.check_length(message)?;
        let (key, message) = (key.clone(), message.to_vec());
        let sign = move |token: &TokenSession<'_>| {
            let pair = token.shared.keys.usable_pair(token, &key)?;
            whole_message(token, &pair, scheme, &message, Some(not_after))
        };
        self.run("sign_message", lane, self.timeouts().sign, sign).await
    }
}

/// ECDSA over a digest, verified.
pub(crate) fn ecdsa(
    token: &TokenSession<'_>,
    pair: &ResolvedPair,
    digest: &[u8; 32],
    not_after: Option<Instant>,
) -> Result<DigestSignature, HsmError> {
    let raw = raw(token, &Mechanism::Ecdsa, pair.private, digest, not_after)?;
    if pair.public_key.algorithm() == KeyAlgorithm::Secp256k1 {
        let recovered = pair.verifier.recover(digest, &raw)?;
        return Ok(DigestSignature { bytes: recovered.compact, recovery_id: Some(recovered.recovery_id) });
    }
    pair.verifier.verify_p256(digest, &raw)?;
    let bytes = raw.try_into().map_err(|_| HsmError::VerificationFailed)?;
    Ok(DigestSignature { bytes, recovery_id: None })
}

/// Ed25519 or RSA over a message, verified.
pub(crate) fn whole_message(
    token: &TokenSession<'_>,
    pair: &ResolvedPair,
    scheme: SignatureScheme,
    message: &[u8],
    not_after: Option<Instant>,
) -> Result<Vec<u8>, HsmError> {
    match scheme {
        SignatureScheme::Ed25519 => {
            let signature = raw(token, &pure_eddsa(), pair.private, message, not_after)?;
            pair.verifier.verify_ed25519(message, &signature)?;
            Ok(signature)
        }
        SignatureScheme::RsaPkcs1Sha256 => {
            let digest: [u8; 32] = Sha256::digest(message).into();
            let info = [&SHA256_DIGEST_INFO[..], &digest].concat();
            let signature = raw(token, &Mechanism::RsaPkcs, pair.private, &info, not_after)?;
            pair.verifier.verify_rsa(RsaPadding::Pkcs1, &digest, &signature)?;
            Ok(signature)
        }
        SignatureScheme::RsaPssSha256 => {
            let digest: [u8; 32] = Sha256::digest(message).into();
            let parameters = PkcsPssParams {
                hash_alg: MechanismType::SHA256,
                mgf: PkcsMgfType::MGF1_SHA256,
                s_len: 32.into(),
            };
            let signature = raw(token, &Mechanism::RsaPkcsPss(parameters), pair.private, &digest, not_after)?;
            pair.verifier.verify_rsa(RsaPadding::Pss, &digest, &signature)?;
            Ok(signature)
        }
    }
}

/// Parameters are left out: modules were seen to accept a context and ignore it.
pub(crate) fn pure_eddsa() -> Mechanism<'static> {
    Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure))
}

/// The only place that signs with a private key; the expiry is looked at with nothing between it and `C_SignInit`.
fn raw(
    token: &TokenSession<'_>,
    mechanism: &Mechanism<'_>,
    key: ObjectHandle,
    data: &[u8],
    not_after: Option<Instant>,
) -> Result<Vec<u8>, HsmError> {
    let is_late = || not_after.is_some_and(|not_after| Instant::now() >= not_after);
    if is_late() {
        return Err(HsmError::Expired);
    }
    count(&token.shared.status.counters.sign_calls);
    let signature = token.session.sign(mechanism, key, data)?;
    // The module may have held the call up for longer than the permit lives.
    if is_late() {
        count(&token.shared.status.counters.late_results);
        return Err(HsmError::Expired);
    }
    Ok(signature)
}
