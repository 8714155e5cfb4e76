//! A chain with pool, blocks and reorganizations, behind a node that does not always say how it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use gateway_chains::evm::{keccak256, transaction::UnsignedTransaction};
use gateway_domain::{
    Address, B256, U256,
    chain::{
        AccountState, ChainNode, ContractQuestion, GasFee, Inclusion, NodeError, NodeRejection, Pricing,
    },
    transactions::Intent,
};

use super::chance::{Chance, Fuse};

pub(super) const CONFIRMATIONS: u64 = 3;
pub(super) const FEE_MAX: u128 = 500_000_000_000;

/// A signed transaction as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) hash: B256,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) nonce: u64,
}

#[derive(Default)]
struct Network {
    blocks: Vec<Vec<Sent>>,
    pool: Vec<Sent>,
    /// Taken by some node and passed on to nobody; it may turn up at any time.
    limbo: Vec<Sent>,
    /// The most blocks there ever were.
    highest: usize,
    /// Distinguishes blocks of one height.
    salt: u64,
    salts: Vec<u64>,
}

pub(super) struct SimulatedNode {
    network: Mutex<Network>,
    chance: Arc<Chance>,
    fuse: Arc<Fuse>,
    /// Percent of answers that are wrong or missing.
    faults: Mutex<u64>,
}

fn away<T>() -> Result<T, NodeError> {
    Err(NodeError::Unavailable("the simulated node is away".into()))
}

fn decode(raw: &[u8]) -> Sent {
    let (unsigned, signed) = UnsignedTransaction::decode_signed(raw).unwrap();
    Sent { hash: keccak256(raw), from: signed.sender, to: unsigned.to, nonce: unsigned.nonce }
}

impl Network {
    fn count(&self, address: Address, blocks: usize) -> u64 {
        let mined = self.blocks.iter().take(blocks).flatten().filter(|sent| sent.from == address).count();
        u64::try_from(mined).unwrap()
    }

    fn position(&self, hash: B256) -> Option<usize> {
        self.blocks.iter().position(|block| block.iter().any(|sent| sent.hash == hash))
    }

    /// What can be mined next, of each sender: replacements of one nonce compete.
    fn candidates(&self) -> BTreeMap<Address, Vec<Sent>> {
        let mut found: BTreeMap<Address, Vec<Sent>> = BTreeMap::new();
        for sent in &self.pool {
            if sent.nonce == self.count(sent.from, self.blocks.len()) {
                found.entry(sent.from).or_default().push(sent.clone());
            }
        }
        found
    }

    fn inclusion(&self, hash: B256) -> Inclusion {
        if let Some(position) = self.position(hash) {
            let height = u64::try_from(position).unwrap();
            let head = u64::try_from(self.blocks.len()).unwrap();
            return Inclusion::Mined {
                block: height,
                block_hash: keccak256(self.salts[position].to_be_bytes()),
                confirmations: head - height,
                succeeded: true,
            };
        }
        let is_pooled = self.pool.iter().any(|sent| sent.hash == hash);
        if is_pooled { Inclusion::Queued } else { Inclusion::Unknown }
    }
}

impl SimulatedNode {
    pub(super) fn new(chance: Arc<Chance>, fuse: Arc<Fuse>) -> Self {
        Self { network: Mutex::default(), chance, fuse, faults: Mutex::new(25) }
    }

    pub(super) fn be_honest(&self) {
        *self.faults.lock().unwrap() = 0;
        let mut network = self.network.lock().unwrap();
        let found: Vec<Sent> = network.limbo.drain(..).collect();
        network.pool.extend(found);
    }

    fn lies(&self) -> bool {
        self.chance.percent(*self.faults.lock().unwrap())
    }

    /// A block with one transaction of most senders, whichever of its replacements.
    pub(super) fn mine(&self) {
        let mut network = self.network.lock().unwrap();
        let mut block = Vec::new();
        for competing in network.candidates().into_values() {
            if self.chance.percent(90) {
                block.push(competing[self.chance.index(competing.len())].clone());
            }
        }
        network.pool.retain(|sent| {
            !block.iter().any(|mined: &Sent| mined.from == sent.from && mined.nonce >= sent.nonce)
        });
        network.salt += 1;
        let salt = network.salt;
        network.salts.push(salt);
        network.blocks.push(block);
        network.highest = network.highest.max(network.blocks.len());
    }

    /// Undoes blocks that nobody has reason to call settled; most of their transactions return to the pool.
    pub(super) fn reorganize(&self) {
        let depth = 1 + self.chance.below(CONFIRMATIONS - 1);
        let mut network = self.network.lock().unwrap();
        let settled = (network.highest + 1).saturating_sub(usize::try_from(CONFIRMATIONS).unwrap());
        for _ in 0..depth {
            if network.blocks.len() <= settled {
                return;
            }
            network.salts.pop();
            for sent in network.blocks.pop().unwrap_or_default() {
                if self.chance.percent(70) {
                    network.pool.push(sent);
                } else {
                    network.limbo.push(sent);
                }
            }
        }
    }

    /// The pool forgets something, or hears of something again.
    pub(super) fn shuffle_pool(&self) {
        let network = &mut *self.network.lock().unwrap();
        let (from, to) = if self.chance.percent(50) {
            (&mut network.pool, &mut network.limbo)
        } else {
            (&mut network.limbo, &mut network.pool)
        };
        if !from.is_empty() {
            to.push(from.remove(self.chance.index(from.len())));
        }
    }

    /// Hashes on the chain by recipient.
    pub(super) fn executions(&self) -> BTreeMap<Address, Vec<B256>> {
        let mut found: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
        for sent in self.network.lock().unwrap().blocks.iter().flatten() {
            found.entry(sent.to).or_default().push(sent.hash);
        }
        found
    }
}

#[async_trait]
impl ChainNode for SimulatedNode {
    async fn account(&self, address: Address) -> Result<AccountState, NodeError> {
        self.fuse.burn().await;
        let network = self.network.lock().unwrap();
        let true_nonce = network.count(address, network.blocks.len());
        let truth = AccountState { nonce: true_nonce, balance: U256::MAX };
        if !self.lies() {
            return Ok(truth);
        }
        match self.chance.below(5) {
            0 => away(),
            1 => Ok(AccountState { nonce: true_nonce.saturating_sub(1 + self.chance.below(3)), ..truth }),
            2 => Ok(AccountState { nonce: true_nonce + 1 + self.chance.below(3), ..truth }),
            3 => Ok(AccountState { nonce: self.chance.next(), ..truth }),
            _ => Ok(AccountState { balance: U256::from(self.chance.below(1_000)), ..truth }),
        }
    }

    async fn price(&self, intent: &Intent, replaces: Option<&Pricing>) -> Result<Pricing, NodeError> {
        self.fuse.burn().await;
        let base = replaces.map_or(1_000_000_000, |earlier| earlier.fee.max_per_gas() * 9 / 8 + 1);
        let fee = |max_fee_per_gas| GasFee::Dynamic { max_fee_per_gas, max_priority_fee_per_gas: 1 };
        let fair = Pricing { gas_limit: 21_000, fee: fee(base.min(FEE_MAX)) };
        if !self.lies() {
            return Ok(fair);
        }
        match self.chance.below(5) {
            0 => away(),
            1 => Ok(Pricing { fee: fee(1_000_000 * FEE_MAX), ..fair }),
            2 => Ok(Pricing { gas_limit: 30_000_000, ..fair }),
            3 => Ok(Pricing { fee: fee(intent.ceilings.fee_per_gas + 1), ..fair }),
            _ => Err(NodeError::Rejected(NodeRejection::Reverted)),
        }
    }

    async fn broadcast(&self, raw: &[u8]) -> Result<(), NodeError> {
        self.fuse.burn().await;
        let sent = decode(raw);
        let refused = || Err(NodeError::Rejected(NodeRejection::Other));
        let (answer, kept, lost) = match if self.lies() { self.chance.below(5) } else { 9 } {
            0 => (away(), false, false),
            1 => (away(), true, false),
            2 => (refused(), false, false),
            // Says no and mines it.
            3 => (refused(), true, false),
            // Says yes and loses it.
            4 => (Ok(()), false, true),
            _ => (Ok(()), true, false),
        };
        {
            let mut network = self.network.lock().unwrap();
            let is_usable = sent.nonce >= network.count(sent.from, network.blocks.len());
            if is_usable && lost {
                network.limbo.push(sent);
            } else if is_usable && kept && !network.pool.contains(&sent) {
                network.pool.push(sent);
            }
        }
        self.fuse.burn().await;
        answer
    }

    /// Honest where it answers: several nodes agree on what ends a transaction.
    async fn displaced(&self, account: (Address, u64), ours: &[B256], depth: u64) -> Result<bool, NodeError> {
        self.fuse.burn().await;
        if self.lies() {
            return away();
        }
        let network = self.network.lock().unwrap();
        let settled = network.blocks.len().saturating_sub(usize::try_from(depth).unwrap());
        let is_used = network.count(account.0, settled) > account.1;
        Ok(is_used && ours.iter().all(|hash| network.inclusion(*hash) == Inclusion::Unknown))
    }

    async fn inclusion(&self, hash: B256) -> Result<Inclusion, NodeError> {
        self.fuse.burn().await;
        let truth = self.network.lock().unwrap().inclusion(hash);
        if !self.lies() {
            return Ok(truth);
        }
        match self.chance.below(3) {
            0 => away(),
            1 => Ok(Inclusion::Unknown),
            _ => Ok(Inclusion::Queued),
        }
    }

    async fn takes_signature(&self, _: &ContractQuestion<'_>) -> Result<bool, NodeError> {
        away()
    }
}
