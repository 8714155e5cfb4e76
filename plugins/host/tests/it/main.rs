//! The sandbox, driven through the public interface with real components. `deploy/guests` builds those
//! that are written in Rust.

mod guests;
mod orion;
