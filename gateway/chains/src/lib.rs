//! Per-chain code: addresses, amounts, encoding and strict decoding of what is signed, and small RPC
//! clients behind traits. Everything but
//! [`evm::rpc::HttpEvmRpc`] is pure; nothing here holds or uses a key.
#![forbid(unsafe_code)]

pub mod evm;
pub mod registry;
