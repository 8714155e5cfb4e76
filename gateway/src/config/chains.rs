//! `[[chains]]`, and the registry made of it.

use std::{path::PathBuf, time::Duration};

use gateway_chains::registry::{ChainConfig, ChainId, NodeUrl};
use gateway_domain::chain::ChainIdMalformed;

use super::{section::section, value::Secret};

section! {
    /// One chain; the table repeats. The first one is the chain of the EIP-712 domain. A chain that is not named here
    /// is neither signed for nor shown.
    pub(crate) struct Chain = "chains" {
        /// CAIP-2 id. Required.
        id: String = String::new(), like "\"eip155:1\"";
        /// Nodes in order of preference, separated by commas; a secret, because their URLs often hold access keys.
        /// Without one, the chain can be signed for and not broadcast to.
        rpc_urls: Option<Secret> = None, like "\"https://node-a.example, https://node-b.example\"";
        /// File that holds the nodes, instead of `rpc_urls`.
        rpc_urls_file: Option<PathBuf> = None, like "\"/run/secrets/ethereum-nodes\"";
        /// How many of the nodes must say the same before a transaction counts as executed or failed; at most as many as
        /// there are. With 2 or more, no single node can end one by a lie.
        agreement: usize = 1, within 1..=16;
        /// Milliseconds to connect to a node.
        rpc_connect_timeout_ms: u64 = 2000, within 1..=60_000;
        /// Milliseconds for one call to a node.
        rpc_call_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Bytes of a node's answer.
        rpc_response_bytes_max: usize = 2 << 20, within 65_536..=64 << 20;
        /// Blocks, its own included, until a transaction counts as executed.
        confirmations: u64 = 12, within 1..=100_000;
        /// Symbol of the chain's own coin.
        native_symbol: String = "ETH".to_owned();
        /// Gas limit of one transaction: the ceiling in new intents.
        gas_limit_max: u64 = 3_000_000, within 21_000..=u64::MAX;
        /// Percent added to the node's gas estimate.
        gas_limit_headroom_percent: u32 = 20, within 0..=1000;
        /// Wei per gas, tip included: the ceiling in new intents.
        fee_per_gas_max_wei: u64 = 500_000_000_000, within 1..=u64::MAX;
        /// Wei per gas of the smallest tip.
        priority_fee_min_wei: u64 = 10_000_000, within 0..=u64::MAX;
        /// Wei per gas of the largest tip.
        priority_fee_max_wei: u64 = 20_000_000_000, within 0..=u64::MAX;
        /// Percent of the present base fee that a new transaction offers, to leave room for a rise.
        base_fee_percent: u32 = 200, within 100..=10_000;
        /// Milliseconds for which a node's word on fees is believed for new transactions; 0 asks each time.
        fee_quote_age_max_ms: u64 = 1000, within 0..=60_000;
        /// Seconds by which the block at which plugins read the chain may lie behind this machine's clock; a node whose
        /// newest is older counts as away. A chain that makes blocks only on demand needs more. `dev` allows the most where
        /// no chain is configured.
        block_age_max_seconds: u64 = 600, within 10..=Chain::BLOCK_AGE_MOST;
        /// Thousandths by which a replacement raises the fee.
        replacement_bump_permille: u32 = 125, within 125..=10_000;
        /// Milliseconds after which a transaction that is not mined is replaced with a higher fee.
        stuck_after_ms: u64 = 180_000, within 1000..=86_400_000;
    }
}

impl Chain {
    /// Seconds that do for a node that makes blocks only on demand: a year.
    pub(crate) const BLOCK_AGE_MOST: u64 = 365 * 86_400;

    /// The chain of `dev` where the file names none: a development node on this machine.
    pub(super) fn local_node() -> Self {
        Self {
            id: "eip155:31337".to_owned(),
            rpc_urls: Some(Secret::new("http://127.0.0.1:8545".to_owned())),
            confirmations: 1,
            // Such a node makes a block when there is a transaction.
            block_age_max_seconds: Self::BLOCK_AGE_MOST,
            ..Self::default()
        }
    }

    pub(crate) fn chain_config(&self) -> Result<ChainConfig, ChainIdMalformed> {
        let id: ChainId = self.id.parse()?;
        let nodes = self.rpc_urls.as_ref().map_or("", Secret::expose);
        Ok(ChainConfig {
            id,
            rpc_urls: nodes
                .split([',', '\n'])
                .map(str::trim)
                .filter(|url| !url.is_empty())
                .map(NodeUrl::new)
                .collect(),
            agreement: self.agreement,
            rpc_connect_timeout_ms: self.rpc_connect_timeout_ms,
            rpc_call_timeout_ms: self.rpc_call_timeout_ms,
            rpc_response_bytes_max: self.rpc_response_bytes_max,
            confirmations: self.confirmations,
            native_symbol: self.native_symbol.clone(),
            gas_limit_max: self.gas_limit_max,
            gas_limit_headroom_percent: self.gas_limit_headroom_percent,
            fee_per_gas_max_wei: self.fee_per_gas_max_wei,
            priority_fee_min_wei: self.priority_fee_min_wei,
            priority_fee_max_wei: self.priority_fee_max_wei,
            base_fee_percent: self.base_fee_percent,
            fee_quote_age_max_ms: self.fee_quote_age_max_ms,
            block_age_max_seconds: self.block_age_max_seconds,
            replacement_bump_permille: self.replacement_bump_permille,
        })
    }

    pub(crate) fn stuck_after(&self) -> Duration {
        Duration::from_millis(self.stuck_after_ms)
    }
}
