//! The `requestHash` of a transaction that the gateway or its client computes.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// The facts that a request hash covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    pub escrow: Address,
    pub to: Address,
    /// In wei.
    pub value: U256,
    pub data: &'a [u8],
    pub chain_id: u64,
    /// The client's `requestNonce`; unrelated to the account's nonce on chain.
    pub request_nonce: U256,
}

/// `keccak256(abi.encode(escrow, to, value, keccak256(data), chainId, nonce))`.
pub fn request_hash(facts: &RequestFacts<'_>) -> B256 {
    let encoded = (
        facts.escrow,
        facts.to,
        facts.value,
        keccak256(facts.data),
        U256::from(facts.chain_id),
        facts.request_nonce,
    )
        .abi_encode_params();
    keccak256(encoded)
}

#[cfg(test)]
mod tests;
