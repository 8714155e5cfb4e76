//! What nodes must say together before a contract's signature counts (T9).

use super::*;

/// The newest block that two of the nodes have finalized.
pub(super) const FINALIZED: u64 = 15;
pub(super) const GAS: u64 = 500_000;

const YES: Contract = Contract::Answers(&{
    let mut word = [0; 32];
    (word[0], word[1], word[2], word[3]) = (0x16, 0x26, 0xba, 0x7e);
    word
});
const NO: Contract = Contract::Answers(&[0xff; 32]);
const NO_CODE: Contract = Contract::Answers(&[]);

fn says(contract: Contract) -> Told {
    Told { contract, ..Told::truth() }
}

fn question(agreement: usize) -> ContractQuestion<'static> {
    ContractQuestion {
        account: SENDER,
        digest: HASH,
        signature: &[7; 65],
        gas_max: GAS,
        agreement,
        block_since: FINALIZED,
    }
}

async fn ask(agreement: usize, nodes: impl IntoIterator<Item = Told>) -> Result<bool, NodeError> {
    // What the chain itself demands is another matter.
    chain(1, nodes).takes_signature(&question(agreement)).await
}

#[track_caller]
fn is_unknown(answer: &Result<bool, NodeError>) {
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn as_many_nodes_as_demanded_must_say_yes() {
    assert!(ask(2, [says(YES), says(YES)]).await.unwrap());
    assert!(ask(3, [says(YES), says(YES), says(YES)]).await.unwrap());
    is_unknown(&ask(2, [says(YES)]).await);
    is_unknown(&ask(3, [says(YES), says(YES)]).await);
    is_unknown(&ask(2, []).await);
}

#[tokio::test]
async fn a_node_that_always_says_yes_is_not_believed_beside_one_that_says_no() {
    let gives_up = [Reason::ExecutionReverted, Reason::ExecutionHalted, Reason::GasLimitTooHigh];
    for no in [NO, NO_CODE].into_iter().chain(gives_up.map(Contract::Fails)) {
        for nodes in [
            vec![says(YES), says(no)],
            vec![says(no), says(YES), says(YES)],
            vec![says(YES), says(YES), says(no)],
            vec![says(no), says(no)],
        ] {
            assert!(!ask(2, nodes).await.unwrap());
        }
    }
}

#[tokio::test]
async fn nodes_that_are_away_or_on_another_chain_say_nothing() {
    let foreign = Told { chain: 1, ..says(YES) };
    for silent in [
        Told::down(),
        foreign,
        says(Contract::Fails(Reason::Unavailable)),
        says(Contract::Fails(Reason::Other)),
        Told { finalized: 99, ..says(YES) },
    ] {
        is_unknown(&ask(2, [says(YES), silent.clone()]).await);
        is_unknown(&ask(2, [silent.clone(), says(YES)]).await);
        assert!(ask(2, [says(YES), silent, says(YES)]).await.unwrap(), "two others suffice");
    }
}

#[tokio::test]
async fn nodes_that_name_different_blocks_are_not_believed() {
    let forked = Told { is_forked: true, ..says(YES) };
    is_unknown(&ask(2, [says(YES), forked.clone()]).await);
    // Nobody can say which of them lies.
    is_unknown(&ask(2, [says(YES), says(YES), forked]).await);
}

#[tokio::test]
async fn the_newest_block_that_enough_nodes_have_finalized_is_asked_about() {
    let ahead = Told { finalized: FINALIZED + 3, ..says(YES) };
    let behind = Told { finalized: FINALIZED - 3, ..says(NO) };
    assert!(ask(2, [ahead.clone(), says(YES)]).await.unwrap());
    assert!(ask(2, [ahead.clone(), says(YES), behind.clone()]).await.unwrap(), "one that lags is not asked");
    let old = Told { finalized: FINALIZED - 1, ..says(YES) };
    is_unknown(&ask(2, [ahead, old]).await);
}

#[tokio::test]
async fn a_node_that_never_answers_makes_the_question_never_end() {
    let asked = ask(2, [says(YES), says(YES), says(Contract::Hangs)]);
    let waited = tokio::time::timeout(Duration::from_millis(20), asked).await;
    assert!(waited.is_err(), "whoever asks bounds the time");
}
