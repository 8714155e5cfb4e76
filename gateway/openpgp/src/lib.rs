//! OpenPGP (RFC 9580) for the gateway: what certificates and messages of others are, a certificate around keys of the
//! token, and the opening of messages. Private keys are never here: signing and RSA decryption are asked of whoever
//! implements [`CertificateSigner`] and [`SessionKeyDecryptor`].
#![forbid(unsafe_code)]

mod armor;
mod certificate;
mod compose;
mod fault;
mod message;
mod open;
mod possession;

pub use certificate::{Certificate, inspect_key, read_fingerprint};
pub use compose::{CertificateSigner, ComposeError, RsaPublic, compose_certificate, rsa_key_id};
pub use fault::Fault;
pub use message::{Message, inspect_message};
pub use open::{Content, SessionKeyDecryptor, open_message};
pub use possession::verify_possession;
