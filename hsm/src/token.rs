//! The module's life cycle and the search for the one token.

use std::{ffi::CString, path::Path, ptr::NonNull};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
};

use crate::{
    config::HsmConfig,
    error::{Cause, HsmError},
    gate::OpenToken,
    shared::Shared,
};

/// Loads the module for as long as the process lives: one that is unloaded runs code of its own, and threads that never came
/// back from it would return to where nothing is.
pub(crate) fn load(module: &Path) -> Result<Pkcs11, HsmError> {
    let pkcs11 = Pkcs11::new(module)?;
    std::mem::forget(pkcs11.clone());
    Ok(pkcs11)
}

/// `C_Initialize` with operating-system locking and the configured init string.
pub(crate) fn initialize(pkcs11: &Pkcs11, init_string: Option<&str>) -> Result<(), HsmError> {
    let Some(text) = init_string else {
        return Ok(pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?);
    };
    let text = CString::new(text).map_err(|_| HsmError::InvalidInput("the init string holds a zero byte"))?;
    // Leaked on purpose: a module may keep the pointer for as long as it is loaded. A few bytes per recovery.
    let reserved = NonNull::new(text.into_raw().cast()).expect("an owned string is not at address zero");
    #[expect(unsafe_code, reason = "the pointer is a valid C string for the rest of the process")]
    let arguments = unsafe { CInitializeArgs::new_with_reserved(CInitializeFlags::OS_LOCKING_OK, reserved) };
    Ok(pkcs11.initialize(arguments)?)
}

/// The slot whose token has the label, and the serial number where one is configured; there must be just one.
pub(crate) fn find(
    pkcs11: &Pkcs11,
    label: &str,
    serial: Option<&str>,
) -> Result<(Slot, TokenInfo), HsmError> {
    let mut found = None;
    for slot in pkcs11.get_slots_with_token()? {
        let token = pkcs11.get_token_info(slot)?;
        if token.label() != label || serial.is_some_and(|serial| token.serial_number() != serial) {
            continue;
        }
        if found.replace((slot, token)).is_some() {
            return Err(HsmError::InvalidInput(
                "two tokens have the configured label: set the serial number",
            ));
        }
    }
    found.ok_or_else(|| HsmError::TokenNotFound { label: label.to_owned() })
}

/// A session that is never closed behind our back: after `C_Finalize` its number may be another session's.
pub(crate) fn open_session(token: &OpenToken) -> Result<Session, HsmError> {
    Ok(token.pkcs11.open_rw_session_no_drop(token.slot)?)
}

/// Logs in through `session` under the caller's hold of the start-up lock.
pub(crate) fn login(shared: &Shared, token: &OpenToken, session: &Session) -> Result<(), HsmError> {
    let flags = token.pkcs11.get_token_info(token.slot)?;
    let counter = &shared.status.counters.login_calls;
    shared.latch.login(session, &flags, &shared.config.pin, || crate::status::count(counter))
}

/// Ends the process with this exit code, at once. Nothing is dropped and no exit handler runs, so whatever is to be seen
/// must have been flushed.
///
/// Modules have exit handlers that take their own locks: while another thread is inside, in `C_Finalize` or in a call that
/// never comes back, a `main` that returns waits there for ever (seen with SoftHSM 2.6.1), and a process that ends to be
/// started anew would not end.
pub fn end_process(code: u8) -> ! {
    #[expect(unsafe_code, reason = "the call has no precondition, and does not return")]
    unsafe {
        libc::_exit(code.into())
    }
}

/// Initializes a fresh token in the first slot that has none, and sets both PINs. For development and tests.
///
/// The module is loaded, initialized and finalized again, so this must come before `Hsm::start` in a process. SoftHSM
/// reads the path of its configuration from `SOFTHSM2_CONF` in this process's environment; the caller's launcher sets
/// it (see [`crate::write_softhsm_config`]). The canary key is made by the first `Hsm::start` with `create_canary`.
pub fn provision_token(config: &HsmConfig, so_pin: &crate::Pin) -> Result<(), HsmError> {
    let pkcs11 = load(&config.module)?;
    initialize(&pkcs11, config.init_string.as_deref())?;
    let outcome = provision(&pkcs11, config, so_pin);
    pkcs11.finalize()?;
    outcome
}

/// Has the token check its security officer's PIN, once. The module is loaded, initialized and finalized again, so this must
/// come before `Hsm::start` in a process, and while no other process has a session of a user.
///
/// A token that counts wrong PINs and is near its end is not asked: some erase all keys after the last one.
pub fn check_security_officer(config: &HsmConfig, so_pin: &crate::Pin) -> Result<(), HsmError> {
    let pkcs11 = load(&config.module)?;
    initialize(&pkcs11, config.init_string.as_deref())?;
    let outcome = log_security_officer_in(&pkcs11, config, so_pin);
    pkcs11.finalize()?;
    outcome
}

fn log_security_officer_in(pkcs11: &Pkcs11, config: &HsmConfig, so_pin: &crate::Pin) -> Result<(), HsmError> {
    let refused = |text: String| HsmError::Unavailable { state: crate::State::Down, cause: Cause::new(text) };
    let (slot, token) = find(pkcs11, &config.token_label, config.token_serial.as_deref())?;
    if token.so_pin_locked() || token.so_pin_final_try() {
        let text = "the token has counted wrong PINs of its security officer: one more could erase it";
        return Err(refused(text.to_owned()));
    }
    let session = pkcs11.open_rw_session(slot)?;
    let login = session.login(UserType::So, Some(so_pin.secret()));
    login.map_err(|error| refused(format!("the token refused the security officer's PIN: {error}")))?;
    Ok(session.logout()?)
}

/// Why [`provision_token`] makes no token with the label of another.
pub const TOKEN_EXISTS: &str = "a token with this label exists already";

fn provision(pkcs11: &Pkcs11, config: &HsmConfig, so_pin: &crate::Pin) -> Result<(), HsmError> {
    match find(pkcs11, &config.token_label, config.token_serial.as_deref()) {
        Err(HsmError::TokenNotFound { .. }) => {}
        Ok(_) => return Err(HsmError::InvalidInput(TOKEN_EXISTS)),
        Err(error) => return Err(error),
    }
    for slot in pkcs11.get_slots_with_token()? {
        if pkcs11.get_token_info(slot)?.token_initialized() {
            continue;
        }
        pkcs11.init_token(slot, so_pin.secret(), &config.token_label)?;
        let session = pkcs11.open_rw_session(slot)?;
        session.login(UserType::So, Some(so_pin.secret()))?;
        session.init_pin(config.pin.secret())?;
        session.logout()?;
        return Ok(());
    }
    Err(HsmError::Unavailable {
        state: crate::State::Down,
        cause: Cause::new("the module has no slot with an uninitialized token"),
    })
}
