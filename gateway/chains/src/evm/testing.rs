//! The key of the EIP-155 example, for tests.

use alloy_primitives::{Address, B256, U256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};

use super::address;
use super::signature::Signature;

fn secret() -> SecretKey {
    SecretKey::from_secret_bytes([0x46; 32]).unwrap()
}

pub(crate) fn signer() -> Address {
    address::of_key(&PublicKey::from_secret_key(&secret()))
}

pub(crate) fn sign(digest: B256) -> Signature {
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &secret());
    let (id, compact) = signature.serialize_compact();
    Signature::new(
        U256::from_be_slice(&compact[..32]),
        U256::from_be_slice(&compact[32..]),
        id == RecoveryId::One,
    )
    .unwrap()
}
