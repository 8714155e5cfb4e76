//! `[outbox]`: work outside the database.

use std::time::Duration;

use super::section::section;

section! {
    /// Work that leaves the database: signing that waits, broadcasts, receipts.
    pub(crate) struct Outbox = "outbox" {
        /// Items taken at once.
        batch_max: u32 = 16, within 1..=10_000;
        /// Items worked on at once.
        concurrency_max: usize = 16, within 1..=10_000;
        /// Milliseconds for which an item belongs to the gateway that took it.
        lease_ms: u64 = 30_000, within 1000..=3_600_000;
        /// Milliseconds between looks for due items when nothing announces any.
        poll_interval_ms: u64 = 1000, within 10..=600_000;
        /// Milliseconds before a failed item is due again.
        retry_pause_ms: u64 = 2000, within 10..=3_600_000;
    }
}

impl Outbox {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    pub(crate) fn retry_pause(&self) -> Duration {
        Duration::from_millis(self.retry_pause_ms)
    }
}
