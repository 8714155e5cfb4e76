//! At which block plugins read the chain, and what they are told.

use gateway_domain::{
    Timestamp,
    chain::{BlockRef, ChainState},
};

use super::*;

/// More than these tests need.
const PATIENCE: Duration = Duration::from_secs(30);

/// Blocks are as many seconds after 1970 as their number says, which is not too old for this.
const NOW: Timestamp = Timestamp::from_unix_micros(20_000_000);

/// `odd` in every place among two of `even`, answering first, and answering last.
fn odd_one_out(odd: &Told, even: &Told) -> Vec<EvmNode> {
    let later = |told: &Told| Told { turns: Some(100), ..told.clone() };
    [beside(odd, &later(even)), beside(&later(odd), even)].into_iter().flatten().collect()
}

async fn newest(chain: &EvmNode) -> (u64, B256) {
    let block = chain.newest_block(NOW, PATIENCE).await.unwrap();
    (block.number, block.hash)
}

#[tokio::test]
async fn state_is_read_at_the_highest_block_that_enough_nodes_have_reached() {
    for head in [0, 5, 19, 20, 21, 22, 1_000_000] {
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
    let hangs = || Told { turns: None, ..Told::truth() };
    let ask = async |nodes: Vec<Told>| {
        let chain = chain(2, nodes);
        let asked = chain.newest_block(NOW, Duration::from_millis(50));
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
async fn a_block_that_is_too_old_is_not_read() {
    let recent = Told { head: 22, ..Told::truth() };
    let age_max = Duration::from_mins(10);
    // At one moment block 20 is just recent enough, at the other no longer.
    let moments = [20, 21].map(|since| Timestamp::default().plus(age_max + Duration::from_secs(since)));
    let ask = async |agreement, nodes: &[&Told], now| {
        let chain = chain(agreement, nodes.iter().map(|node| (*node).clone()));
        chain.newest_block(now, PATIENCE).await.map(|block| block.number)
    };
    let old = &Told::truth();
    for (agreement, nodes) in [(1, vec![old]), (2, vec![old, old]), (2, vec![old, &recent, old])] {
        assert_eq!(ask(agreement, &nodes, moments[0]).await.unwrap(), 20);
        let refused = ask(agreement, &nodes, moments[1]).await;
        assert!(matches!(refused, Err(NodeError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(ask(1, &[old, &recent], moments[1]).await.unwrap(), 22, "the next answers for one that lags");
    assert_eq!(ask(2, &[old, &recent, &recent], moments[1]).await.unwrap(), 22);
    let vain = Told { ahead: 1_000_000, ..Told::truth() };
    assert!(ask(2, &[&vain, &recent], moments[1]).await.is_err(), "its block is as old as the other says");
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
