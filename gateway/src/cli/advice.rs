//! What somebody who meets an error for the first time can do about it. One table for every command.

use std::{error::Error as StdError, io};

use gateway_store::StoreError;
use hsm::{HsmError, State};

use crate::{config::ConfigError, data_dir::DataDirError, serve::ListenError};

/// By the first cause that there is something to say about.
pub(super) fn of(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(specific)
}

fn specific(cause: &(dyn StdError + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<HsmError>() {
        return Some(of_hsm(error));
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    if let Some(error) = cause.downcast_ref::<ListenError>() {
        return of_listener(error);
    }
    if let Some(DataDirError::Io { .. }) = cause.downcast_ref() {
        return Some(
            "it must be a directory that this user may read and write: correct its owner, or choose another with \
             `--data-dir` or `core.data_dir`",
        );
    }
    cause.downcast_ref::<ConfigError>().and_then(of_configuration)
}

fn of_configuration(error: &ConfigError) -> Option<&'static str> {
    match error {
        ConfigError::Read { .. } => Some("give the path of a file that this user may read"),
        ConfigError::Syntax { .. } => Some("texts need quotes, and a section is written `[section]`"),
        ConfigError::Value(_) => {
            Some("`countersign config-reference` lists every key, its type and its default")
        }
        ConfigError::Missing(_) => Some(
            "set it in the file given with `--config`, or in the environment as `COUNTERSIGN__SECTION__KEY`; \
             `countersign config-reference --example` prints a file to begin with",
        ),
        ConfigError::Rules(_) => None,
    }
}

fn of_listener(error: &ListenError) -> Option<&'static str> {
    match error.cause.kind() {
        io::ErrorKind::AddrInUse => Some(
            "another program listens there: stop it, or choose another address with `server.listen` and \
             `server.operator_listen`, for `dev` with `--listen` and `--operator-listen`",
        ),
        io::ErrorKind::AddrNotAvailable => {
            Some("this machine has no such address: correct `server.listen` or `server.operator_listen`")
        }
        io::ErrorKind::PermissionDenied => {
            Some("this user may not listen on ports below 1024: choose a higher one, behind a proxy")
        }
        _ => None,
    }
}

/// Also for `doctor`. The other variants say in their own text what to do.
pub(super) fn of_store(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::InUse(_) => Some(
            "a gateway or command with another data directory works on this database: stop it, or give each a database \
             of its own in `database.url`",
        ),
        StoreError::Lock(..) => Some("the lock lies beside the database: its directory must be writable"),
        StoreError::Connect(_) => Some(
            "check `database.url`: the directory of a SQLite file must exist and be writable; a PostgreSQL server must \
             run there and take user and password",
        ),
        StoreError::TimedOut | StoreError::Query(_) => {
            Some("look into the database's own log, and at its load")
        }
        _ => None,
    }
}

/// By return code first, for it says most.
pub(super) fn of_hsm(error: &HsmError) -> &'static str {
    if let HsmError::PinLatched(_) | HsmError::Unavailable { state: State::PinLatched, .. } = error {
        return "correct `hsm.pin` or `hsm.pin_file`, then run `countersign doctor --clear-pin-latch` once; if the \
                token has locked the PIN, its security officer must reset it first";
    }
    let text = error.to_string();
    if let Some((_, advice)) = BY_CODE.iter().find(|(code, _)| text.contains(code)) {
        return advice;
    }
    match error {
        HsmError::TokenNotFound { .. } => {
            "check `hsm.token_label` against what the module lists; a SoftHSM token also needs SOFTHSM2_CONF in the \
             environment. A new token is made by `countersign init --init-token`"
        }
        HsmError::InvalidInput(text) if *text == hsm::TOKEN_EXISTS => {
            "leave off `--init-token` and `--so-pin-file` to use that token, whose user PIN must be the one that the \
             configuration names; for a new one, choose another `hsm.token_label`"
        }
        HsmError::Doubtful(_) => {
            "the token answers but its canary key is missing: it is not the token that `countersign init` prepared"
        }
        HsmError::File { .. } => "check owner and permissions of `core.data_dir` and of the files in it",
        HsmError::DeadlineExceeded { .. } | HsmError::Busy { .. } => {
            "the token answers too slowly: check its load"
        }
        _ => {
            "check `hsm.module`, that it is installed (for SoftHSM the package softhsm2), and that this user may load it"
        }
    }
}

const BY_CODE: [(&str, &str); 13] = [
    ("CKR_TOKEN_NOT_PRESENT", "put the token in, or start the service that provides it"),
    ("CKR_TOKEN_NOT_RECOGNIZED", "the slot holds something that this module cannot use: check `hsm.module`"),
    (
        "CKR_USER_PIN_NOT_INITIALIZED",
        "have the token's security officer set a user PIN, the one of `hsm.pin`",
    ),
    ("CKR_PIN_LEN_RANGE", "the token wants a PIN of another length (SoftHSM: 4 to 255): change `hsm.pin`"),
    ("CKR_DEVICE_ERROR", "the device reports a fault: look into its own log, then restart it"),
    ("CKR_DEVICE_REMOVED", "reconnect the device"),
    ("CKR_DEVICE_MEMORY", "the token is full: retire and destroy unused keys, or use another token"),
    ("CKR_HOST_MEMORY", "this machine is out of memory"),
    (
        "CKR_GENERAL_ERROR",
        "the module failed without saying why: check its own configuration (for SoftHSM the file that SOFTHSM2_CONF \
         names) and permissions",
    ),
    (
        "CKR_FUNCTION_FAILED",
        "the module failed without saying why: check its own configuration and permissions",
    ),
    ("CKR_ARGUMENTS_BAD", "the module wants other initialization: check `hsm.init_string`"),
    ("CKR_CRYPTOKI_ALREADY_INITIALIZED", "another part of this process uses the module"),
    ("CKR_SESSION_COUNT", "the token allows fewer sessions: lower `hsm.session_threads`"),
];
