//! Chains as the domain sees them: an identifier, pure coding of payloads, and a node that may lie.

use std::{fmt, str::FromStr, time::Duration};

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, transactions::Intent};

/// EIP-2294: larger ones do not fit the `v` of legacy signatures.
pub const CHAIN_ID_MAX: u64 = (u64::MAX / 2) - 36;

#[cfg(test)]
mod tests;

/// A CAIP-2 chain of namespace `eip155`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChainId(u64);

#[derive(Debug, thiserror::Error)]
#[error("a chain reads `eip155:<number>` with a number from 1 to {CHAIN_ID_MAX}")]
pub struct ChainIdMalformed;

/// Gas and fees, chosen when the permit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pricing {
    pub gas_limit: u64,
    pub fee: GasFee,
}

/// Base units per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GasFee {
    /// EIP-155, for chains without a base fee.
    Legacy { gas_price: u128 },
    /// EIP-1559.
    Dynamic { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
}

/// Bytes to be signed and the digest a key signs for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningPayload {
    pub bytes: Vec<u8>,
    pub digest: B256,
}

/// What a payload does, read back from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    pub chain: ChainId,
    pub nonce: u64,
    pub to: Option<Address>,
    pub value: U256,
    pub data: Vec<u8>,
    pub gas_limit: u64,
    pub max_fee_per_gas: u128,
}

/// A signed transaction, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPayload {
    pub raw: Vec<u8>,
    pub hash: B256,
}

/// A call that the gateway could decode from its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodedCall {
    /// `transfer(address,uint256)` and the like.
    pub function: String,
    pub arguments: Vec<DecodedArgument>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodedArgument {
    pub name: String,
    /// `address`, `uint256` and the like.
    pub kind: String,
    pub value: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PayloadInvalid(pub String);

/// Pure coding of a chain family's payloads.
pub trait PayloadCodec: Send + Sync {
    fn encode(
        &self,
        intent: &Intent,
        nonce: u64,
        pricing: &Pricing,
    ) -> Result<SigningPayload, PayloadInvalid>;

    /// Reads signing bytes back; refuses anything that is not canonical.
    fn decode(&self, bytes: &[u8]) -> Result<Projection, PayloadInvalid>;

    /// Joins payload and signature, recovers the sender and refuses any but `from`.
    fn assemble(
        &self,
        bytes: &[u8],
        signature: &[u8; 65],
        from: Address,
    ) -> Result<SignedPayload, PayloadInvalid>;

    /// The function a call's data names, where it is a known one.
    fn decode_call(&self, data: &[u8]) -> Option<DecodedCall>;

    /// The signer of an EIP-712 `Approval` (contract/core.md section 1.3), or why the signature is refused.
    fn recover_approval(&self, approval: &ApprovalText, signature: &[u8]) -> Result<Address, PayloadInvalid>;
}

/// The fields of an EIP-712 `Approval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalText {
    pub origin: String,
    /// Chain id of the EIP-712 domain.
    pub domain_chain: u64,
    pub organization: String,
    pub transaction: String,
    pub request_hash: B256,
    pub intent_hash: B256,
    pub approved: bool,
    pub expires: u64,
}

/// What a node says about an account and the market, checked for shape only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// Transactions of the account in the latest block.
    pub nonce: u64,
    pub balance: U256,
}

/// Where a broadcast transaction stands, as far as the chain's nodes can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inclusion {
    /// The node has never heard of it.
    Unknown,
    /// In the node's pool.
    Queued,
    Mined {
        block: u64,
        block_hash: B256,
        confirmations: u64,
        succeeded: bool,
    },
}

/// Why a node would not take a transaction; the closed list that clients may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRejection {
    NonceTooLow,
    InsufficientFunds,
    FeeTooLow,
    ReplacementUnderpriced,
    WrongChain,
    GasTooLow,
    Reverted,
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The node understood and refused.
    #[error("the node refused: {0:?}")]
    Rejected(NodeRejection),
    /// No usable answer; the same call may succeed later.
    #[error("the node is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The node answered another chain id than configured.
    #[error("the node is on another chain")]
    WrongChain,
}

/// Whether a contract takes a signature for its own (ERC-1271), and how sure the gateway wants to be.
#[derive(Clone, Copy, Debug)]
pub struct ContractQuestion<'a> {
    pub account: Address,
    pub digest: B256,
    pub signature: &'a [u8],
    /// Gas that the contract may use for its answer.
    pub gas_max: u64,
    /// How many nodes must say yes.
    pub agreement: usize,
    /// The block that is asked about must not be older; seconds since 1970.
    pub block_since: u64,
}

/// The nodes of one chain. Everything they say is a claim.
#[async_trait]
pub trait ChainNode: Send + Sync {
    async fn account(&self, address: Address) -> Result<AccountState, NodeError>;

    /// Gas and fees for the intent from market data, not above its ceilings. `replaces` is the pricing that a
    /// replacement must outbid.
    async fn price(&self, intent: &Intent, replaces: Option<&Pricing>) -> Result<Pricing, NodeError>;

    /// Sends a signed transaction; "already known" is success.
    async fn broadcast(&self, raw: &[u8]) -> Result<(), NodeError>;

    /// Whether the account's nonce is used for good, as of the block `depth` below the latest, by something other than
    /// the transactions `ours`, none of which the chain or a pool knows.
    async fn displaced(&self, account: (Address, u64), ours: &[B256], depth: u64) -> Result<bool, NodeError>;

    async fn inclusion(&self, hash: B256) -> Result<Inclusion, NodeError>;

    /// Whether the contract said yes at every node that answered about one finalized block, and those are enough. Nodes
    /// that are too few, or that differ about the block, are an error.
    async fn takes_signature(&self, question: &ContractQuestion<'_>) -> Result<bool, NodeError>;
}

/// A block by number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    pub number: u64,
    pub hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// A question about the state of a chain at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateRead {
    Balance(Address),
    TransactionCount(Address),
    Code(Address),
    Storage { address: Address, slot: B256 },
    Call { to: Address, data: Vec<u8> },
}

/// The least timestamp of a block that is not older than `age_max`; seconds since 1970.
pub fn block_since(now: Timestamp, age_max: Duration) -> u64 {
    u64::try_from(now.minus(age_max).unix_seconds()).unwrap_or(0)
}

/// Reads a chain's state for plugins. What is answered is a claim of as many nodes as the operator demands.
#[async_trait]
pub trait ChainState: Send + Sync {
    /// The newest block, to read from; one that is too old at `now` is none. Nodes that have not named theirs after
    /// `patience` are done without.
    async fn newest_block(&self, now: Timestamp, patience: Duration) -> Result<BlockRef, NodeError>;

    /// `0x` and hexadecimal digits: a quantity for balance and count, bytes for the others.
    async fn read(&self, block: &BlockRef, what: &StateRead) -> Result<String, NodeError>;
}

impl ChainId {
    pub fn eip155(number: u64) -> Result<Self, ChainIdMalformed> {
        if (1..=CHAIN_ID_MAX).contains(&number) { Ok(Self(number)) } else { Err(ChainIdMalformed) }
    }

    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl FromStr for ChainId {
    type Err = ChainIdMalformed;

    fn from_str(text: &str) -> Result<Self, ChainIdMalformed> {
        let number = text.strip_prefix("eip155:").ok_or(ChainIdMalformed)?;
        if !number.starts_with(|first: char| first.is_ascii_digit() && first != '0') {
            return Err(ChainIdMalformed);
        }
        Self::eip155(number.parse().map_err(|_| ChainIdMalformed)?)
    }
}

impl From<ChainId> for String {
    fn from(chain: ChainId) -> Self {
        chain.to_string()
    }
}

impl TryFrom<String> for ChainId {
    type Error = ChainIdMalformed;

    fn try_from(text: String) -> Result<Self, ChainIdMalformed> {
        text.parse()
    }
}

impl GasFee {
    /// The most that one unit of gas can cost.
    pub fn max_per_gas(self) -> u128 {
        match self {
            Self::Legacy { gas_price } => gas_price,
            Self::Dynamic { max_fee_per_gas, .. } => max_fee_per_gas,
        }
    }
}
