//! The name of a transaction on chain and in the API.

use alloy_primitives::{Address, B256, U256, keccak256};

/// keccak256 of `abi.encode(escrowAddress, to, value, keccak256(data), chainId, nonce)`, contract/core.md
/// section 4. A contract creation has the zero address for `to`.
pub fn request_hash(from: Address, to: Option<Address>, value: U256, data: &[u8], chain_id: u64, nonce: u64) -> B256 {
    let words = [
        from.into_word(),
        to.unwrap_or(Address::ZERO).into_word(),
        B256::from(value),
        keccak256(data),
        B256::from(U256::from(chain_id)),
        B256::from(U256::from(nonce)),
    ];
    keccak256(words.map(|word| word.0).concat())
}
