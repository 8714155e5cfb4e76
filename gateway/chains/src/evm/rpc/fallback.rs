//! Several nodes of one chain, asked in order of preference.

use std::fmt;
use std::pin::Pin;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;

use super::{
    Block, BlockTag, CallRequest, CountTag, EvmRpc, FeeQuote, KnownTransaction, NodeError, NodeRejection,
    Receipt,
};

/// Asks the next node when one is not available. Any answer ends the search, a refusal too, so that
/// a transaction is never shopped around for a node that takes it.
pub struct FallbackEvmRpc {
    first: Box<dyn EvmRpc>,
    others: Vec<Box<dyn EvmRpc>>,
}

impl fmt::Debug for FallbackEvmRpc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FallbackEvmRpc").field("others", &self.others.len()).finish_non_exhaustive()
    }
}

type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, NodeError>> + Send + 'a>>;

impl FallbackEvmRpc {
    pub fn new(first: Box<dyn EvmRpc>, others: Vec<Box<dyn EvmRpc>>) -> Self {
        Self { first, others }
    }

    async fn ask<'a, T>(
        &'a self,
        question: impl Fn(&'a dyn EvmRpc) -> Asked<'a, T> + Send,
    ) -> Result<T, NodeError> {
        let mut answer = question(self.first.as_ref()).await;
        for node in &self.others {
            match answer {
                Err(error) if error.reason == NodeRejection::Unavailable => {
                    answer = question(node.as_ref()).await;
                }
                found => return found,
            }
        }
        answer
    }
}

#[async_trait]
impl EvmRpc for FallbackEvmRpc {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.ask(|node| node.chain_id()).await
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<Block>, NodeError> {
        self.ask(|node| node.block(tag)).await
    }

    async fn fee_quote(&self) -> Result<FeeQuote, NodeError> {
        self.ask(|node| node.fee_quote()).await
    }

    async fn transaction_count(&self, address: Address, tag: CountTag) -> Result<u64, NodeError> {
        self.ask(|node| node.transaction_count(address, tag)).await
    }

    async fn balance(&self, address: Address) -> Result<U256, NodeError> {
        self.ask(|node| node.balance(address)).await
    }

    async fn estimate_gas(&self, call: &CallRequest) -> Result<u64, NodeError> {
        self.ask(|node| node.estimate_gas(call)).await
    }

    async fn send_raw_transaction(&self, raw: &[u8]) -> Result<B256, NodeError> {
        self.ask(|node| node.send_raw_transaction(raw)).await
    }

    async fn transaction_receipt(&self, hash: B256) -> Result<Option<Receipt>, NodeError> {
        self.ask(|node| node.transaction_receipt(hash)).await
    }

    async fn transaction_by_hash(&self, hash: B256) -> Result<Option<KnownTransaction>, NodeError> {
        self.ask(|node| node.transaction_by_hash(hash)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evm::rpc::lying_node::{Answer, LyingNode};

    fn down() -> Answer {
        Answer { status: "503 Service Unavailable", ..Answer::body("") }
    }

    #[tokio::test]
    async fn next_node_answers_for_one_that_is_down() {
        let first = LyingNode::start(vec![down()]).await;
        let second = LyingNode::start(vec![Answer::result(&json!("0x5"))]).await;
        let unused = LyingNode::start(vec![Answer::result(&json!("0x6"))]).await;
        let others: Vec<Box<dyn EvmRpc>> = vec![Box::new(second.client()), Box::new(unused.client())];
        let nodes = FallbackEvmRpc::new(Box::new(first.client()), others);
        assert_eq!(nodes.chain_id().await.unwrap(), 5);
        assert!(!unused.requests.is_finished());
        unused.requests.abort();
    }

    #[tokio::test]
    async fn refusal_is_not_taken_to_the_next_node() {
        let first = LyingNode::start(vec![Answer::error(-32000, "nonce too low")]).await;
        let unused = LyingNode::start(vec![down()]).await;
        let nodes = FallbackEvmRpc::new(Box::new(first.client()), vec![Box::new(unused.client())]);
        let error = nodes.send_raw_transaction(&[1]).await.unwrap_err();
        assert_eq!(error.reason, NodeRejection::NonceTooLow);
        assert!(!unused.requests.is_finished());
        unused.requests.abort();
    }

    #[tokio::test]
    async fn last_failure_is_reported_when_all_are_down() {
        let (first, second) = (LyingNode::start(vec![down()]).await, LyingNode::start(vec![down()]).await);
        let nodes = FallbackEvmRpc::new(Box::new(first.client()), vec![Box::new(second.client())]);
        let error = nodes.balance(Address::ZERO).await.unwrap_err();
        assert_eq!(error.reason, NodeRejection::Unavailable);
        first.requests.await.unwrap();
        second.requests.await.unwrap();
    }
}
