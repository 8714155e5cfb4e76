//! PKCS#11 for the gateway: one token, reached through session threads that a supervisor keeps alive.
//!
//! [`Hsm`] queues an operation in a [`Lane`]; a session thread takes it, finds the key's handle (comparing label,
//! public key and number of objects with the caller's reference), calls the module, verifies what it signed and
//! answers. Errors climb a ladder: another session; log-in and a new search for handles; `C_Finalize` and
//! `C_Initialize`. What the module did wrong stays attached to the error.
//!
//! Nothing here knows policies or transactions: whoever holds an [`Hsm`] can sign.

#![deny(unsafe_code)]

mod config;
mod error;
mod gate;
mod handle;
mod key;
mod key_map;
mod label;
mod lanes;
mod object;
mod operation;
mod pin_latch;
mod provision;
mod recovery;
mod shared;
mod startup_lock;
mod status;
mod storage;
mod supervisor;
mod telemetry;
mod token;
mod verifier;
mod watchdog;
mod worker;

pub use config::{HsmConfig, Pin, QueueBounds, Timeouts};
pub use error::{Cause, ErrorClass, HsmError, Mismatch};
pub use handle::Hsm;
pub use key::{
    CkaId, FoundKey, KeyAlgorithm, KeyReference, KeySpec, KeyUsage, PublicKey, SecretAlgorithm,
    SecretKeyReference, SecretKeySpec,
};
pub use label::{KeyLabel, LABEL_BYTES_MAX};
pub use lanes::Lane;
pub use operation::{
    csr::CsrSubject,
    decrypt::RsaDecryption,
    doctor::DoctorFacts,
    retire::{AnyKey, Destruction},
    sign::{DigestSignature, SignatureScheme},
};
pub use pin_latch::clear_pin_latch;
pub use provision::{SoftHsmPaths, export_softhsm_config, write_softhsm_config};
pub use status::{CanaryReport, CounterValues, State, Status};
pub use token::{TOKEN_EXISTS, check_security_officer, end_process, provision_token};
