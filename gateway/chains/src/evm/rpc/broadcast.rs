//! Sending signed bytes, as often as it takes.

use alloy_primitives::{B256, keccak256};

use super::{EvmRpc, NodeError, NodeRejection};

/// Sends `raw` and returns its hash. Sending identical bytes again succeeds, also once they are
/// mined, where nodes say that the nonce is used: the node is then asked whether by these bytes.
pub async fn broadcast(node: &dyn EvmRpc, raw: &[u8]) -> Result<B256, NodeError> {
    let hash = keccak256(raw);
    match node.send_raw_transaction(raw).await {
        Err(error) if error.reason == NodeRejection::AlreadyKnown => Ok(hash),
        Err(error) if error.reason == NodeRejection::NonceTooLow => {
            match node.transaction_by_hash(hash).await? {
                Some(_) => Ok(hash),
                None => Err(error),
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evm::rpc::lying_node::{Answer, LyingNode};

    async fn broadcast_to(answers: Vec<Answer>) -> Result<B256, NodeRejection> {
        let node = LyingNode::start(answers).await;
        let result = broadcast(&node.client(), &[1, 2, 3]).await;
        node.requests.await.unwrap();
        result.map_err(|error| error.reason)
    }

    #[tokio::test]
    async fn bytes_in_the_pool_are_sent() {
        let known = Answer::error(-32000, "already known");
        assert_eq!(broadcast_to(vec![known]).await, Ok(keccak256([1, 2, 3])));
    }

    #[tokio::test]
    async fn used_nonce_is_success_only_for_the_same_bytes() {
        let hash = keccak256([1, 2, 3]);
        let mined = json!({
            "hash": hash.to_string(),
            "from": "0x3535353535353535353535353535353535353535",
            "nonce": "0x0",
            "blockNumber": "0x1",
        });
        let used = || Answer::error(-32003, "nonce too low");
        assert_eq!(broadcast_to(vec![used(), Answer::result(&mined)]).await, Ok(hash));
        let foreign = broadcast_to(vec![used(), Answer::result(&json!(null))]).await;
        assert_eq!(foreign, Err(NodeRejection::NonceTooLow));
    }

    #[tokio::test]
    async fn other_refusals_stay() {
        let poor = Answer::error(-32003, "Insufficient funds for gas * price + value");
        assert_eq!(broadcast_to(vec![poor]).await, Err(NodeRejection::InsufficientFunds));
    }
}
