//! The operations, one file each. Every one is an `impl Hsm` whose closure runs on a session thread.

pub(crate) mod canary;
pub(crate) mod csr;
pub(crate) mod decrypt;
pub(crate) mod doctor;
pub(crate) mod find;
pub(crate) mod generate;
pub(crate) mod generate_secret;
pub(crate) mod hmac;
pub(crate) mod random;
pub(crate) mod retire;
pub(crate) mod seal;
pub(crate) mod sign;
