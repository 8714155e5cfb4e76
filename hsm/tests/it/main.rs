//! The HSM layer against real modules: SoftHSM, NSS softokn, and SoftHSM behind a p11-kit server that can be stopped.

mod certificate;
mod faults;
mod harness;
mod keys;
mod limits;
mod measure;
mod pin;
mod remote;
mod second_module;
mod secrets;
mod signing;
