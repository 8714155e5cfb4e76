//! One liar among three nodes, where two must agree, and one node after another, where one suffices.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::{B256, Bytes, U256};
use gateway_domain::{
    chain::{ChainId, NodeRejection, StateRead},
    transactions::{Ceilings, Kind},
};

use super::*;
use crate::evm::{
    fees::FeeQuote,
    rpc::{
        Block, BlockTag, CallRequest, CountTag, KnownTransaction, NodeError as RpcError,
        NodeRejection as Reason, Receipt,
    },
};

mod contract;
mod state;

const CHAIN: u64 = 31_337;
const HASH: B256 = B256::repeat_byte(1);
const SENDER: Address = Address::repeat_byte(2);
const GWEI: u128 = 1_000_000_000;

/// A node with an opinion on everything.
#[derive(Clone)]
struct Told {
    chain: u64,
    head: u64,
    nonce: u64,
    /// As of blocks below the newest.
    settled: u64,
    balance: U256,
    base_fee: u128,
    gas: Result<u64, Reason>,
    /// Block and success.
    receipt: Option<(u64, bool)>,
    in_pool: bool,
    send: Result<(), Reason>,
    is_down: bool,
    /// Number of the newest finalized block.
    finalized: u64,
    /// Whether its blocks are others than everybody else's.
    is_forked: bool,
    /// Seconds that it adds to the date of its newest block.
    ahead: u64,
    /// Turns that others have before it tells of a block; without, it never tells.
    turns: Option<usize>,
    contract: Contract,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

/// What a node says of a contract's answer.
#[derive(Clone, Copy)]
enum Contract {
    Answers(&'static [u8]),
    Fails(Reason),
    /// Never says anything.
    Hangs,
}

impl Told {
    /// The truth of these tests: mined in block 10 of 20.
    fn truth() -> Self {
        Self {
            chain: CHAIN,
            head: 20,
            nonce: 5,
            settled: 5,
            balance: U256::from(1_000),
            base_fee: 10 * GWEI,
            gas: Ok(21_000),
            receipt: Some((10, true)),
            in_pool: true,
            send: Ok(()),
            is_down: false,
            finalized: 15,
            is_forked: false,
            ahead: 0,
            turns: Some(0),
            contract: Contract::Answers(&[]),
            asked: Arc::default(),
        }
    }

    fn unseen() -> Self {
        Self { receipt: None, in_pool: false, ..Self::truth() }
    }

    fn down() -> Self {
        Self { is_down: true, ..Self::truth() }
    }

    fn ask(&self, method: &'static str) -> Result<(), RpcError> {
        self.asked.lock().unwrap().push(method);
        if self.is_down { Err(RpcError::new(method, Reason::Unavailable, "")) } else { Ok(()) }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn block(number: u64) -> Block {
    let byte = |number: u64| B256::repeat_byte(u8::try_from(number % 256).unwrap());
    Block { number, hash: byte(number), parent_hash: byte(number), timestamp: number, base_fee_per_gas: None }
}

#[async_trait]
impl EvmRpc for Told {
    async fn chain_id(&self) -> Result<u64, RpcError> {
        self.ask("chain_id").map(|()| self.chain)
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<Block>, RpcError> {
        self.ask("block")?;
        let Some(turns) = self.turns else { return std::future::pending().await };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let number = match tag {
            BlockTag::Latest => self.head,
            BlockTag::Finalized => self.finalized,
            BlockTag::Number(number) => number,
        };
        let fork = |block: Block| if self.is_forked { Block { hash: HASH, ..block } } else { block };
        let ahead = if matches!(tag, BlockTag::Latest) { self.ahead } else { 0 };
        let date = |block: Block| Block { timestamp: block.timestamp + ahead, ..block };
        Ok((number <= self.head).then(|| date(fork(block(number)))))
    }

    async fn fee_quote(&self) -> Result<FeeQuote, RpcError> {
        self.ask("fee_quote")?;
        Ok(FeeQuote::Eip1559 { base_fee: self.base_fee, priority_fee: GWEI })
    }

    async fn transaction_count(&self, _: Address, tag: CountTag) -> Result<u64, RpcError> {
        self.ask("transaction_count")?;
        Ok(match tag {
            CountTag::Block(_) => self.settled,
            CountTag::Latest | CountTag::Pending => self.nonce,
        })
    }

    async fn balance(&self, _: Address) -> Result<U256, RpcError> {
        self.ask("balance").map(|()| self.balance)
    }

    async fn read_state(&self, _: &StateRead, _: B256) -> Result<String, RpcError> {
        self.ask("read_state")?;
        self.gas.map_err(|reason| RpcError::new("read_state", reason, ""))?;
        Ok(format!("{:#x}", self.balance))
    }

    async fn estimate_gas(&self, _: &CallRequest) -> Result<u64, RpcError> {
        self.ask("estimate_gas")?;
        self.gas.map_err(|reason| RpcError::new("estimate_gas", reason, ""))
    }

    async fn call_contract(&self, call: &CallRequest, gas: u64, at: B256) -> Result<Bytes, RpcError> {
        self.ask("call")?;
        assert_eq!((call.from, call.value, gas), (Address::ZERO, U256::ZERO, contract::GAS));
        assert_eq!(at, if self.is_forked { HASH } else { block(contract::FINALIZED).hash });
        match self.contract {
            Contract::Answers(answer) => Ok(Bytes::from_static(answer)),
            Contract::Fails(reason) => Err(RpcError::new("call", reason, "")),
            Contract::Hangs => std::future::pending().await,
        }
    }

    async fn send_raw_transaction(&self, _: &[u8]) -> Result<B256, RpcError> {
        self.ask("send")?;
        self.send.map(|()| HASH).map_err(|reason| RpcError::new("send", reason, ""))
    }

    async fn transaction_receipt(&self, hash: B256) -> Result<Option<Receipt>, RpcError> {
        self.ask("receipt")?;
        Ok(self.receipt.map(|(number, success)| Receipt {
            transaction_hash: hash,
            block_hash: block(number).hash,
            block_number: number,
            success,
            gas_used: 21_000,
            effective_gas_price: None,
        }))
    }

    async fn transaction_by_hash(&self, hash: B256) -> Result<Option<KnownTransaction>, RpcError> {
        self.ask("transaction_by_hash")?;
        let known = KnownTransaction { hash, from: SENDER, nonce: 4, block_number: None };
        Ok(self.in_pool.then_some(known))
    }
}

fn chain(agreement: usize, nodes: impl IntoIterator<Item = Told>) -> EvmNode {
    let config = ChainConfig { agreement, ..ChainConfig::new(ChainId::eip155(CHAIN).unwrap()) };
    EvmNode::new(nodes.into_iter().map(|node| -> Box<dyn EvmRpc> { Box::new(node) }), config)
}

/// The liar in every place among two honest nodes.
fn beside(liar: &Told, honest: &Told) -> Vec<EvmNode> {
    (0..3)
        .map(|place| {
            let mut nodes = vec![honest.clone(), honest.clone()];
            nodes.insert(place, liar.clone());
            chain(2, nodes)
        })
        .collect()
}

fn intent() -> Intent {
    const ID: &str = "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45";
    Intent {
        organization: ID.parse().unwrap(),
        transaction: ID.parse().unwrap(),
        key: ID.parse().unwrap(),
        chain: ChainId::eip155(CHAIN).unwrap(),
        kind: Kind::Transaction,
        from: SENDER,
        to: Some(Address::repeat_byte(3)),
        value: U256::ONE,
        data: Vec::new(),
        ceilings: Ceilings { gas: 100_000, fee_per_gas: 100 * GWEI, total: U256::MAX },
        vendor_account: None,
    }
}

fn mined(number: u64, confirmations: u64, succeeded: bool) -> Inclusion {
    Inclusion::Mined { block: number, block_hash: block(number).hash, confirmations, succeeded }
}

#[tokio::test]
async fn one_node_cannot_make_a_transaction_executed() {
    for liar in [
        Told { receipt: Some((10, true)), ..Told::truth() },
        Told { receipt: Some((20, false)), ..Told::truth() },
    ] {
        for node in beside(&liar, &Told::unseen()) {
            assert_eq!(node.inclusion(HASH).await.unwrap(), Inclusion::Unknown);
        }
    }
}

#[tokio::test]
async fn one_node_cannot_hide_or_change_an_execution() {
    let elsewhere = Told { receipt: Some((11, true)), ..Told::truth() };
    let reverted = Told { receipt: Some((10, false)), ..Told::truth() };
    let deeper = Told { head: 1_000_000, ..Told::truth() };
    for liar in [Told::unseen(), Told::down(), elsewhere, reverted, deeper] {
        for node in beside(&liar, &Told::truth()) {
            assert_eq!(node.inclusion(HASH).await.unwrap(), mined(10, 11, true));
        }
    }
}

#[tokio::test]
async fn confirmations_are_those_that_enough_nodes_have_seen() {
    let (near, far) = (Told { head: 12, ..Told::truth() }, Told { head: 30, ..Told::truth() });
    for (agreement, confirmations) in [(2, 11), (3, 3)] {
        let node = chain(agreement, [far.clone(), near.clone(), Told::truth()]);
        let Inclusion::Mined { confirmations: found, .. } = node.inclusion(HASH).await.unwrap() else {
            panic!("not mined");
        };
        // Two that answered first may be the shallower ones.
        assert!(found <= confirmations, "{found}");
    }
}

#[tokio::test]
async fn nodes_that_differ_settle_nothing() {
    let node = chain(2, [Told::truth(), Told::unseen()]);
    assert_eq!(node.inclusion(HASH).await.unwrap(), Inclusion::Queued);
    let node = chain(2, [Told::truth(), Told::down()]);
    assert!(matches!(node.inclusion(HASH).await, Err(NodeError::Unavailable(_))));
}

#[tokio::test]
async fn a_nonce_is_displaced_only_where_enough_nodes_know_neither_of_our_transactions() {
    let displaced = Told { nonce: 5, settled: 5, ..Told::unseen() };
    let ask = |node: EvmNode| async move { node.displaced((SENDER, 4), &[HASH], 3).await };
    for node in beside(&displaced, &Told::truth()) {
        assert!(!ask(node).await.unwrap(), "a liar alone");
    }
    let behind = Told { nonce: 4, settled: 4, ..Told::unseen() };
    assert!(
        !ask(chain(2, [displaced.clone(), behind, Told::truth()])).await.unwrap(),
        "a liar beside one that lags"
    );
    for node in beside(&Told::truth(), &displaced) {
        assert!(ask(node).await.unwrap());
    }
    for told in [
        Told { settled: 4, ..displaced.clone() },
        Told { settled: 9, nonce: 8, ..displaced.clone() },
        Told { head: 2, ..displaced.clone() },
        Told { in_pool: true, ..displaced.clone() },
    ] {
        assert!(!ask(chain(1, [told])).await.unwrap());
    }
    assert!(ask(chain(1, [displaced])).await.unwrap());
}

#[tokio::test]
async fn one_node_makes_nobody_poor_and_moves_no_nonce() {
    let poor = Told { balance: U256::ZERO, nonce: 1_000_000, ..Told::truth() };
    for node in beside(&poor, &Told::truth()) {
        let account = node.account(SENDER).await.unwrap();
        assert_eq!(account, AccountState { nonce: 5, balance: U256::from(1_000) });
    }
}

#[tokio::test]
async fn one_node_cannot_price_a_transaction_out() {
    let million = Told { base_fee: 1_000_000 * GWEI, ..Told::truth() };
    let above_intent = Told { base_fee: 60 * GWEI, ..Told::truth() };
    let greedy = Told { gas: Ok(30_000_000), ..Told::truth() };
    let reverting = Told { gas: Err(Reason::ExecutionReverted), ..Told::truth() };
    for liar in [million, above_intent, greedy, reverting] {
        for node in beside(&liar, &Told::truth()) {
            assert_eq!(node.price(&intent(), None).await.unwrap().gas_limit, 25_200);
        }
        for node in beside(&Told::truth(), &liar) {
            // Two refusals outvote the third, unless it was heard first.
            match node.price(&intent(), None).await {
                Ok(pricing) => assert_eq!(pricing.gas_limit, 25_200),
                Err(error) => assert!(matches!(error, NodeError::Rejected(_))),
            }
        }
        assert!(matches!(chain(1, [liar]).price(&intent(), None).await, Err(NodeError::Rejected(_))));
    }
}

#[tokio::test]
async fn a_word_on_fees_is_believed_for_a_while_but_never_for_a_replacement() {
    for (fee_quote_age_max_ms, asked) in [(60_000, 1), (0, 3)] {
        let told = Told { asked: Arc::default(), ..Told::truth() };
        let config =
            ChainConfig { fee_quote_age_max_ms, ..ChainConfig::new(ChainId::eip155(CHAIN).unwrap()) };
        let node = EvmNode::new([Box::new(told.clone()) as Box<dyn EvmRpc>], config);
        let mut pricing = node.price(&intent(), None).await.unwrap();
        for _ in 0..2 {
            pricing = node.price(&intent(), None).await.unwrap();
        }
        let quotes = || told.asked.lock().unwrap().iter().filter(|method| **method == "fee_quote").count();
        assert_eq!(quotes(), asked);
        node.price(&intent(), Some(&pricing)).await.unwrap();
        assert_eq!(quotes(), asked + 1);
    }
}

#[tokio::test]
async fn every_node_is_told_where_several_must_agree() {
    let silent = Told { send: Err(Reason::Other), ..Told::truth() };
    let honest = Told { asked: Arc::default(), ..Told::truth() };
    chain(2, [silent.clone(), honest.clone()]).broadcast(&[1]).await.unwrap();
    assert_eq!(honest.asked(), 1);
    let refused = chain(2, [silent.clone(), silent]).broadcast(&[1]).await;
    assert!(matches!(refused, Err(NodeError::Rejected(NodeRejection::Other))));
}

#[tokio::test]
async fn the_next_node_answers_for_one_that_is_down_or_on_another_chain() {
    let foreign = Told { chain: 1, ..Told::truth() };
    let unused = Told { asked: Arc::default(), ..Told::truth() };
    let node = chain(1, [Told::down(), foreign.clone(), Told::truth(), unused.clone()]);
    assert_eq!(node.account(SENDER).await.unwrap().nonce, 5);
    assert_eq!(unused.asked(), 0);
    assert!(matches!(chain(1, [foreign]).account(SENDER).await, Err(NodeError::WrongChain)));
    let all_down = chain(1, [Told::down(), Told::down()]);
    assert!(matches!(all_down.account(SENDER).await, Err(NodeError::Unavailable(_))));
}

#[tokio::test]
async fn a_refusal_is_not_taken_to_the_next_node() {
    let unused = Told { asked: Arc::default(), ..Told::truth() };
    let refusing = Told { send: Err(Reason::InsufficientFunds), ..Told::truth() };
    let refused = chain(1, [refusing, unused.clone()]).broadcast(&[1]).await;
    assert!(matches!(refused, Err(NodeError::Rejected(NodeRejection::InsufficientFunds))));
    assert_eq!(unused.asked(), 0);
}
