//! One node's answers to the questions of the domain.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use futures::future::{try_join, try_join3};
use gateway_domain::{
    chain::{
        AccountState, BlockRef, ChainId, ContractQuestion, Inclusion, NodeError, NodeRejection, Pricing,
        StateRead,
    },
    transactions::Intent,
};

use crate::{
    evm::{
        erc1271,
        fees::{self, FeeQuote},
        receipt,
        rpc::{self, Block, BlockTag, CallRequest, CountTag, EvmRpc},
    },
    registry::ChainConfig,
};

pub(super) struct Single {
    rpc: Box<dyn EvmRpc>,
    chain: ChainId,
    /// When the node last said which chain it is on.
    chain_checked: Mutex<Option<Instant>>,
    /// What the node last said about fees, and when it was asked.
    quoted: Mutex<Option<(Instant, FeeQuote)>>,
}

/// How long a node's chain id is believed. Signed bytes carry the chain id in any case; asking tells a wrong URL
/// from a lost transaction.
const CHAIN_CHECK_INTERVAL: Duration = Duration::from_mins(1);

impl Single {
    pub(super) fn new(rpc: Box<dyn EvmRpc>, chain: ChainId) -> Self {
        Self { rpc, chain, chain_checked: Mutex::default(), quoted: Mutex::default() }
    }

    /// Refuses to go on with a node of another chain.
    async fn require_chain(&self) -> Result<(), NodeError> {
        let checked = *self.chain_checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.is_some_and(|at| at.elapsed() < CHAIN_CHECK_INTERVAL) {
            return Ok(());
        }
        let found = self.rpc.chain_id().await.map_err(translate)?;
        if found != self.chain.number() {
            return Err(NodeError::WrongChain);
        }
        *self.chain_checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    pub(super) async fn account(&self, address: Address) -> Result<AccountState, NodeError> {
        let chain = self.require_chain();
        let nonce = async { self.rpc.transaction_count(address, CountTag::Latest).await.map_err(translate) };
        let balance = async { self.rpc.balance(address).await.map_err(translate) };
        let ((), nonce, balance) = try_join3(chain, nonce, balance).await?;
        Ok(AccountState { nonce, balance })
    }

    /// A price within the bounds of the chain and of the intent; a market above either is a refusal.
    pub(super) async fn price(
        &self,
        config: &ChainConfig,
        intent: &Intent,
        replaces: Option<&Pricing>,
    ) -> Result<Pricing, NodeError> {
        let policy = config.fee_policy();
        let ceiling = |_| NodeError::Rejected(NodeRejection::FeeTooLow);
        if let Some(previous) = replaces {
            let quote = self.rpc.fee_quote().await.map_err(translate)?;
            let fee = fees::suggest_replacement(previous.fee.into(), quote, &policy).map_err(ceiling)?;
            return within(intent, Pricing { gas_limit: previous.gas_limit, fee: fee.into() });
        }
        let to = intent.to.ok_or(NodeError::Rejected(NodeRejection::Other))?;
        let data = intent.data.clone().into();
        let call = CallRequest { from: intent.from, to, value: intent.value, data };
        let estimate = async { self.rpc.estimate_gas(&call).await.map_err(translate) };
        let (quote, estimate) = try_join(self.quote(config.fee_quote_age_max()), estimate).await?;
        let fee = fees::suggest(quote, &policy).map_err(ceiling)?;
        let gas_limit = fees::gas_limit(estimate, config.gas_limit_headroom_percent, config.gas_limit_max);
        let gas_limit = gas_limit.map_err(|_| NodeError::Rejected(NodeRejection::GasTooLow))?;
        within(intent, Pricing { gas_limit, fee: fee.into() })
    }

    /// What the node says about fees, or said at most `age_max` ago: it moves by the block, and transactions come
    /// faster.
    async fn quote(&self, age_max: Duration) -> Result<FeeQuote, NodeError> {
        let quoted = *self.quoted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, quote)) = quoted.filter(|(asked, _)| asked.elapsed() < age_max) {
            return Ok(quote);
        }
        let asked = Instant::now();
        let quote = self.rpc.fee_quote().await.map_err(translate)?;
        *self.quoted.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, quote));
        Ok(quote)
    }

    pub(super) async fn broadcast(&self, raw: &[u8]) -> Result<(), NodeError> {
        rpc::broadcast(self.rpc.as_ref(), raw).await.map(|_| ()).map_err(translate)
    }

    pub(super) async fn displaced(
        &self,
        (address, nonce): (Address, u64),
        ours: &[B256],
        depth: u64,
    ) -> Result<bool, NodeError> {
        self.require_chain().await?;
        let latest = self.rpc.block(BlockTag::Latest).await.map_err(translate)?;
        let Some(number) = latest.and_then(|block| block.number.checked_sub(depth)) else { return Ok(false) };
        let count = |tag| async move { self.rpc.transaction_count(address, tag).await.map_err(translate) };
        let (settled, present) = try_join(count(CountTag::Block(number)), count(CountTag::Latest)).await?;
        // A count that shrinks towards the present contradicts itself.
        if settled <= nonce || present < settled {
            return Ok(false);
        }
        for hash in ours {
            if self.inclusion(*hash).await? != Inclusion::Unknown {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest block that the chain will not take back.
    pub(super) async fn finalized(&self) -> Result<Block, NodeError> {
        self.require_chain().await?;
        self.block(BlockTag::Finalized).await
    }

    pub(super) async fn block_of(&self, number: u64) -> Result<Block, NodeError> {
        self.block(BlockTag::Number(number)).await
    }

    async fn block(&self, tag: BlockTag) -> Result<Block, NodeError> {
        let block = self.rpc.block(tag).await.map_err(translate)?;
        block.ok_or_else(|| NodeError::Unavailable(Box::new(BlockUnknown)))
    }

    /// The contract's word as of the block of that hash. One that gives up has said no.
    pub(super) async fn contract_takes(
        &self,
        question: &ContractQuestion<'_>,
        block: B256,
    ) -> Result<bool, NodeError> {
        let data = erc1271::call_data(question.digest, question.signature).into();
        let call = CallRequest { from: Address::ZERO, to: question.account, value: U256::ZERO, data };
        match self.rpc.call_contract(&call, question.gas_max, block).await {
            Ok(answer) => Ok(erc1271::is_yes(&answer)),
            Err(error) if error.reason.is_by_contract() => Ok(false),
            Err(error) => Err(translate(error)),
        }
    }

    /// The block of that number, or the newest.
    pub(super) async fn block_ref(&self, number: Option<u64>) -> Result<BlockRef, NodeError> {
        self.require_chain().await?;
        let block = self.block(number.map_or(BlockTag::Latest, BlockTag::Number)).await?;
        Ok(BlockRef { number: block.number, hash: block.hash, timestamp: block.timestamp })
    }

    pub(super) async fn read(&self, block: &BlockRef, what: &StateRead) -> Result<String, NodeError> {
        self.require_chain().await?;
        self.rpc.read_state(what, block.hash).await.map_err(translate)
    }

    pub(super) async fn inclusion(&self, hash: B256) -> Result<Inclusion, NodeError> {
        self.require_chain().await?;
        let Some(receipt) = self.rpc.transaction_receipt(hash).await.map_err(translate)? else {
            let known = self.rpc.transaction_by_hash(hash).await.map_err(translate)?;
            return Ok(if known.is_some() { Inclusion::Queued } else { Inclusion::Unknown });
        };
        let block = |tag| async move { self.rpc.block(tag).await.map_err(translate) };
        let (canonical, latest) =
            try_join(block(BlockTag::Number(receipt.block_number)), block(BlockTag::Latest)).await?;
        let canonical = canonical.map(|block| block.hash);
        Ok(receipt::inclusion(&receipt, canonical, latest.map(|block| block.number)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the node does not have the block")]
struct BlockUnknown;

fn within(intent: &Intent, pricing: Pricing) -> Result<Pricing, NodeError> {
    if pricing.gas_limit > intent.ceilings.gas {
        return Err(NodeError::Rejected(NodeRejection::GasTooLow));
    }
    if pricing.fee.max_per_gas() > intent.ceilings.fee_per_gas {
        return Err(NodeError::Rejected(NodeRejection::FeeTooLow));
    }
    Ok(pricing)
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
        Found::NonceTooHigh | Found::AlreadyKnown | Found::ExecutionHalted | Found::Other => {
            NodeRejection::Other
        }
    };
    NodeError::Rejected(rejection)
}
