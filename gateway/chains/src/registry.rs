//! The chains a deployment knows, each named by its CAIP-2 id.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use gateway_domain::chain::ChainId;
use serde::Deserialize;

use crate::evm::fees::FeePolicy;
use crate::evm::rpc::{EvmRpc, HttpEvmRpc, RpcLimits, RpcSetupError};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("chain `{0}` is configured twice")]
    Duplicate(ChainId),
    #[error("chain `{chain}`: {fault}")]
    Config { chain: ChainId, fault: &'static str },
}

/// URL of a node. `Debug` hides it, because it often holds an access key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NodeUrl(String);

impl NodeUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NodeUrl(..)")
    }
}

/// One chain of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// CAIP-2 id, such as `eip155:1`.
    pub id: ChainId,
    /// Nodes in order of preference; without one the chain can be signed for, not broadcast to.
    #[serde(default)]
    pub rpc_urls: Vec<NodeUrl>,
    /// Nodes that must say the same before a transaction counts as executed or failed. Default 1.
    #[serde(default = "defaults::agreement")]
    pub agreement: usize,
    /// Time to connect to a node. Default 2000.
    #[serde(default = "defaults::rpc_connect_timeout_ms")]
    pub rpc_connect_timeout_ms: u64,
    /// Time for one call to a node, answer included. Default 10000.
    #[serde(default = "defaults::rpc_call_timeout_ms")]
    pub rpc_call_timeout_ms: u64,
    /// Largest answer of a node. Default 2 MiB.
    #[serde(default = "defaults::rpc_response_bytes_max")]
    pub rpc_response_bytes_max: usize,
    /// Blocks, its own included, until a transaction counts as executed. Default 12.
    #[serde(default = "defaults::confirmations")]
    pub confirmations: u64,
    /// Default `ETH`.
    #[serde(default = "defaults::native_symbol")]
    pub native_symbol: String,
    /// Largest gas limit of one transaction. Default 3,000,000.
    #[serde(default = "defaults::gas_limit_max")]
    pub gas_limit_max: u64,
    /// Added to the node's gas estimate, in percent. Default 20.
    #[serde(default = "defaults::gas_limit_headroom_percent")]
    pub gas_limit_headroom_percent: u32,
    /// Largest fee in wei per gas. Default 500 gwei.
    #[serde(default = "defaults::fee_per_gas_max_wei")]
    pub fee_per_gas_max_wei: u64,
    /// Smallest tip in wei per gas. Default 0.01 gwei.
    #[serde(default = "defaults::priority_fee_min_wei")]
    pub priority_fee_min_wei: u64,
    /// Largest tip in wei per gas. Default 20 gwei.
    #[serde(default = "defaults::priority_fee_max_wei")]
    pub priority_fee_max_wei: u64,
    /// Room left for a rising base fee, in percent of the present one. Default 200.
    #[serde(default = "defaults::base_fee_percent")]
    pub base_fee_percent: u32,
    /// For how long a node's word on fees is believed for new transactions; 0 asks each time. Default 1000.
    #[serde(default = "defaults::fee_quote_age_max_ms")]
    pub fee_quote_age_max_ms: u64,
    /// By how much the block at which plugins read may lie behind this machine's clock. Default 600.
    #[serde(default = "defaults::block_age_max_seconds")]
    pub block_age_max_seconds: u64,
    /// Raise of a replacement's fee in thousandths, at least 125. Default 125.
    #[serde(default = "defaults::replacement_bump_permille")]
    pub replacement_bump_permille: u32,
}

mod defaults {
    pub(super) fn agreement() -> usize {
        1
    }
    pub(super) fn rpc_connect_timeout_ms() -> u64 {
        2_000
    }
    pub(super) fn rpc_call_timeout_ms() -> u64 {
        10_000
    }
    pub(super) fn rpc_response_bytes_max() -> usize {
        2 * 1024 * 1024
    }
    pub(super) fn confirmations() -> u64 {
        12
    }
    pub(super) fn native_symbol() -> String {
        "ETH".to_owned()
    }
    pub(super) fn gas_limit_max() -> u64 {
        3_000_000
    }
    pub(super) fn gas_limit_headroom_percent() -> u32 {
        20
    }
    pub(super) fn fee_per_gas_max_wei() -> u64 {
        500_000_000_000
    }
    pub(super) fn priority_fee_min_wei() -> u64 {
        10_000_000
    }
    pub(super) fn priority_fee_max_wei() -> u64 {
        20_000_000_000
    }
    pub(super) fn base_fee_percent() -> u32 {
        200
    }
    pub(super) fn fee_quote_age_max_ms() -> u64 {
        1_000
    }
    pub(super) fn block_age_max_seconds() -> u64 {
        600
    }
    pub(super) fn replacement_bump_permille() -> u32 {
        125
    }
}

impl ChainConfig {
    /// A chain with every default.
    pub fn new(id: ChainId) -> Self {
        Self {
            id,
            rpc_urls: Vec::new(),
            agreement: defaults::agreement(),
            rpc_connect_timeout_ms: defaults::rpc_connect_timeout_ms(),
            rpc_call_timeout_ms: defaults::rpc_call_timeout_ms(),
            rpc_response_bytes_max: defaults::rpc_response_bytes_max(),
            confirmations: defaults::confirmations(),
            native_symbol: defaults::native_symbol(),
            gas_limit_max: defaults::gas_limit_max(),
            gas_limit_headroom_percent: defaults::gas_limit_headroom_percent(),
            fee_per_gas_max_wei: defaults::fee_per_gas_max_wei(),
            priority_fee_min_wei: defaults::priority_fee_min_wei(),
            priority_fee_max_wei: defaults::priority_fee_max_wei(),
            base_fee_percent: defaults::base_fee_percent(),
            fee_quote_age_max_ms: defaults::fee_quote_age_max_ms(),
            block_age_max_seconds: defaults::block_age_max_seconds(),
            replacement_bump_permille: defaults::replacement_bump_permille(),
        }
    }

    /// A client of each node of the chain, in order of preference. Connects to nothing yet.
    pub fn rpc_clients(&self) -> Result<Vec<Box<dyn EvmRpc>>, RpcSetupError> {
        let limits = RpcLimits {
            connect_timeout: Duration::from_millis(self.rpc_connect_timeout_ms),
            call_timeout: Duration::from_millis(self.rpc_call_timeout_ms),
            response_bytes_max: self.rpc_response_bytes_max,
        };
        let client = |url: &NodeUrl| {
            HttpEvmRpc::new(url.expose(), limits).map(|node| -> Box<dyn EvmRpc> { Box::new(node) })
        };
        self.rpc_urls.iter().map(client).collect()
    }

    pub fn fee_policy(&self) -> FeePolicy {
        FeePolicy {
            base_fee_percent: self.base_fee_percent,
            priority_fee_min: self.priority_fee_min_wei.into(),
            priority_fee_max: self.priority_fee_max_wei.into(),
            fee_per_gas_max: self.fee_per_gas_max_wei.into(),
            replacement_bump_permille: self.replacement_bump_permille,
        }
    }

    pub fn fee_quote_age_max(&self) -> Duration {
        Duration::from_millis(self.fee_quote_age_max_ms)
    }

    pub fn block_age_max(&self) -> Duration {
        Duration::from_secs(self.block_age_max_seconds)
    }

    fn check(&self) -> Result<(), RegistryError> {
        let faults = [
            (
                !(1..=self.rpc_urls.len().max(1)).contains(&self.agreement),
                "`agreement` must be from 1 to the number of `rpc_urls`",
            ),
            (self.rpc_connect_timeout_ms == 0, "`rpc_connect_timeout_ms` must be at least 1"),
            (self.rpc_call_timeout_ms == 0, "`rpc_call_timeout_ms` must be at least 1"),
            (self.rpc_response_bytes_max < 65_536, "`rpc_response_bytes_max` must be at least 65536"),
            (self.confirmations == 0, "`confirmations` must be at least 1"),
            (self.block_age_max_seconds == 0, "`block_age_max_seconds` must be at least 1"),
            (self.gas_limit_max < 21_000, "`gas_limit_max` must be at least 21000"),
            (self.base_fee_percent < 100, "`base_fee_percent` must be at least 100"),
            (self.replacement_bump_permille < 125, "`replacement_bump_permille` must be at least 125"),
            (
                self.priority_fee_min_wei > self.priority_fee_max_wei,
                "`priority_fee_min_wei` exceeds `priority_fee_max_wei`",
            ),
            (
                self.priority_fee_max_wei > self.fee_per_gas_max_wei,
                "`priority_fee_max_wei` exceeds `fee_per_gas_max_wei`",
            ),
        ];
        match faults.into_iter().find(|(present, _)| *present) {
            Some((_, fault)) => Err(RegistryError::Config { chain: self.id, fault }),
            None => Ok(()),
        }
    }
}

/// The configured chains; a chain that is not here is neither signed for nor shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRegistry {
    chains: BTreeMap<ChainId, ChainConfig>,
}

impl ChainRegistry {
    pub fn new(configs: impl IntoIterator<Item = ChainConfig>) -> Result<Self, RegistryError> {
        let mut chains = BTreeMap::new();
        for config in configs {
            config.check()?;
            let id = config.id;
            if chains.insert(id, config).is_some() {
                return Err(RegistryError::Duplicate(id));
            }
        }
        Ok(Self { chains })
    }

    pub fn get(&self, id: ChainId) -> Option<&ChainConfig> {
        self.chains.get(&id)
    }

    /// In ascending order of id.
    pub fn iter(&self) -> impl Iterator<Item = &ChainConfig> {
        self.chains.values()
    }
}

#[cfg(test)]
mod tests;
