//! Ethereum signatures in one canonical form: `r` and `s` non-zero, `s` in the lower half
//! (EIP-2), parity as one bit. Two texts of one signature parse to equal values, so nothing that
//! is keyed by a signature can be dodged by flipping `s`, `v` or letter case.

use alloy_primitives::{Address, B256, U256, b256, eip191_hash_message};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use super::address;

/// Half of the secp256k1 group order, rounded down.
const HALF_ORDER: U256 =
    U256::from_be_bytes(b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0").0);
const ORDER: U256 =
    U256::from_be_bytes(b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("signature must be `0x` and 130 hexadecimal digits")]
    Shape,
    #[error("signature has `v` other than 27, 28, 0 or 1")]
    RecoveryId,
    #[error("signature has `r` or `s` outside the group order")]
    Range,
    #[error("signature has `s` in the upper half of the group order")]
    HighS,
    #[error("signature recovers to no public key")]
    NoSigner,
    #[error("signature was not made by the expected key")]
    OtherSigner,
}

/// A low-s secp256k1 signature with its parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature {
    r: U256,
    s: U256,
    y_parity: bool,
}

/// A signature with the proof, made by recovery, of who signed which digest. It exists so that no
/// signature leaves unverified and none is verified twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenSignature {
    signature: Signature,
    digest: B256,
    signer: Address,
}

impl ProvenSignature {
    pub fn signature(&self) -> Signature {
        self.signature
    }

    pub fn digest(&self) -> B256 {
        self.digest
    }

    pub fn signer(&self) -> Address {
        self.signer
    }
}

impl Signature {
    pub fn new(r: U256, s: U256, y_parity: bool) -> Result<Self, SignatureError> {
        if r.is_zero() || s.is_zero() || r >= ORDER || s >= ORDER {
            return Err(SignatureError::Range);
        }
        if s > HALF_ORDER {
            return Err(SignatureError::HighS);
        }
        Ok(Self { r, s, y_parity })
    }

    /// Reads 65 bytes `r || s || v` as `0x` hexadecimal text; high `s` is refused, not mended.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let digits = text.strip_prefix("0x").ok_or(SignatureError::Shape)?;
        let mut bytes = [0_u8; 65];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureError::Shape)?;
        Self::from_bytes(&bytes)
    }

    /// Reads `r || s || v` with `v` 0, 1, 27 or 28; high `s` is refused.
    pub fn from_bytes(bytes: &[u8; 65]) -> Result<Self, SignatureError> {
        let y_parity = match bytes[64] {
            0 | 27 => false,
            1 | 28 => true,
            _ => return Err(SignatureError::RecoveryId),
        };
        Self::new(U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..64]), y_parity)
    }

    /// Completes a bare `r || s`, as PKCS#11 tokens return it: `s` is brought to the lower half and
    /// the parity found by recovery, which at the same time proves that `signer` made it.
    pub fn from_token(
        rs: &[u8; 64],
        digest: B256,
        signer: Address,
    ) -> Result<ProvenSignature, SignatureError> {
        let s = U256::from_be_slice(&rs[32..]);
        let low = if s > HALF_ORDER && s < ORDER { ORDER - s } else { s };
        let even = Self::new(U256::from_be_slice(&rs[..32]), low, false)?;
        let odd = Self { y_parity: true, ..even };
        [even, odd]
            .into_iter()
            .find(|candidate| candidate.recover(digest) == Ok(signer))
            .map(|signature| ProvenSignature { signature, digest, signer })
            .ok_or(SignatureError::OtherSigner)
    }

    /// The address whose key signed `digest`.
    pub fn recover(&self, digest: B256) -> Result<Address, SignatureError> {
        let mut compact = [0_u8; 64];
        compact[..32].copy_from_slice(&self.r.to_be_bytes::<32>());
        compact[32..].copy_from_slice(&self.s.to_be_bytes::<32>());
        let id = if self.y_parity { RecoveryId::One } else { RecoveryId::Zero };
        let key = RecoverableSignature::from_compact(&compact, id)
            .and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest.0)))
            .map_err(|_| SignatureError::NoSigner)?;
        Ok(address::of_key(&key))
    }

    /// Finds who signed `digest`; whether that is anybody of interest is the caller's question.
    pub fn prove(self, digest: B256) -> Result<ProvenSignature, SignatureError> {
        let signer = self.recover(digest)?;
        Ok(ProvenSignature { signature: self, digest, signer })
    }

    /// Proves that `signer` signed `digest`.
    pub fn verify(self, digest: B256, signer: Address) -> Result<ProvenSignature, SignatureError> {
        let proven = self.prove(digest)?;
        if proven.signer == signer { Ok(proven) } else { Err(SignatureError::OtherSigner) }
    }

    /// `r || s || v` with `v` 27 or 28: the one form that is stored and compared.
    pub fn to_bytes(self) -> [u8; 65] {
        let mut bytes = [0_u8; 65];
        bytes[..32].copy_from_slice(&self.r.to_be_bytes::<32>());
        bytes[32..64].copy_from_slice(&self.s.to_be_bytes::<32>());
        bytes[64] = 27 + u8::from(self.y_parity);
        bytes
    }

    /// [`Self::to_bytes`] as lower-case `0x` hexadecimal text.
    pub fn to_hex(self) -> String {
        format!("0x{}", hex::encode(self.to_bytes()))
    }

    pub fn r(&self) -> U256 {
        self.r
    }

    pub fn s(&self) -> U256 {
        self.s
    }

    pub fn y_parity(&self) -> bool {
        self.y_parity
    }
}

/// ERC-191 version `E` (`personal_sign`): keccak256 of the prefix, the decimal length and `message`.
pub fn personal_message_hash(message: &[u8]) -> B256 {
    eip191_hash_message(message)
}

/// The signer of a `personal_sign` over `message`.
pub fn recover_personal(message: &[u8], signature: &Signature) -> Result<Address, SignatureError> {
    signature.recover(personal_message_hash(message))
}

#[cfg(test)]
mod tests;
