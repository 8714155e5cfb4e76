//! Black-box and cross-crate tests, in one binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod auth;
mod bad_input;
mod bounds;
mod contract_accounts;
mod control;
mod crash;
mod database;
mod encrypted;
mod fireblocks;
mod first_starts;
mod harness;
mod killed_under_load;
mod limits;
mod login;
mod main_job;
mod newcomer;
mod openapi;
mod operators;
mod ownership;
mod pair;
mod pinned;
mod plugin_authors;
mod plugin_languages;
mod plugin_outside;
mod plugin_staging;
mod plugin_state;
mod power_cut;
mod privy;
mod registration;
mod replacement;
mod revocation;
mod routes;
mod secrets;
mod shared_rates;
mod shared_replays;
mod shared_work;
mod stand;
mod tamper;
mod telemetry;
mod tidy;
mod token_loss;
mod tour;
mod two_gateways;
mod verification_services;
