//! The domain's view of an Ethereum chain: few questions, every answer a claim, and as many nodes as the operator
//! demands behind each claim that ends or counts.

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use gateway_domain::{
    chain::{AccountState, ChainNode, ContractQuestion, Inclusion, NodeError, Pricing},
    transactions::Intent,
};

use self::{agreement::Claims, single::Single};
use super::rpc::EvmRpc;
use crate::registry::ChainConfig;

mod agreement;
mod contract;
mod single;
mod state;

/// A chain's nodes with the chain's own bounds.
pub struct EvmNode {
    nodes: Vec<Single>,
    /// How many nodes must say the same, at least one.
    agreement: usize,
    config: ChainConfig,
}

impl EvmNode {
    /// `nodes` in order of preference.
    pub fn new(nodes: impl IntoIterator<Item = Box<dyn EvmRpc>>, config: ChainConfig) -> Self {
        let nodes: Vec<Single> = nodes.into_iter().map(|rpc| Single::new(rpc, config.id)).collect();
        Self { agreement: config.agreement, nodes, config }
    }
}

#[async_trait]
impl ChainNode for EvmNode {
    /// Of several accounts of the matter, the nonce that enough nodes have reached and the balance that enough nodes
    /// do not exceed: one node alone makes nobody poor.
    async fn account(&self, address: Address) -> Result<AccountState, NodeError> {
        let questions = self.nodes.iter().map(|node| node.account(address)).collect();
        let claims = Claims::gather(questions, self.agreement, |said| said.len() >= self.agreement).await;
        let said = claims.require(self.agreement, self.agreement)?;
        let mut nonces: Vec<u64> = said.iter().map(|state| state.nonce).collect();
        let mut balances: Vec<_> = said.iter().map(|state| state.balance).collect();
        nonces.sort_unstable_by(|one, other| other.cmp(one));
        balances.sort_unstable();
        let index = self.agreement - 1;
        Ok(AccountState { nonce: nonces[index], balance: balances[index] })
    }

    /// The first price that a node can name. Only when enough nodes cannot name one within the bounds is it refused.
    async fn price(&self, intent: &Intent, replaces: Option<&Pricing>) -> Result<Pricing, NodeError> {
        let questions = self.nodes.iter().map(|node| node.price(&self.config, intent, replaces)).collect();
        let claims = Claims::gather(questions, self.agreement, |said| !said.is_empty()).await;
        let said = claims.require(1, self.agreement)?;
        Ok(said[0])
    }

    /// One node is asked, and the next only where that one is away: a refusal is never shopped around. Where several
    /// must agree, none of them can be relied on to pass it on, and each is told.
    async fn broadcast(&self, raw: &[u8]) -> Result<(), NodeError> {
        let questions = self.nodes.iter().map(|node| node.broadcast(raw)).collect();
        let at_once = if self.agreement == 1 { 1 } else { self.nodes.len() };
        let enough = |said: &[()]| said.len() >= self.agreement;
        Claims::gather(questions, at_once, enough).await.require(1, 1).map(drop)
    }

    async fn displaced(
        &self,
        (address, nonce): (Address, u64),
        ours: &[B256],
        depth: u64,
    ) -> Result<bool, NodeError> {
        let questions = self.nodes.iter().map(|node| node.displaced((address, nonce), ours, depth)).collect();
        let agreeing = |said: &[bool]| said.iter().filter(|displaced| **displaced).count();
        let proven = |said: &[bool]| agreeing(said) >= self.agreement;
        let claims = Claims::gather(questions, self.agreement, proven).await;
        claims.require(self.agreement, self.agreement).map(|said| proven(&said))
    }

    async fn inclusion(&self, hash: B256) -> Result<Inclusion, NodeError> {
        let questions = self.nodes.iter().map(|node| node.inclusion(hash)).collect();
        let settled = |said: &[Inclusion]| agreement::inclusion(said, self.agreement).is_some();
        let claims = Claims::gather(questions, self.agreement, settled).await;
        if let Some(agreed) = agreement::inclusion(&claims.said, self.agreement) {
            return Ok(agreed);
        }
        let said = claims.require(self.agreement, self.agreement)?;
        // Some know it and some do not, or they differ about its block: it may be on its way, and nothing is settled.
        let is_known = said.iter().any(|claim| *claim != Inclusion::Unknown);
        Ok(if is_known { Inclusion::Queued } else { Inclusion::Unknown })
    }

    async fn takes_signature(&self, question: &ContractQuestion<'_>) -> Result<bool, NodeError> {
        contract::takes_signature(&self.nodes, question).await
    }
}

#[cfg(test)]
mod tests;
