use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use gateway_domain::{Timestamp, ids::OrganizationId};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::*;
use crate::adapters::outside::Upstreams;

/// What an evaluation has left.
const TIME: Duration = Duration::from_secs(20);
const ADDRESS_TEXT: &str = "0x00000000000000000000000000000000000000bb";

fn read(method: ChainMethod, parameters: &[&str]) -> Result<StateRead, OutsideError> {
    let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
    state_read(method, &parameters)
}

#[test]
fn each_method_reads_its_own_parameters() {
    let address: Address = ADDRESS_TEXT.parse().unwrap();
    let slot = format!("0x{}", "07".repeat(32));
    for (method, parameters, expected) in [
        (ChainMethod::GetBalance, vec![ADDRESS_TEXT], StateRead::Balance(address)),
        (ChainMethod::GetTransactionCount, vec![ADDRESS_TEXT], StateRead::TransactionCount(address)),
        (ChainMethod::GetCode, vec![ADDRESS_TEXT], StateRead::Code(address)),
        (
            ChainMethod::GetStorageAt,
            vec![ADDRESS_TEXT, &slot],
            StateRead::Storage { address, slot: B256::repeat_byte(7) },
        ),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "0x"], StateRead::Call { to: address, data: Vec::new() }),
        (
            ChainMethod::Call,
            vec![ADDRESS_TEXT, "0x70a08231"],
            StateRead::Call { to: address, data: vec![0x70, 0xa0, 0x82, 0x31] },
        ),
    ] {
        assert_eq!(read(method, &parameters), Ok(expected), "{parameters:?}");
    }
}

#[test]
fn parameters_that_are_none_are_refused_before_any_node_hears_of_them() {
    let short = &ADDRESS_TEXT[..41];
    for (method, parameters, rule) in [
        (ChainMethod::GetBalance, vec![], "too few or too many parameters"),
        (ChainMethod::GetBalance, vec![ADDRESS_TEXT, "latest"], "too few or too many parameters"),
        (ChainMethod::Call, vec![ADDRESS_TEXT], "too few or too many parameters"),
        (ChainMethod::GetBalance, vec![short], ADDRESS),
        (ChainMethod::GetCode, vec![&ADDRESS_TEXT[2..]], ADDRESS),
        (ChainMethod::GetCode, vec!["0xzz000000000000000000000000000000000000bb"], ADDRESS),
        (ChainMethod::GetStorageAt, vec![ADDRESS_TEXT, "0x0"], "a slot is"),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "70a08231"], "data are"),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "0x70a"], "data are"),
    ] {
        let refused = read(method, &parameters).unwrap_err();
        assert_eq!(refused.code, FailureCode::ChainRefused, "{parameters:?}");
        let expected = format!("`{}`: {rule}", method.as_str());
        assert!(refused.detail.starts_with(&expected), "{parameters:?}: {}", refused.detail);
    }
}

#[test]
fn a_block_is_shown_with_its_hash_in_lower_case() {
    let block = BlockRef { number: 7, hash: B256::repeat_byte(0xab), timestamp: 9 };
    assert_eq!(
        shown(&block),
        PinnedBlock { number: 7, hash: format!("0x{}", "ab".repeat(32)), timestamp: 9 }
    );
}

/// Counts questions.
#[derive(Default)]
struct Node(AtomicU32);

#[async_trait]
impl ChainState for Node {
    async fn newest_block(&self, _: Timestamp, patience: Duration) -> Result<BlockRef, NodeError> {
        assert!(patience <= TIME / 2, "the rest is for the question itself");
        Ok(BlockRef { number: 7, hash: B256::repeat_byte(7), timestamp: 9 })
    }

    async fn read(&self, _: &BlockRef, _: &StateRead) -> Result<String, NodeError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok("0x1".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_granted_reaches_no_node() {
    let node = Arc::new(Node::default());
    let asked = async |method: ChainMethod, grants: &[&str]| {
        let reach = Reach {
            organization: OrganizationId::from_uuid(Uuid::from_u128(1)),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            upstreams: Arc::new(Upstreams::new(BTreeMap::new())),
            chain: Some(node.clone()),
            pinned: Pinned::default(),
            now: Timestamp::default(),
            runtime: Handle::current(),
        };
        let question = ChainQuestion::Read { method, parameters: vec![ADDRESS_TEXT.to_owned()] };
        let deadline = Instant::now() + TIME;
        tokio::task::spawn_blocking(move || reach.ask_chain(&question, deadline)).await.unwrap()
    };
    let refused =
        asked(ChainMethod::GetCode, &["chain:eth_getBalance", "chain", "chain:", "eth_getCode"]).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, FailureCode::MissingCapability);
    assert_eq!(refused.detail, "the method `eth_getCode` is not granted");
    assert_eq!(node.0.load(Ordering::SeqCst), 0);
    let answered = asked(ChainMethod::GetCode, &["chain:eth_getCode"]).await;
    assert_eq!(answered, Ok(ChainAnswer::Value("0x1".to_owned())));
}
