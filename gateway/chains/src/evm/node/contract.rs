//! Asking contract accounts (ERC-1271): every node about one and the same finalized block, and none may object.

use futures::future::join_all;
use gateway_domain::chain::{ContractQuestion, NodeError};

use super::{agreement::TooFewNodes, single::Single};
use crate::evm::rpc::Block;

#[derive(Debug, thiserror::Error)]
enum NoCommonBlock {
    #[error("nodes name different finalized blocks of number {0}")]
    Different(u64),
    #[error("the newest finalized block that enough nodes know is too old: number {0}")]
    Old(u64),
}

/// Whether enough nodes say that the contract took the signature, as of one finalized block, and none says otherwise.
pub(super) async fn takes_signature(
    nodes: &[Single],
    question: &ContractQuestion<'_>,
) -> Result<bool, NodeError> {
    let heads = join_all(nodes.iter().map(|node| async move { (node, node.finalized().await) })).await;
    let heads = answered(heads, question.agreement)?;
    let mut numbers: Vec<u64> = heads.iter().map(|(_, head)| head.number).collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    // The newest that enough nodes have got to.
    let number = numbers[question.agreement - 1];
    let at_number = heads.into_iter().filter(|(_, head)| head.number >= number);
    let blocks = join_all(at_number.map(|(node, head)| async move {
        let block = if head.number == number { Ok(head) } else { node.block_of(number).await };
        (node, block)
    }));
    let blocks = answered(blocks.await, question.agreement)?;
    let block = common(&blocks, number, question.block_since)?;
    let answers = join_all(
        blocks
            .iter()
            .map(|(node, _)| async move { (*node, node.contract_takes(question, block.hash).await) }),
    );
    let answers = answers.await;
    if answers.iter().any(|(_, answer)| matches!(answer, Ok(false))) {
        return Ok(false);
    }
    answered(answers, question.agreement).map(|_| true)
}

/// What the nodes said that said anything, if they are enough.
fn answered<T>(
    answers: Vec<(&Single, Result<T, NodeError>)>,
    agreement: usize,
) -> Result<Vec<(&Single, T)>, NodeError> {
    let (mut said, mut silent) = (Vec::new(), None);
    for (node, answer) in answers {
        match answer {
            Ok(answer) => said.push((node, answer)),
            Err(error) => silent = Some(error),
        }
    }
    if said.len() >= agreement.max(1) {
        return Ok(said);
    }
    Err(silent.unwrap_or_else(|| NodeError::Unavailable(Box::new(TooFewNodes))))
}

/// The block, if all nodes that know it mean the same one, and it is recent.
fn common(blocks: &[(&Single, Block)], number: u64, since: u64) -> Result<Block, NodeError> {
    let refuse = |fault| Err(NodeError::Unavailable(Box::new(fault)));
    let [(_, first), others @ ..] = blocks else { return refuse(NoCommonBlock::Different(number)) };
    if others.iter().any(|(_, other)| (other.hash, other.timestamp) != (first.hash, first.timestamp)) {
        return refuse(NoCommonBlock::Different(number));
    }
    if first.timestamp < since {
        return refuse(NoCommonBlock::Old(number));
    }
    Ok(*first)
}
