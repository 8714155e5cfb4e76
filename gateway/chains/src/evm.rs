//! Ethereum and its kin (CAIP-2 namespace `eip155`).

pub mod address;
pub mod amount;
pub mod calldata;
pub mod codec;
pub mod eip712;
pub mod erc1271;
pub mod fees;
pub mod message;
pub mod node;
pub mod receipt;
pub mod rpc;
pub mod signature;
pub mod siwe;
pub mod transaction;

#[cfg(test)]
mod testing;

pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
