//! The HTTP edge of Countersign. One folder per API family, with its routes, wire types, error dialect and
//! authorization table; the rest is shared plumbing.
//!
//! A handler translates: it reads a [`gateway_domain`] value from the wire, makes one domain call and renders the
//! outcome. What may be done, and by whom, is said in the family's authorization table and in the domain.
#![forbid(unsafe_code)]

mod answer;
mod auth;
mod config;
mod core;
mod extract;
mod failure;
mod layers;
pub mod openapi;
mod operator;
mod presentation;
mod state;
mod wording;

pub use config::{ApiConfig, EthSignatureConfig, Rate, RateConfig, SiweConfig};
pub use core::{internal_router, public_router};
pub use layers::{Place, Shares, subscriber};
pub use operator::{OperatorState, Readiness, ReadinessProbe, operator_api_router, operator_router};
pub use state::{ApiState, HealthProbe, OwnedTask, Spawner, StoreHealth};
