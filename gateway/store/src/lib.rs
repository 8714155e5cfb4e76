//! The database of the gateway: one set of SQL for SQLite and PostgreSQL.
//!
//! Writes arrive as change sets, are turned into statements where they were made, and are applied by one writer
//! task that shares commits between them; reads use connections of their own and hand out sealed values only.
//! Engine-only SQL is in `dialect`, and each concept has a module with its statements and its row.
//!
//! Metrics, all named `countersign_store_*`: `commit_seconds` and `commit_group_size` per group,
//! `statements_total` of the writer, `round_trips_total` to the database, `sweep_seconds`, `conflicts_total` by what was contested, `group_retries_total`, `stale_claims_total`, `lapsed_leases_total`, and the
//! gauges `rows_proven`, `log_intact`, `commit_queue_depth`, `read_connections_idle` and `read_connections_used` that
//! [`Store::publish_metrics`] sets.
#![forbid(unsafe_code)]

mod archive;
mod attempts;
mod audit;
mod batch;
mod config;
mod connections;
mod credentials;
mod decisions;
mod dialect;
mod error;
mod exclusive;
mod fields;
mod file;
mod guards;
mod identity;
mod integrations;
mod keys;
mod known;
mod lease;
mod log_standing;
mod migrations;
mod operators;
mod outbox;
mod ownership;
mod permits;
mod plugin_state;
mod policy;
mod quorums;
mod rates;
mod reader;
mod registrations;
mod room;
mod seen;
mod sessions;
mod standings;
mod statement;
mod store;
mod sweep;
mod sweeper;
mod transactions;
mod unit;
mod vaults;
mod vendors;
mod verification;
mod writer;

pub use archive::AuditArchive;
pub use config::{DatabaseUrl, StoreConfig};
pub use error::StoreError;
pub use exclusive::Exclusive;
pub use integrations::sealed_secrets;
pub use log_standing::LogChange;
pub use migrations::{PendingMigration, migrate, pending_migrations};
pub use operators::CharterExpected;
pub use store::{Purged, Store};
pub use sweep::Sweep;
pub use sweeper::{Integrity, sweep_database};
