//! Keys as callers name them: identifier, label and public half.

use std::{fmt, sync::Arc};

use crate::{error::HsmError, label::KeyLabel, verifier::Verifier};

/// `CKA_ID` of a key's objects: 16 random bytes that the caller decides and stores before it asks for generation.
pub type CkaId = [u8; 16];

/// Asymmetric algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA over SEC 2 secp256k1.
    Secp256k1,
    /// ECDSA over NIST P-256 (FIPS 186-5).
    P256,
    /// Pure Ed25519 (RFC 8032).
    Ed25519,
    /// RSA with a 2048-bit modulus and exponent 65537.
    Rsa2048,
    /// RSA with a 4096-bit modulus and exponent 65537.
    Rsa4096,
}

impl KeyAlgorithm {
    /// Lower-case name for stores and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "p256",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa4096 => "rsa4096",
        }
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa4096)
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Symmetric algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretAlgorithm {
    /// AES with a 256-bit key, used with GCM only.
    Aes256,
    /// A 32-byte generic secret for HMAC-SHA256 (RFC 2104).
    HmacSha256,
}

/// The public half of a key pair; always well formed for its algorithm.
///
/// Bytes are the SEC 1 uncompressed point (65 bytes) for the curves of ECDSA, the 32-byte point for Ed25519, and the
/// DER `RSAPublicKey` of RFC 8017 for RSA.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    bytes: Arc<[u8]>,
}

impl PublicKey {
    /// Takes bytes as described on the type; refuses points off the curve and moduli of another size.
    pub fn new(algorithm: KeyAlgorithm, bytes: &[u8]) -> Result<Self, HsmError> {
        Verifier::parse(algorithm, bytes)?;
        Ok(Self { algorithm, bytes: bytes.into() })
    }

    /// The algorithm of the pair.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The encoding described on the type.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({} {})", self.algorithm, hex::encode(&self.bytes))
    }
}

/// Names one key pair; every use compares all of it with the HSM's own objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReference {
    /// `CKA_ID` of both objects.
    pub cka_id: CkaId,
    /// What `CKA_LABEL` of both objects must say.
    pub label: KeyLabel,
    /// What the public object must hold.
    pub public_key: PublicKey,
}

/// Names one secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyReference {
    /// `CKA_ID` of the object.
    pub cka_id: CkaId,
    /// What `CKA_LABEL` of the object must say.
    pub label: KeyLabel,
    /// What kind of secret it must be.
    pub algorithm: SecretAlgorithm,
}

/// What a key pair may do; enforced by the token through `CKA_SIGN` and `CKA_DECRYPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// Sign only.
    Sign,
    /// Decrypt only; RSA only.
    Decrypt,
}

/// A key pair to be made.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Decided and stored by the caller before the call; repeating the call with it adopts the pair already made.
    pub cka_id: CkaId,
    /// Written into both objects, not modifiable afterwards where the module honours that.
    pub label: KeyLabel,
    /// The pair's algorithm.
    pub algorithm: KeyAlgorithm,
    /// What the private half may do.
    pub usage: KeyUsage,
    /// Sets `CKA_DESTROYABLE` to false: nobody can destroy the key short of re-initializing the token.
    pub permanent: bool,
}

/// A secret key to be made.
#[derive(Clone, Debug)]
pub struct SecretKeySpec {
    /// As in [`KeySpec::cka_id`].
    pub cka_id: CkaId,
    /// As in [`KeySpec::label`].
    pub label: KeyLabel,
    /// The kind of secret.
    pub algorithm: SecretAlgorithm,
    /// As in [`KeySpec::permanent`].
    pub permanent: bool,
}

/// A key found on the token by its `CKA_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundKey {
    /// A pair and whether it is retired.
    Pair {
        /// The pair as the token describes it.
        reference: KeyReference,
        /// Whether its retirement marker exists.
        retired: bool,
    },
    /// A secret and whether it is retired.
    Secret {
        /// The secret as the token describes it.
        reference: SecretKeyReference,
        /// Whether its retirement marker exists.
        retired: bool,
    },
}
