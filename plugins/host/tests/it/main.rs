//! The sandbox, driven through the public interface with real components. `deploy/guests` builds those
//! that are written in Rust.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bombs;
mod cache;
mod compile;
mod conformance;
mod fuzz;
mod guests;
mod history;
mod hostile;
mod imports;
mod languages;
mod matrix;
mod metrics;
mod orion;
mod outside;
mod patched;
mod record;
mod released;
mod reload;
mod schedule;
mod state;
mod velocity;
