//! `[database]`, and the store's configuration made of it.

use std::{path::PathBuf, time::Duration};

use gateway_store::{DatabaseUrl, StoreConfig};

use super::{ConfigError, section::section, value::Secret};

section! {
    /// The database: SQLite beside the gateway, or PostgreSQL shared by several.
    pub(crate) struct Database = "database" {
        /// `sqlite:///absolute/path` or `postgres://user:password@host/name`. A SQLite file that
        /// others can reach must be its owner's alone (mode 0600), as it is made.
        url: Option<Secret> = None, like "\"sqlite:///var/lib/countersign/countersign.db\"";
        /// File that holds the URL, instead of `url`.
        url_file: Option<PathBuf> = None, like "\"/run/secrets/countersign-database-url\"";
        /// Applies pending migrations at start; otherwise `countersign migrate` does.
        migrate: bool = false;
        /// Connections for reads.
        read_connections_max: u32 = 4, within 1..=1000;
        /// Milliseconds for a read, waiting for a connection included.
        read_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Changes that wait for the writer; more are answered 503.
        commit_queue_max: usize = 1024, within 1..=1_000_000;
        /// Milliseconds after which a waiting change is refused unapplied.
        commit_wait_max_ms: u64 = 5000, within 1..=600_000;
        /// Changes that share one commit.
        commit_group_max: usize = 64, within 1..=10_000;
        /// Milliseconds for applying and committing one group. PostgreSQL undoes what a gateway leaves open longer.
        commit_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// How often a group is applied again after a deadlock or a lost connection.
        commit_retries_max: u32 = 3, within 0..=100;
        /// Milliseconds that SQLite waits for another process's lock.
        busy_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Milliseconds that a gateway on a shared database may stand still; then nothing that it had prepared is
        /// signed, and it decides anew.
        lease_ms: u64 = 15_000, within 1000..=600_000;
        /// Whether nothing is signed until every sealed row has been compared with the audit log: none may be missing,
        /// older than the newest that was written, or foreign. `false` still compares and tells, but signs.
        sweep_before_permits: bool = true;
        /// Seconds between two such comparisons.
        sweep_interval_seconds: u64 = 3600, within 1..=31_536_000;
        /// Seconds after which a comparison is given up.
        sweep_timeout_seconds: u64 = 3600, within 1..=86_400;
        /// Rows whose newest version the gateway remembers, so that an older one in its place is refused at once.
        rows_remembered_max: usize = 100_000, within 1..=100_000_000;
        /// Bytes to which a SQLite database may grow; then changes are answered 503.
        file_bytes_max: u64 = 1 << 40, within 1 << 20..=1 << 44;
        /// Bytes that must be free on the disk of a SQLite database; with less, changes are answered 503. 0 switches
        /// the check off.
        free_bytes_min: u64 = 64 << 20, within 0..=1 << 44;
    }
}

impl Database {
    pub(crate) fn store_config(&self) -> Result<StoreConfig, ConfigError> {
        let url = self.url.as_ref().ok_or(ConfigError::Missing("database.url"))?;
        Ok(StoreConfig {
            url: DatabaseUrl::new(url.expose()),
            migrate: self.migrate,
            shared: false,
            read_connections_max: self.read_connections_max,
            read_timeout: Duration::from_millis(self.read_timeout_ms),
            commit_queue_max: self.commit_queue_max,
            commit_wait_max: Duration::from_millis(self.commit_wait_max_ms),
            commit_group_max: self.commit_group_max,
            commit_timeout: Duration::from_millis(self.commit_timeout_ms),
            commit_retries_max: self.commit_retries_max,
            busy_timeout: Duration::from_millis(self.busy_timeout_ms),
            lease: Duration::from_millis(self.lease_ms),
            sweep_before_permits: self.sweep_before_permits,
            sweep_interval: Duration::from_secs(self.sweep_interval_seconds),
            sweep_timeout: Duration::from_secs(self.sweep_timeout_seconds),
            rows_remembered_max: self.rows_remembered_max,
            file_bytes_max: self.file_bytes_max,
            free_bytes_min: self.free_bytes_min,
        })
    }
}
