//! At which block plugins read the chain, and what they are told.

use gateway_domain::chain::{BlockRef, ChainState};

use super::*;

/// More than these tests need.
const PATIENCE: Duration = Duration::from_secs(30);

/// `odd` in every place among two of `even`, answering first, and answering last.
fn odd_one_out(odd: &Told, even: &Told) -> Vec<EvmNode> {
    let later = |told: &Told| Told { pause: Duration::from_millis(10), ..told.clone() };
    [beside(odd, &later(even)), beside(&later(odd), even)].into_iter().flatten().collect()
}

async fn newest(chain: &EvmNode) -> (u64, B256) {
    let block = chain.newest_block(PATIENCE).await.unwrap();
    (block.number, block.hash)
}

#[tokio::test]
async fn state_is_read_at_the_highest_block_that_enough_nodes_have_reached() {
    for head in [0, 5, 19, 20, 21, 22, u64::MAX] {
        let odd = Told { head, ..Told::truth() };
        for chain in odd_one_out(&odd, &Told::truth()) {
            assert_eq!(newest(&chain).await, (20, block(20).hash), "beside {head}");
        }
    }
    let heads = [30, 10, 20].map(|head| Told { head, ..Told::truth() });
    for (agreement, number) in [(2, 20), (3, 10)] {
        assert_eq!(newest(&chain(agreement, heads.clone())).await.0, number);
    }
}

#[tokio::test]
async fn where_one_node_suffices_the_first_that_answers_names_the_block() {
    let (low, high) = (Told { head: 19, ..Told::truth() }, Told { head: 22, ..Told::truth() });
    for (nodes, number) in
        [([low.clone(), high.clone()], 19), ([high.clone(), low], 22), ([Told::down(), high], 22)]
    {
        assert_eq!(newest(&chain(1, nodes)).await.0, number);
    }
}

#[tokio::test]
async fn nodes_that_hang_hold_nothing_up_and_are_missed_where_too_few_are_left() {
    let hangs = || Told { pause: Duration::from_hours(1), ..Told::truth() };
    let ask = async |nodes: Vec<Told>| {
        let chain = chain(2, nodes);
        let asked = chain.newest_block(Duration::from_millis(50));
        tokio::time::timeout(PATIENCE, asked).await.expect("no longer than the patience lasts")
    };
    for chain in [
        vec![hangs(), Told::truth(), Told::truth()],
        vec![Told::truth(), Told::truth(), hangs()],
        vec![hangs(), hangs(), Told::truth(), Told::truth()],
    ] {
        assert_eq!(ask(chain).await.unwrap().number, 20);
    }
    let foreign = Told { chain: 1, ..Told::truth() };
    for other in [hangs(), Told::down()] {
        assert!(matches!(ask(vec![other, Told::truth()]).await, Err(NodeError::Unavailable(_))));
    }
    assert!(matches!(ask(vec![foreign, Told::truth()]).await, Err(NodeError::WrongChain)));
}

#[tokio::test]
async fn one_liar_changes_no_state_that_is_read() {
    let pinned = BlockRef { number: 20, hash: block(20).hash, timestamp: 0 };
    let liar = Told { balance: U256::MAX, ..Told::truth() };
    for chain in beside(&liar, &Told::truth()) {
        assert_eq!(chain.read(&pinned, &StateRead::Balance(SENDER)).await.unwrap(), "0x3e8");
    }
    let apart = chain(2, [liar, Told::truth()]);
    let refused = apart.read(&pinned, &StateRead::Balance(SENDER)).await;
    assert!(matches!(refused, Err(NodeError::Unavailable(_))));
}

#[tokio::test]
async fn a_call_reverts_when_enough_nodes_say_so() {
    let pinned = BlockRef { number: 20, hash: block(20).hash, timestamp: 0 };
    let call = StateRead::Call { to: SENDER, data: vec![1] };
    let reverting = Told { gas: Err(Reason::ExecutionReverted), ..Told::truth() };
    for chain in beside(&reverting, &Told::truth()) {
        assert_eq!(chain.read(&pinned, &call).await.unwrap(), "0x3e8");
    }
    for chain in beside(&Told::truth(), &reverting) {
        let refused = chain.read(&pinned, &call).await;
        assert!(matches!(refused, Err(NodeError::Rejected(NodeRejection::Reverted))));
    }
}
