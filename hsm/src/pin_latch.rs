//! A wrong PIN is sent once. The record is on disk before `C_Login` is called, so that neither a restart nor a
//! sibling process repeats an attempt that was refused, or whose outcome a crash hid too often.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use cryptoki::{
    error::{Error as ModuleError, RvError},
    session::{Session, UserType},
    slot::TokenInfo,
};

use crate::{
    config::{HsmConfig, Pin},
    error::{Cause, ErrorClass, HsmError},
    recovery,
};

/// What the record says; it never holds anything computed from the PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    /// Log-ins that were begun and not seen to end.
    Unresolved(u32),
    /// The token refused the PIN, with this code.
    Refused(String),
    /// An operator allowed one attempt in spite of the token's flags.
    Cleared,
}

pub(crate) struct PinLatch {
    path: PathBuf,
    unresolved_max: u32,
}

/// Allows one more log-in attempt after an operator has put the PIN right.
///
/// The next start tries once, even if the token's flags tell of an earlier wrong PIN.
pub fn clear_pin_latch(pin_record_path: &Path) -> Result<(), HsmError> {
    write(pin_record_path, &Record::Cleared)
}

impl PinLatch {
    pub(crate) fn new(config: &HsmConfig) -> Self {
        Self { path: config.pin_record_path.clone(), unresolved_max: config.pin_unresolved_max }
    }

    /// Logs the application in through this session, unless the record or the token's flags speak against it.
    /// `before` runs once, right before `C_Login`.
    pub(crate) fn login(
        &self,
        session: &Session,
        token: &TokenInfo,
        pin: &Pin,
        before: impl FnOnce(),
    ) -> Result<(), HsmError> {
        let record = read(&self.path)?;
        let attempts = self.admit(record.as_ref(), token)?;
        write(&self.path, &Record::Unresolved(attempts))?;
        before();
        match session.login(UserType::User, Some(pin.secret())) {
            Ok(()) | Err(ModuleError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => remove(&self.path),
            Err(error) if recovery::class_of(&error) == ErrorClass::Pin => {
                let error = HsmError::Module(error);
                let cause = Cause::from(&error);
                write(&self.path, &Record::Refused(cause.return_code.clone().unwrap_or_default()))?;
                Err(HsmError::PinLatched(cause))
            }
            Err(error) => {
                // The module said that something else failed: no attempt was counted against the PIN.
                match record {
                    Some(record) => write(&self.path, &record)?,
                    None => remove(&self.path)?,
                }
                Err(error.into())
            }
        }
    }

    /// The number to record for the attempt about to be made.
    fn admit(&self, record: Option<&Record>, token: &TokenInfo) -> Result<u32, HsmError> {
        let latched = |text: String| Err(HsmError::PinLatched(Cause::new(text)));
        if token.user_pin_locked() {
            return latched("the token has locked the user pin".to_owned());
        }
        match record {
            Some(Record::Cleared) => Ok(1),
            Some(Record::Refused(code)) => latched(format!("the token refused the pin before ({code})")),
            Some(Record::Unresolved(attempts)) if *attempts >= self.unresolved_max => {
                latched(format!("{attempts} log-in attempts had no known outcome"))
            }
            // The only sign that a gateway on another host may have tried this PIN already.
            _ if token.user_pin_final_try() || token.user_pin_count_low() => {
                latched("the token reports an earlier wrong pin".to_owned())
            }
            Some(Record::Unresolved(attempts)) => Ok(attempts + 1),
            None => Ok(1),
        }
    }
}

impl Record {
    fn encode(&self) -> String {
        match self {
            Self::Unresolved(attempts) => format!("unresolved {attempts}\n"),
            Self::Refused(code) => format!("refused {code}\n"),
            Self::Cleared => "cleared\n".to_owned(),
        }
    }

    /// A damaged record counts as a refusal: fail closed.
    fn decode(text: &str) -> Self {
        let text = text.trim_end();
        if text == "cleared" {
            return Self::Cleared;
        }
        match text.split_once(' ') {
            Some(("unresolved", attempts)) => attempts
                .parse()
                .map_or_else(|_| Self::Refused("unreadable record".to_owned()), Self::Unresolved),
            Some(("refused", code)) => Self::Refused(code.to_owned()),
            _ => Self::Refused("unreadable record".to_owned()),
        }
    }
}

fn read(path: &Path) -> Result<Option<Record>, HsmError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Record::decode(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error(path, source)),
    }
}

/// Writes beside and renames, synced both times: after return the record survives a power cut.
fn write(path: &Path, record: &Record) -> Result<(), HsmError> {
    let beside = path.with_extension("new");
    fs::File::create(&beside)
        .and_then(|mut file| {
            file.write_all(record.encode().as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_parent(path))
        .map_err(|source| file_error(path, source))
}

fn remove(path: &Path) -> Result<(), HsmError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(path, error)),
        _ => sync_parent(path).map_err(|source| file_error(path, source)),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => fs::File::open(".")?.sync_all(),
    }
}

fn file_error(path: &Path, source: io::Error) -> HsmError {
    HsmError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
