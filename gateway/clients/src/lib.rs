//! Clients of outside systems: one way out of the gateway, and the vendors reached through it.
//!
//! [`egress`] is the only place that opens connections to hosts that somebody named in a request or a setting. The
//! vendors' modules compose requests and read answers; what they may send is decided in the domain.
#![forbid(unsafe_code)]

pub mod egress;
pub mod fireblocks;
pub mod privy;
pub mod upstream;
