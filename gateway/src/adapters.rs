//! The domain's ports, answered by the HSM, the plugin host and the operating system.

pub(crate) mod checkpoint_signer;
pub(crate) mod evaluator;
pub(crate) mod fireblocks;
pub(crate) mod node;
pub(crate) mod openpgp;
pub(crate) mod outside;
pub(crate) mod privy;
pub(crate) mod relayer;
pub(crate) mod secrets;
pub(crate) mod signer;
pub(crate) mod system;
pub(crate) mod token_keys;
pub(crate) mod token_signer;

mod hsm_error;
mod key_reference;
