//! The domain's view of an Ethereum node: few questions, every answer a claim.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use futures::future::{try_join, try_join3};
use gateway_domain::{
    chain::{AccountState, ChainNode, Inclusion, NodeError, NodeRejection, Pricing},
    transactions::Intent,
};

use super::{
    fees,
    rpc::{self, BlockTag, CallRequest, CountTag, EvmRpc},
};
use crate::registry::ChainConfig;

/// A chain's nodes with the chain's own bounds.
pub struct EvmNode {
    rpc: Box<dyn EvmRpc>,
    config: ChainConfig,
    /// When the node last said which chain it is on.
    chain_checked: Mutex<Option<Instant>>,
}

/// How long a node's chain id is believed. Signed bytes carry the chain id in any case; asking tells a wrong URL
/// from a lost transaction.
const CHAIN_CHECK_INTERVAL: Duration = Duration::from_mins(1);

impl EvmNode {
    pub fn new(rpc: Box<dyn EvmRpc>, config: ChainConfig) -> Self {
        Self { rpc, config, chain_checked: Mutex::default() }
    }

    /// Refuses to go on with a node of another chain.
    async fn require_chain(&self) -> Result<(), NodeError> {
        let checked = *self.chain_checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.is_some_and(|at| at.elapsed() < CHAIN_CHECK_INTERVAL) {
            return Ok(());
        }
        let found = self.rpc.chain_id().await.map_err(translate)?;
        if found != self.config.id.number() {
            return Err(NodeError::WrongChain);
        }
        *self.chain_checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}

#[async_trait]
impl ChainNode for EvmNode {
    async fn account(&self, address: Address) -> Result<AccountState, NodeError> {
        let chain = self.require_chain();
        let nonce = async { self.rpc.transaction_count(address, CountTag::Latest).await.map_err(translate) };
        let balance = async { self.rpc.balance(address).await.map_err(translate) };
        let ((), nonce, balance) = try_join3(chain, nonce, balance).await?;
        Ok(AccountState { nonce, balance })
    }

    async fn price(&self, intent: &Intent, replaces: Option<&Pricing>) -> Result<Pricing, NodeError> {
        let policy = self.config.fee_policy();
        let ceiling = |_| NodeError::Rejected(NodeRejection::FeeTooLow);
        let quote = async { self.rpc.fee_quote().await.map_err(translate) };
        if let Some(previous) = replaces {
            let fee =
                fees::suggest_replacement(previous.fee.into(), quote.await?, &policy).map_err(ceiling)?;
            return Ok(Pricing { gas_limit: previous.gas_limit, fee: fee.into() });
        }
        let to = intent.to.ok_or(NodeError::Rejected(NodeRejection::Other))?;
        let data = intent.data.clone().into();
        let call = CallRequest { from: intent.from, to, value: intent.value, data };
        let estimate = async { self.rpc.estimate_gas(&call).await.map_err(translate) };
        let (quote, estimate) = try_join(quote, estimate).await?;
        let fee = fees::suggest(quote, &policy).map_err(ceiling)?;
        let (headroom, most) = (self.config.gas_limit_headroom_percent, self.config.gas_limit_max);
        let gas_limit = fees::gas_limit(estimate, headroom, most);
        let gas_limit = gas_limit.map_err(|_| NodeError::Rejected(NodeRejection::GasTooLow))?;
        Ok(Pricing { gas_limit, fee: fee.into() })
    }

    async fn broadcast(&self, raw: &[u8]) -> Result<(), NodeError> {
        rpc::broadcast(self.rpc.as_ref(), raw).await.map(|_| ()).map_err(translate)
    }

    async fn settled_nonce(&self, address: Address, depth: u64) -> Result<u64, NodeError> {
        let latest = self.rpc.block(BlockTag::Latest).await.map_err(translate)?;
        let Some(number) = latest.and_then(|block| block.number.checked_sub(depth)) else { return Ok(0) };
        self.rpc.transaction_count(address, CountTag::Block(number)).await.map_err(translate)
    }

    async fn inclusion(&self, hash: B256) -> Result<Inclusion, NodeError> {
        let Some(receipt) = self.rpc.transaction_receipt(hash).await.map_err(translate)? else {
            let known = self.rpc.transaction_by_hash(hash).await.map_err(translate)?;
            return Ok(if known.is_some() { Inclusion::Queued } else { Inclusion::Unknown });
        };
        let canonical = self.rpc.block(BlockTag::Number(receipt.block_number)).await.map_err(translate)?;
        let latest = self.rpc.block(BlockTag::Latest).await.map_err(translate)?;
        let on_chain = canonical.is_some_and(|block| block.hash == receipt.block_hash);
        let confirmations = latest.and_then(|latest| latest.number.checked_sub(receipt.block_number));
        match confirmations {
            Some(above) if on_chain => Ok(Inclusion::Mined {
                block: receipt.block_number,
                block_hash: receipt.block_hash,
                confirmations: above.saturating_add(1),
                succeeded: receipt.success,
            }),
            // A receipt of a block that was reorganized away counts as none.
            _ => Ok(Inclusion::Queued),
        }
    }
}

fn translate(error: rpc::NodeError) -> NodeError {
    use rpc::NodeRejection as Found;
    let rejection = match error.reason {
        Found::Unavailable | Found::Malformed | Found::MethodUnsupported => {
            return NodeError::Unavailable(Box::new(error));
        }
        Found::NonceTooLow => NodeRejection::NonceTooLow,
        Found::InsufficientFunds => NodeRejection::InsufficientFunds,
        Found::FeeTooLow => NodeRejection::FeeTooLow,
        Found::Underpriced => NodeRejection::ReplacementUnderpriced,
        Found::WrongChain => NodeRejection::WrongChain,
        Found::IntrinsicGasTooLow | Found::GasLimitTooHigh => NodeRejection::GasTooLow,
        Found::ExecutionReverted => NodeRejection::Reverted,
        Found::NonceTooHigh | Found::AlreadyKnown | Found::Other => NodeRejection::Other,
    };
    NodeError::Rejected(rejection)
}
