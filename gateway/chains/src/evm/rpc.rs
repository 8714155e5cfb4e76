//! What the gateway asks an Ethereum node. A node is not trusted: its answers decide when to
//! broadcast and when to call a transaction executed, never what is signed.

mod broadcast;
mod http;
#[cfg(test)]
mod lying_node;
mod rejection;
mod wire;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use gateway_domain::chain::StateRead;

pub use broadcast::broadcast;
pub use http::{HttpEvmRpc, RpcLimits, RpcSetupError};
pub use rejection::{NodeRejection, UpstreamText};

use super::fees::FeeQuote;

/// A failed call. `Display` names only the method and the closed reason; what the node said is in
/// the source, for logs.
#[derive(Debug, thiserror::Error)]
#[error("node call `{method}` failed: {reason}")]
pub struct NodeError {
    pub method: &'static str,
    pub reason: NodeRejection,
    #[source]
    source: Option<UpstreamText>,
}

impl NodeError {
    /// `text` is what the node or the transport said; it is kept as the source only.
    pub fn new(method: &'static str, reason: NodeRejection, text: &str) -> Self {
        Self { method, reason, source: Some(UpstreamText::new(text)) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTag {
    Latest,
    Finalized,
    Number(u64),
}

/// Which transactions a count includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountTag {
    Latest,
    Pending,
    /// As of the end of that block.
    Block(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// In wei; absent on chains without EIP-1559.
    pub base_fee_per_gas: Option<u128>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub transaction_hash: B256,
    pub block_hash: B256,
    pub block_number: u64,
    pub success: bool,
    pub gas_used: u64,
    /// In wei.
    pub effective_gas_price: Option<u128>,
}

/// A transaction as the node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTransaction {
    pub hash: B256,
    pub from: Address,
    pub nonce: u64,
    /// Absent while it waits in the pool.
    pub block_number: Option<u64>,
}

/// A call that is not sent: its gas is estimated, or its answer asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    pub from: Address,
    pub to: Address,
    /// In wei.
    pub value: U256,
    pub data: Bytes,
}

/// One node of one chain.
#[async_trait]
pub trait EvmRpc: Send + Sync {
    async fn chain_id(&self) -> Result<u64, NodeError>;

    /// `None` when the node does not have that block.
    async fn block(&self, tag: BlockTag) -> Result<Option<Block>, NodeError>;

    /// What a transaction costs now, from the newest base fee and the node's tip.
    async fn fee_quote(&self) -> Result<FeeQuote, NodeError>;

    /// Number of transactions of `address`, which is its next nonce.
    async fn transaction_count(&self, address: Address, tag: CountTag) -> Result<u64, NodeError>;

    /// Newest balance in wei.
    async fn balance(&self, address: Address) -> Result<U256, NodeError>;

    /// What lies at the block of that hash, which the node must hold to be canonical (EIP-1898): `0x` and hexadecimal
    /// digits.
    async fn read_state(&self, what: &StateRead, block: B256) -> Result<String, NodeError>;

    async fn estimate_gas(&self, call: &CallRequest) -> Result<u64, NodeError>;

    /// What the call answers, within `gas`, as of the canonical block of that hash (EIP-1898).
    async fn call_contract(&self, call: &CallRequest, gas: u64, block: B256) -> Result<Bytes, NodeError>;

    /// Broadcasts and returns the hash, which is computed here and compared with the answer.
    async fn send_raw_transaction(&self, raw: &[u8]) -> Result<B256, NodeError>;

    async fn transaction_receipt(&self, hash: B256) -> Result<Option<Receipt>, NodeError>;

    async fn transaction_by_hash(&self, hash: B256) -> Result<Option<KnownTransaction>, NodeError>;
}
