//! `[core]`: where the gateway keeps its files and whom it serves.

use std::{collections::BTreeMap, path::PathBuf};

use super::section::section;

section! {
    /// Where the gateway keeps its files, and whom the core API serves.
    pub(crate) struct Core = "core" {
        /// Directory of this instance's files: locks, PIN record, plugin cache. Created with mode 0700.
        data_dir: Option<PathBuf> = None, like "\"/var/lib/countersign\"";
        /// Organization of requests whose host is not in `hosts`: its id or name. Without it such requests are
        /// refused.
        organization: Option<String> = None, like "\"acme\"";
        /// Host of the request, port included where it is not the scheme's own, and the organization it means.
        hosts: BTreeMap<String, String> = BTreeMap::new();
    }
    nested { eth_signature: EthSignature }
}

section! {
    /// Requests signed by an Ethereum wallet.
    pub(crate) struct EthSignature = "core.eth_signature" {
        /// Accepts requests without `x-ethereum-timestamp`. They can be replayed within the window, and approve
        /// pending transactions only.
        allow_untimed: bool = false;
        /// Seconds by which the timestamp may differ from this machine's clock; replays are remembered as long.
        window_seconds: u64 = 300, within 1..=3600;
    }
}
