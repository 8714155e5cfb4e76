//! The chain's state at one block, for policy plugins: what enough nodes say alike.

use async_trait::async_trait;
use gateway_domain::chain::{BlockRef, ChainState, NodeError, StateRead};

use super::{EvmNode, agreement::Claims};

#[async_trait]
impl ChainState for EvmNode {
    /// The highest block that enough nodes have reached, as enough of them know it.
    async fn newest_block(&self) -> Result<BlockRef, NodeError> {
        let questions = self.nodes.iter().map(|node| node.block_ref(None)).collect();
        let claims = Claims::gather(questions, self.agreement, |said| said.len() >= self.agreement).await;
        let mut heads = claims.require(self.agreement, self.agreement)?;
        heads.sort_unstable_by_key(|block| std::cmp::Reverse(block.number));
        let head = heads[self.agreement - 1];
        if self.agreement == 1 {
            return Ok(head);
        }
        let questions = self.nodes.iter().map(|node| node.block_ref(Some(head.number))).collect();
        self.agreed(questions).await
    }

    async fn read(&self, block: &BlockRef, what: &StateRead) -> Result<String, NodeError> {
        self.agreed(self.nodes.iter().map(|node| node.read(block, what)).collect()).await
    }
}

impl EvmNode {
    /// The answer that enough nodes give. Answers that differ are no answer.
    async fn agreed<T, A>(&self, questions: Vec<A>) -> Result<T, NodeError>
    where
        T: Clone + PartialEq,
        A: Future<Output = Result<T, NodeError>>,
    {
        let most_common = |said: &[T]| {
            let count = |claim: &T| said.iter().filter(|other| *other == claim).count();
            said.iter().find(|claim| count(claim) >= self.agreement).cloned()
        };
        let claims = Claims::gather(questions, self.agreement, |said| most_common(said).is_some()).await;
        if let Some(agreed) = most_common(&claims.said) {
            return Ok(agreed);
        }
        let said = claims.require(self.agreement, self.agreement);
        said.and_then(|_| Err(NodeError::Unavailable(Box::new(Disagreement))))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("fewer nodes than must agree gave the same answer")]
struct Disagreement;
