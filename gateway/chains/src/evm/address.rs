//! Ethereum addresses: accepted in any letter case, shown with the EIP-55 checksum.

use alloy_primitives::{Address, keccak256};
use secp256k1::PublicKey;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("address must be `0x` and 40 hexadecimal digits")]
    Shape,
    #[error("public key must be a secp256k1 point in SEC1 form of 33 or 65 bytes")]
    PublicKey,
}

/// Reads `^0x[0-9a-fA-F]{40}$`. Letter case carries no meaning: see [`has_valid_checksum`].
pub fn parse(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Shape)?;
    let mut bytes = [0_u8; 20];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| AddressError::Shape)?;
    Ok(Address::from(bytes))
}

/// EIP-55 text of an address.
pub fn to_checksum(address: &Address) -> String {
    address.to_checksum(None)
}

/// Whether `text` is an address written with its EIP-55 checksum or wholly in lower case, which is
/// what ERC-4361 messages must use.
pub fn has_valid_checksum(text: &str) -> bool {
    parse(text).is_ok_and(|address| {
        text == to_checksum(&address) || !text.bytes().any(|byte| byte.is_ascii_uppercase())
    })
}

/// The address of a SEC1 public key: the last 20 bytes of keccak256 over its 64 coordinate bytes.
pub fn from_public_key(sec1: &[u8]) -> Result<Address, AddressError> {
    // The hybrid form (0x06, 0x07) is valid SEC1 for libsecp256k1, yet no token emits it.
    let known_form = matches!((sec1.len(), sec1.first()), (33, Some(2 | 3)) | (65, Some(4)));
    if !known_form {
        return Err(AddressError::PublicKey);
    }
    let key = PublicKey::from_slice(sec1).map_err(|_| AddressError::PublicKey)?;
    Ok(of_key(&key))
}

pub(crate) fn of_key(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

#[cfg(test)]
mod tests;
