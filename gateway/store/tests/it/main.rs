//! One conformance suite, run on SQLite and, where `COUNTERSIGN_TEST_POSTGRES_URL` names a server, on PostgreSQL.

mod database;
mod world;

//audit
//conflicts
//crashes
//groups
//guards
//limits
//migrations
//nonces
//outbox
//permits
mod round_trip;
//seals
//tenants
//write_once
