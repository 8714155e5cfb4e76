//! `[audit]`: checkpoints of the audit log.

use std::{path::PathBuf, time::Duration};

use super::section::section;

section! {
    /// The audit log's checkpoints.
    pub(crate) struct Audit = "audit" {
        /// Entries after which a checkpoint is signed.
        checkpoint_entries: u64 = 1000, within 1..=1_000_000;
        /// Milliseconds after which unsigned entries get a checkpoint.
        checkpoint_interval_ms: u64 = 10_000, within 10..=3_600_000;
        /// File to which every checkpoint is appended; keep it where a database administrator cannot write.
        witness_file: Option<PathBuf> = None, like "\"/var/log/countersign/witness.jsonl\"";
        /// Fingerprint of the key that signs checkpoints, as `countersign init` showed it: SHA-256 of the public
        /// point, 64 hex digits. `countersign audit verify` takes it where `--key` is not given.
        key_fingerprint: Option<String> = None,
            like "\"0000000000000000000000000000000000000000000000000000000000000000\"";
    }
}

impl Audit {
    pub(crate) fn checkpoint_interval(&self) -> Duration {
        Duration::from_millis(self.checkpoint_interval_ms)
    }
}
