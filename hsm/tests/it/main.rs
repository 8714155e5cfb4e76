//! The HSM layer against real modules: SoftHSM, NSS softokn, and SoftHSM behind a p11-kit server that can be stopped.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certificate;
mod faults;
mod harness;
mod keys;
mod limits;
mod pin;
mod remote;
mod second_module;
mod secrets;
mod signing;
