//! `[fireblocks]`, and the vendors' bounds made of it.

use std::{collections::BTreeMap, time::Duration};

use gateway_domain::{chain::ChainId, fireblocks::Environment, quota::UserQuota, vendors::VendorLimits};

use super::{ConfigError, Limits, Privy, section::section, value::List};

section! {
    /// Execution by Fireblocks.
    pub(crate) struct Fireblocks = "fireblocks" {
        /// Whether users may integrate a Fireblocks workspace.
        enabled: bool = false;
        /// Root of the sandbox's API.
        sandbox_url: String = "https://sandbox-api.fireblocks.io".to_owned();
        /// Root of the API of region US.
        us_url: String = "https://api.fireblocks.io".to_owned();
        /// Root of the API of region EU.
        eu_url: String = "https://eu-api.fireblocks.io".to_owned();
        /// Root of the API of region EU2.
        eu2_url: String = "https://eu2-api.fireblocks.io".to_owned();
        /// Names of native assets, each as environment, chain and name. Those of test networks stand in the
        /// workspace's list of assets.
        assets: List = List(vec!["mainnet eip155:1 ETH".to_owned()]);
        /// Integrations an organization may have.
        integrations_max: u32 = 1000, within 0..=1_000_000;
        /// How often the key of one integration may be made anew within a day.
        recreations_max: u32 = 3, within 0..=1000;
        /// Milliseconds between validations of one integration, and between its completions.
        validation_pause_ms: u64 = 10_000, within 0..=3_600_000;
        /// Milliseconds between looks at a transaction that Fireblocks has.
        poll_interval_ms: u64 = 5000, within 10..=3_600_000;
        /// Seconds for which a transaction is looked for that Fireblocks no longer shows to the user's credentials, because
        /// they were made anew, or they or the question are refused. It ends as FAILED then, and counts as if it were
        /// executed.
        lost_after_seconds: u64 = 604_800, within 1..=31_536_000;
    }
}

impl Fireblocks {
    pub(crate) fn vendor_limits(&self, limits: &Limits, privy: &Privy) -> VendorLimits {
        VendorLimits {
            integrations: limits.quota(self.integrations_max),
            quorums: UserQuota {
                organization: limits.quota(privy.quorums_max),
                per_user_max: privy.quorums_per_user_max,
            },
            recreations_max: self.recreations_max,
            validation_pause: Duration::from_millis(self.validation_pause_ms),
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            lost_after: Duration::from_secs(self.lost_after_seconds),
        }
    }

    pub(crate) fn urls(&self) -> [(&'static str, &str); 4] {
        [
            ("fireblocks.sandbox_url", &self.sandbox_url),
            ("fireblocks.us_url", &self.us_url),
            ("fireblocks.eu_url", &self.eu_url),
            ("fireblocks.eu2_url", &self.eu2_url),
        ]
    }

    pub(crate) fn asset_names(&self) -> Result<BTreeMap<(Environment, ChainId), String>, ConfigError> {
        self.assets.0.iter().map(|text| read_asset(text)).collect()
    }
}

fn read_asset(text: &str) -> Result<((Environment, ChainId), String), ConfigError> {
    let mut parts = text.split_ascii_whitespace();
    let mut read = || {
        let word = parts.next()?;
        let environment = Environment::ALL.into_iter().find(|environment| environment.as_str() == word)?;
        let chain = parts.next()?.parse().ok()?;
        let plain = |name: &&str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let name = parts.next().filter(plain)?;
        parts.next().is_none().then(|| ((environment, chain), name.to_owned()))
    };
    read().ok_or_else(|| {
        ConfigError::Value(format!("`fireblocks.assets`: `{text}` must read like `mainnet eip155:1 ETH`"))
    })
}
