//! `[openpgp]`, `[ipfs]` and `[onchain_registry]`: encrypted payloads and where they are published.

use std::{path::PathBuf, time::Duration};

use gateway_domain::{
    Address, chain::ChainId, payloads::PayloadQuota, quota::UserQuota, registry::RegistryTarget,
};
use gateway_ipfs::KuboLimits;

use super::{ConfigError, Limits, section::section, value::Secret};

section! {
    /// Encrypted payloads for the built-in verification service.
    pub(crate) struct OpenPgp = "openpgp" {
        /// Bytes of a decrypted message, after at most one layer of compression.
        content_bytes_max: usize = 192 << 10, within 1024..=1 << 20;
        /// Encrypted payloads that are taken for one user within a day, for whichever service.
        payloads_per_user_daily_max: u32 = 500, within 1..=10_000_000;
        /// Bytes of encrypted payloads that are taken in an organization within a day, each counted as 4 KiB at least; of these,
        /// `limits.self_registered_share_percent` for users who enrolled themselves.
        payload_bytes_daily_max: u64 = 256 << 20, within 4096..=1 << 50;
    }
}

section! {
    /// Where encrypted payloads are pinned. Their blocks are always kept in the database.
    pub(crate) struct Ipfs = "ipfs" {
        /// RPC API of a Kubo node that pins them as well; a secret, because it may hold a password.
        kubo_url: Option<Secret> = None, like "\"http://127.0.0.1:5001\"";
        /// File that holds the URL, instead of `kubo_url`.
        kubo_url_file: Option<PathBuf> = None, like "\"/run/secrets/kubo-url\"";
        /// Milliseconds to connect to the Kubo node.
        connect_timeout_ms: u64 = 2000, within 1..=60_000;
        /// Milliseconds for one call to the Kubo node.
        call_timeout_ms: u64 = 15_000, within 1..=600_000;
    }
}

section! {
    /// The registry contract, on which OpenPGP keys and encrypted payloads are put on record.
    pub(crate) struct OnchainRegistry = "onchain_registry" {
        /// CAIP-2 id of its chain, one of `chains`. Without chain and address, keys cannot be registered and encrypted
        /// transactions are answered 503.
        chain: Option<String> = None, like "\"eip155:1\"";
        /// Address of the contract.
        address: Option<String> = None, like "\"0x5FbDB2315678afecb367f032d93F642f64180aa3\"";
        /// Gas limit of one record.
        gas_max: u64 = 200_000, within 21_000..=30_000_000;
        /// Wei per gas of one record.
        fee_per_gas_max_wei: u64 = 100_000_000_000, within 1..=u64::MAX;
        /// OpenPGP keys that an organization may put on record; each costs the relayer gas.
        keys_max: u32 = 10_000, within 0..=10_000_000;
        /// How many of them may be one user's.
        keys_per_user_max: u32 = 20, within 0..=1_000_000;
        /// Calls that an organization makes within a day, each of which costs the relayer gas; of these,
        /// `limits.self_registered_share_percent` in the names of users who enrolled themselves. Further keys and encrypted
        /// payloads are refused, and what was taken before waits to be put on record.
        calls_daily_max: u32 = 1000, within 1..=100_000_000;
        /// How many of them may be in one user's name.
        calls_per_user_daily_max: u32 = 100, within 1..=1_000_000;
        /// Milliseconds that a request waits for its record to be on chain, before it answers without.
        wait_ms: u64 = 10_000, within 0..=600_000;
    }
}

impl OpenPgp {
    pub(crate) fn payload_quota(&self, limits: &Limits) -> PayloadQuota {
        PayloadQuota {
            per_user_max: self.payloads_per_user_daily_max,
            bytes_max: self.payload_bytes_daily_max,
            self_registered_bytes_max: limits.share(self.payload_bytes_daily_max),
        }
    }
}

impl Ipfs {
    pub(crate) fn kubo_limits(&self) -> KuboLimits {
        KuboLimits {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            call_timeout: Duration::from_millis(self.call_timeout_ms),
        }
    }
}

impl OnchainRegistry {
    /// The contract, if one is configured.
    pub(crate) fn target(&self, limits: &Limits) -> Result<Option<RegistryTarget>, ConfigError> {
        let (chain, address) = match (&self.chain, &self.address) {
            (None, None) => return Ok(None),
            (Some(chain), Some(address)) => (chain, address),
            (Some(_), None) => return Err(ConfigError::Missing("onchain_registry.address")),
            (None, Some(_)) => return Err(ConfigError::Missing("onchain_registry.chain")),
        };
        let chain: ChainId = chain
            .parse()
            .map_err(|error| ConfigError::Value(format!("`onchain_registry.chain`: {error}")))?;
        let address: Address = address.parse().map_err(|_| {
            ConfigError::Value("`onchain_registry.address` must be `0x` and 40 hex digits".to_owned())
        })?;
        Ok(Some(RegistryTarget {
            chain,
            address,
            gas_max: self.gas_max,
            fee_per_gas_max: self.fee_per_gas_max_wei.into(),
            keys: UserQuota {
                organization: limits.quota(self.keys_max),
                per_user_max: self.keys_per_user_max,
            },
            calls: UserQuota {
                organization: limits.quota(self.calls_daily_max),
                per_user_max: self.calls_per_user_daily_max,
            },
            wait: Duration::from_millis(self.wait_ms),
        }))
    }
}
