//! One error for callers, by what they can do next; the module's own return code stays attached.

use std::{fmt, path::PathBuf};

use cryptoki::error::{Error as ModuleError, RvError};

use crate::{key::CkaId, lanes::Lane, status::State};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// The lane's queue is full; try again later.
    #[error("the `{lane}` lane is full")]
    Busy {
        /// The lane that refused.
        lane: Lane,
    },
    /// The operation did not end in time; whether the token did it is not known.
    #[error("`{operation}` did not end before its deadline")]
    DeadlineExceeded {
        /// The operation.
        operation: &'static str,
    },
    /// The signature's `not_after` passed: nothing was signed, or what was signed came too late and was dropped.
    #[error("`not_after` passed before the signature was there")]
    Expired,
    /// The HSM is not ready; nothing was sent to it, or what was sent failed with it.
    #[error("the hsm is {state}: {cause}")]
    Unavailable {
        /// The supervisor's state.
        state: State,
        /// Why, with the module's return code where there is one.
        cause: Cause,
    },
    /// No PIN is sent to the token until an operator clears the latch.
    #[error("the pin is latched: {0}")]
    PinLatched(Cause),
    /// The token works and holds no such key.
    #[error("no key with id `{}`", hex::encode(cka_id))]
    KeyNotFound {
        /// The id looked for.
        cka_id: CkaId,
    },
    /// The token's objects are not what the reference says: the caller's record is wrong or was changed.
    #[error("key `{}` does not match its reference: {mismatch}", hex::encode(cka_id))]
    KeyMismatch {
        /// The id looked for.
        cka_id: CkaId,
        /// What differs.
        mismatch: Mismatch,
    },
    /// The key is retired.
    #[error("key `{}` is retired", hex::encode(cka_id))]
    KeyRetired {
        /// The id.
        cka_id: CkaId,
    },
    /// Only a retired key can be destroyed.
    #[error("key `{}` is not retired", hex::encode(cka_id))]
    NotRetired {
        /// The id.
        cka_id: CkaId,
    },
    /// The key was made with `CKA_DESTROYABLE` false.
    #[error("key `{}` is permanent", hex::encode(cka_id))]
    Permanent {
        /// The id.
        cka_id: CkaId,
    },
    /// The key's algorithm cannot do what was asked.
    #[error("`{operation}` needs another key algorithm")]
    AlgorithmMismatch {
        /// The operation.
        operation: &'static str,
    },
    /// An argument is outside its limits.
    #[error("invalid input: {0}")]
    InvalidInput(&'static str),
    /// The module cannot do this.
    #[error("the module does not support {0}")]
    Unsupported(&'static str),
    /// The token returned a signature that its public key does not verify; it was not released.
    #[error("the token's signature does not verify")]
    VerificationFailed,
    /// Ciphertext, additional data or key do not belong together.
    #[error("decryption failed")]
    DecryptFailed,
    /// No token has the configured label and serial number.
    #[error("no token labelled `{label}`")]
    TokenNotFound {
        /// The configured label.
        label: String,
    },
    /// The token cannot be trusted to tell that a key is absent: it is logged out or its canary is gone.
    #[error("the token is not answering for its keys: {0}")]
    Doubtful(&'static str),
    /// The module refused a call.
    #[error("the module failed: {}", ReturnCode::of(.0))]
    Module(#[source] ModuleError),
    /// A file of ours could not be read, written or locked.
    #[error("file `{}` failed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A certificate request could not be composed.
    #[error("the certificate request could not be composed")]
    CertificateRequest(#[source] rcgen::Error),
    /// Shut down, or the worker died before it answered.
    #[error("the hsm layer is shut down")]
    ShutDown,
}

/// What differs between a reference and the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// `CKA_LABEL` of the private, public or secret object.
    Label,
    /// The public key's bytes or algorithm.
    PublicKey,
    /// The secret's type or length.
    Algorithm,
    /// The object is not sensitive, or can be extracted.
    Protection,
    /// There is not exactly one private (or secret) object.
    PrivateCount(usize),
    /// There is not exactly one public object.
    PublicCount(usize),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => formatter.write_str("label"),
            Self::PublicKey => formatter.write_str("public key"),
            Self::Algorithm => formatter.write_str("algorithm"),
            Self::Protection => formatter.write_str("protection attributes"),
            Self::PrivateCount(count) => write!(formatter, "{count} private objects"),
            Self::PublicCount(count) => write!(formatter, "{count} public objects"),
        }
    }
}

/// Error classes, as metrics count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The session was lost.
    Session,
    /// Logged out, or a handle went stale.
    Handle,
    /// Token, module or connection.
    Device,
    /// The request was wrong.
    Caller,
    /// A wrong or latched PIN.
    Pin,
    /// Overload or lateness.
    Load,
}

impl ErrorClass {
    /// Lower-case name, a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Handle => "handle",
            Self::Device => "device",
            Self::Caller => "caller",
            Self::Pin => "pin",
            Self::Load => "load",
        }
    }
}

impl HsmError {
    /// The class of the error by itself; the recovery ladder also asks for the session's state.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } | Self::DeadlineExceeded { .. } | Self::Expired => ErrorClass::Load,
            Self::PinLatched(_) => ErrorClass::Pin,
            Self::Module(error) => crate::recovery::class_of(error),
            Self::Doubtful(_) => ErrorClass::Handle,
            Self::Unavailable { .. }
            | Self::TokenNotFound { .. }
            | Self::VerificationFailed
            | Self::File { .. }
            | Self::ShutDown => ErrorClass::Device,
            Self::KeyNotFound { .. }
            | Self::KeyMismatch { .. }
            | Self::KeyRetired { .. }
            | Self::NotRetired { .. }
            | Self::Permanent { .. }
            | Self::AlgorithmMismatch { .. }
            | Self::InvalidInput(_)
            | Self::Unsupported(_)
            | Self::DecryptFailed
            | Self::CertificateRequest(_) => ErrorClass::Caller,
        }
    }

    /// The module's return code, when a module call failed.
    pub fn return_code(&self) -> Option<&RvError> {
        match self {
            Self::Module(ModuleError::Pkcs11(code, _)) => Some(code),
            _ => None,
        }
    }
}

impl From<ModuleError> for HsmError {
    fn from(error: ModuleError) -> Self {
        Self::Module(error)
    }
}

/// A failure kept for later readers: text, and the return code where a module call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What failed, for an operator.
    pub text: String,
    /// Such as `C_Login returned CKR_PIN_INCORRECT`.
    pub return_code: Option<String>,
}

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), return_code: None }
    }
}

impl From<&HsmError> for Cause {
    fn from(error: &HsmError) -> Self {
        match error {
            HsmError::Unavailable { cause, .. } | HsmError::PinLatched(cause) => cause.clone(),
            HsmError::Module(source) => {
                let code = ReturnCode::of(source).to_string();
                Self { text: "the module failed".to_owned(), return_code: Some(code) }
            }
            HsmError::File { source, .. } => Self::new(format!("{error}: {source}")),
            other => Self::new(other.to_string()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)?;
        match &self.return_code {
            Some(code) => write!(formatter, " ({code})"),
            None => Ok(()),
        }
    }
}

/// Writes a module error as the standard spells it: `C_Sign returned CKR_DEVICE_ERROR`.
struct ReturnCode<'a>(&'a ModuleError);

impl<'a> ReturnCode<'a> {
    fn of(error: &'a ModuleError) -> Self {
        Self(error)
    }
}

impl fmt::Display for ReturnCode<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModuleError::Pkcs11(code, function) = self.0 else { return write!(formatter, "{}", self.0) };
        match code {
            RvError::VendorDefined(value) | RvError::UnknownErrorCode(value) => {
                write!(formatter, "C_{function:?} returned 0x{value:08x}")
            }
            named => {
                write!(formatter, "C_{function:?} returned CKR")?;
                for character in format!("{named:?}").chars() {
                    if character.is_ascii_uppercase() {
                        formatter.write_str("_")?;
                    }
                    write!(formatter, "{}", character.to_ascii_uppercase())?;
                }
                Ok(())
            }
        }
    }
}
