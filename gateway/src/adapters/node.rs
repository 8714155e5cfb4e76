//! A chain without a configured node: can be signed for, not asked.

use async_trait::async_trait;
use gateway_domain::{
    Address, B256,
    chain::{AccountState, ChainNode, ContractQuestion, Inclusion, NodeError, Pricing},
    transactions::Intent,
};

pub(crate) struct UnconfiguredNode;

#[derive(Debug, thiserror::Error)]
#[error("`chains.rpc_urls` names no node for this chain")]
struct NotConfigured;

fn absent<T>() -> Result<T, NodeError> {
    Err(NodeError::Unavailable(Box::new(NotConfigured)))
}

#[async_trait]
impl ChainNode for UnconfiguredNode {
    async fn account(&self, _address: Address) -> Result<AccountState, NodeError> {
        absent()
    }

    async fn price(&self, _intent: &Intent, _replaces: Option<&Pricing>) -> Result<Pricing, NodeError> {
        absent()
    }

    async fn broadcast(&self, _raw: &[u8]) -> Result<(), NodeError> {
        absent()
    }

    async fn displaced(
        &self,
        _account: (Address, u64),
        _ours: &[B256],
        _depth: u64,
    ) -> Result<bool, NodeError> {
        absent()
    }

    async fn inclusion(&self, _hash: B256) -> Result<Inclusion, NodeError> {
        absent()
    }

    async fn takes_signature(&self, _question: &ContractQuestion<'_>) -> Result<bool, NodeError> {
        absent()
    }
}
