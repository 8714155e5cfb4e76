//! The chain's state at one block, for policy plugins: what enough nodes say alike.

use std::{cmp::Reverse, time::Duration};

use async_trait::async_trait;
use gateway_domain::{
    Timestamp,
    chain::{BlockRef, ChainState, NodeError, StateRead, block_since},
};

use super::{EvmNode, agreement::Claims};

#[async_trait]
impl ChainState for EvmNode {
    /// The highest block that enough of all nodes say to have reached, as enough of them know it. Where one node
    /// suffices, that is the newest of the first one in order of preference whose newest is not too old: the highest
    /// would let any of the others have its way with plugins.
    async fn newest_block(&self, now: Timestamp, patience: Duration) -> Result<BlockRef, NodeError> {
        let since = block_since(now, self.config.block_age_max());
        if self.agreement == 1 {
            let blocks =
                self.nodes.iter().map(|node| async move { recent(node.block_ref(None).await?, since) });
            return self.agreed(blocks.collect()).await;
        }
        let heads = self.nodes.iter().enumerate().map(|(place, node)| async move {
            let block = recent(node.block_ref(None).await?, since)?;
            Ok((place, block.number))
        });
        let claims = Claims::gather_all(heads.collect(), patience).await;
        let mut heads = claims.require(self.agreement, self.agreement)?;
        heads.sort_unstable_by_key(|(_, number)| Reverse(*number));
        let (_, number) = heads[self.agreement - 1];
        // Those that kept silent come last, for one that hangs takes up the place of one that answers.
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|place| !heads.iter().any(|(answered, _)| answered == place));
        let block =
            self.agreed(order.iter().map(|place| self.nodes[*place].block_ref(Some(number))).collect());
        recent(block.await?, since)
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

/// The block, unless it is older than `since`.
fn recent(block: BlockRef, since: u64) -> Result<BlockRef, NodeError> {
    if block.timestamp < since {
        return Err(NodeError::Unavailable(Box::new(TooOld(block.number))));
    }
    Ok(block)
}

#[derive(Debug, thiserror::Error)]
#[error("the newest block is too old: number {0}")]
struct TooOld(u64);

#[derive(Debug, thiserror::Error)]
#[error("fewer nodes than must agree gave the same answer")]
struct Disagreement;
