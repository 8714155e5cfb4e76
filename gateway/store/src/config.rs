//! Where the database is and how much of it may be used.

use std::{fmt, time::Duration};

/// A connection URL. Its `Debug` shows the engine only: the rest may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// Every bound of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite:///absolute/path` or `postgres://..`.
    pub url: DatabaseUrl,
    /// Applies pending migrations when opening; otherwise a database that lacks some is refused. Default false.
    pub migrate: bool,
    /// Whether several processes may use a SQLite database at once. An owned one is taken over at once after a crash;
    /// a shared one, like every PostgreSQL database, when leases and permits have run out. Default false.
    pub shared: bool,
    /// Connections for reads. Default 4.
    pub read_connections_max: u32,
    /// The longest a read may take, waiting for a connection included. Default 5 s.
    pub read_timeout: Duration,
    /// Change sets that may wait for the writer; more are refused. Default 1024.
    pub commit_queue_max: usize,
    /// A change set that waited longer is refused unapplied. Default 5 s.
    pub commit_wait_max: Duration,
    /// Change sets that may share one commit. Default 64.
    pub commit_group_max: usize,
    /// The longest that applying and committing one group may take, and that a server waits for a process which stands
    /// still in between. Default 10 s.
    pub commit_timeout: Duration,
    /// How often a group is applied again after a deadlock or a lost connection. Default 3.
    pub commit_retries_max: u32,
    /// How long SQLite waits for another process's lock. Default 5 s.
    pub busy_timeout: Duration,
    /// How long a process that shares the database may stand still before its permits are refused. Default 15 s.
    pub lease: Duration,
    /// Whether permits wait until a sweep has found every sealed row as the audit log says. Default true.
    pub sweep_before_permits: bool,
    /// The pause between two sweeps. Default 1 h.
    pub sweep_interval: Duration,
    /// The longest that a sweep may take. Default 1 h.
    pub sweep_timeout: Duration,
    /// Rows whose newest version this process remembers, so that an older one is noticed at once. Default 100,000.
    pub rows_remembered_max: usize,
    /// The largest that a SQLite database may grow. Default 1 TiB.
    pub file_bytes_max: u64,
    /// Changes are refused when less is free on the disk of a SQLite database; 0 switches that off. Default 64 MiB.
    pub free_bytes_min: u64,
}

impl StoreConfig {
    /// The documented defaults for a database.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            migrate: false,
            shared: false,
            read_connections_max: 4,
            read_timeout: Duration::from_secs(5),
            commit_queue_max: 1024,
            commit_wait_max: Duration::from_secs(5),
            commit_group_max: 64,
            commit_timeout: Duration::from_secs(10),
            commit_retries_max: 3,
            busy_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            sweep_before_permits: true,
            sweep_interval: Duration::from_hours(1),
            sweep_timeout: Duration::from_hours(1),
            rows_remembered_max: 100_000,
            file_bytes_max: 1 << 40,
            free_bytes_min: 64 << 20,
        }
    }
}

impl StoreConfig {
    /// SQLite counts in pages of 4096 bytes.
    pub(crate) fn pages_max(&self) -> u64 {
        (self.file_bytes_max / 4096).clamp(1, u64::from(u32::MAX - 1))
    }
}

impl DatabaseUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once(':').map_or("unknown", |(scheme, _)| scheme);
        write!(f, "DatabaseUrl({scheme}:..)")
    }
}
