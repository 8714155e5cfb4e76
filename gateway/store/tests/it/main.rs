//! One conformance suite, run on SQLite and, where `COUNTERSIGN_TEST_POSTGRES_URL` names a server, on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod database;
mod vaults;
mod world;

mod audit;
mod conflicts;
mod crashes;
mod files;
mod full_disk;
mod groups;
mod guards;
mod history;
mod leases;
mod limits;
mod migrations;
mod nonces;
mod outbox;
mod permits;
mod plugin_state;
mod quotas;
mod rates;
mod round_trip;
mod seals;
mod sessions;
mod statements;
mod sweeps;
mod tenants;
mod write_once;
