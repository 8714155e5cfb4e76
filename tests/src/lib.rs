//! Harness of the black-box tests and of the demo: the real gateway binary, a real EVM node, a real
//! PostgreSQL server, and the things that go wrong between them. Everything a test starts is owned by
//! a value whose drop ends it.

#![forbid(unsafe_code)]

pub mod anvil;
pub mod client;
pub mod cluster;
pub mod configuration;
pub mod contract_wallet;
pub mod deployment;
pub mod environment;
pub mod evaluations;
pub mod fault_proxy;
pub mod fireblocks;
pub mod gateway;
pub mod gpg;
pub mod guest;
pub mod kubo;
pub mod login_clients;
pub mod lying_node;
pub mod main_job;
pub mod node;
pub mod postgres;
pub mod privy;
pub mod process;
pub mod registry;
pub mod trace_receiver;
pub mod vendor;
pub mod wait;
pub mod wallet;
