//! Which rung of the recovery ladder an error calls for. Modules disagree on codes (SoftHSM says
//! `CKR_OBJECT_HANDLE_INVALID` when logged out, NSS `CKR_HOST_MEMORY`), so the session's state decides with the code.

use cryptoki::{
    error::{Error as ModuleError, RvError},
    session::{Session, SessionState},
};

use crate::error::{ErrorClass, HsmError};

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// Give the error to the caller.
    Answer,
    /// Open another session and try once more.
    ReplaceSession,
    /// Log in if needed, find handles again and try once more.
    FindAgain,
    /// Open the breaker: finalize and initialize.
    Reinitialize,
}

/// What the module says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionHealth {
    LoggedIn,
    LoggedOut,
    Gone,
    DeviceFailed,
}

impl SessionHealth {
    pub(crate) fn of(session: &Session) -> Self {
        match session.get_session_info().map(|info| info.session_state()) {
            Ok(SessionState::RoUser | SessionState::RwUser) => Self::LoggedIn,
            Ok(SessionState::RoPublic | SessionState::RwPublic | SessionState::RwSecurityOfficer) => {
                Self::LoggedOut
            }
            Err(error) if class_of(&error) == ErrorClass::Session => Self::Gone,
            Err(_) => Self::DeviceFailed,
        }
    }
}

/// The class a return code has by itself.
pub(crate) fn class_of(error: &ModuleError) -> ErrorClass {
    let ModuleError::Pkcs11(code, _) = error else {
        return match error {
            ModuleError::LibraryLoading(_) | ModuleError::MissingSymbol(_) => ErrorClass::Device,
            _ => ErrorClass::Caller,
        };
    };
    match code {
        RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::OperationActive
        | RvError::OperationNotInitialized => ErrorClass::Session,
        RvError::UserNotLoggedIn | RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid => {
            ErrorClass::Handle
        }
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked
        | RvError::UserPinNotInitialized => ErrorClass::Pin,
        RvError::CryptokiNotInitialized
        | RvError::CryptokiAlreadyInitialized
        | RvError::Cancel
        | RvError::HostMemory
        | RvError::GeneralError
        | RvError::FunctionFailed
        | RvError::FunctionCanceled
        | RvError::FunctionRejected
        | RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SlotIdInvalid
        | RvError::SessionCount
        | RvError::CantLock
        | RvError::NeedToCreateThreads
        | RvError::MutexBad
        | RvError::MutexNotLocked
        | RvError::RandomNoRng
        | RvError::FipsSelfTestFailed
        | RvError::LibraryLoadFailed
        | RvError::VendorDefined(_)
        | RvError::UnknownErrorCode(_) => ErrorClass::Device,
        _ => ErrorClass::Caller,
    }
}

/// The rung for an error of an operation that ran on a session of this health.
pub(crate) fn rung(error: &HsmError, health: impl FnOnce() -> SessionHealth) -> Rung {
    let class = match error {
        HsmError::Module(source) => class_of(source),
        HsmError::Doubtful(_) => ErrorClass::Handle,
        // A token that returns false signatures must not be asked again before it was initialized and tested.
        HsmError::VerificationFailed => return Rung::Reinitialize,
        _ => return Rung::Answer,
    };
    match class {
        ErrorClass::Caller | ErrorClass::Pin | ErrorClass::Load => Rung::Answer,
        ErrorClass::Session => Rung::ReplaceSession,
        ErrorClass::Handle | ErrorClass::Device => match (health(), class) {
            (SessionHealth::Gone, _) => Rung::ReplaceSession,
            (SessionHealth::LoggedOut, _) | (SessionHealth::LoggedIn, ErrorClass::Handle) => Rung::FindAgain,
            (SessionHealth::LoggedIn | SessionHealth::DeviceFailed, _) => Rung::Reinitialize,
        },
    }
}

#[cfg(test)]
mod tests;
