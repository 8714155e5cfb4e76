//! The domain of Countersign: who may ask, what was asked, who agreed, and the one path to a signature.
//!
//! Nothing here knows HTTP, SQL, WebAssembly or PKCS#11. Outside parts are reached through the traits in
//! [`ports`]; every change leaves as a [`changes::ChangeSet`], which carries its audit events with it.
#![forbid(unsafe_code)]

pub mod actor;
pub mod approvals;
pub mod audit;
pub mod chain;
pub mod changes;
pub mod clock;
pub mod credentials;
pub mod entropy;
pub mod error;
pub mod evaluations;
pub mod fireblocks;
pub mod founding;
mod freezing;
pub mod history;
pub mod identity;
pub mod ids;
mod jws;
pub mod keys;
pub mod mac;
pub mod openpgp;
pub mod operators;
pub mod outbox;
pub mod payloads;
pub mod plugin_state;
pub mod policy;
pub mod ports;
pub mod quorums;
pub mod quota;
pub mod rates;
pub mod registrations;
pub mod registry;
pub mod sealed;
pub mod secrets;
pub mod sessions;
pub mod settings;
pub mod signing;
pub mod text;
pub mod transactions;
pub mod vaults;
pub mod vendors;
pub mod verification;

pub use actor::OpCtx;
pub use alloy_primitives::{Address, B256, U256};
pub use clock::{Clock, Timestamp};
pub use error::{Error, Result};
