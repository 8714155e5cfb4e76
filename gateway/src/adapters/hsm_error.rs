//! One table from the HSM layer's errors to what the domain's caller does next.

use std::time::Duration;

use gateway_domain::error::{Error, Internal};
use hsm::HsmError;

pub(super) fn translate(error: HsmError) -> Error {
    let away = |error: HsmError, retry_after| Error::Unavailable {
        what: "the HSM",
        retry_after,
        cause: Internal::new(error),
    };
    match error {
        HsmError::Busy { .. } => away(error, Duration::from_secs(1)),
        HsmError::DeadlineExceeded { .. }
        | HsmError::Expired
        | HsmError::Unavailable { .. }
        | HsmError::Doubtful(_)
        | HsmError::Module(_)
        | HsmError::File { .. }
        | HsmError::TokenNotFound { .. }
        | HsmError::ShutDown => away(error, Duration::from_secs(2)),
        HsmError::PinLatched(_) => away(error, Duration::from_mins(1)),
        HsmError::KeyMismatch { .. }
        | HsmError::KeyNotFound { .. }
        | HsmError::KeyRetired { .. }
        | HsmError::AlgorithmMismatch { .. }
        | HsmError::VerificationFailed => Error::Inconsistency(Internal::new(error)),
        HsmError::NotRetired { .. }
        | HsmError::Permanent { .. }
        | HsmError::InvalidInput(_)
        | HsmError::Unsupported(_)
        | HsmError::DecryptFailed
        | HsmError::CertificateRequest(_) => Error::Internal(Internal::new(error)),
    }
}
