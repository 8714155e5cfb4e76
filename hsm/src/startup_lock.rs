//! Start-up and log-in, one process at a time: `C_Login` of SoftHSM rewrites a file that others may be reading.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::error::HsmError;

const POLL: Duration = Duration::from_millis(5);

/// Held until dropped; the operating system releases it if the process dies.
pub(crate) struct StartupLock(#[expect(dead_code, reason = "held for its lock")] File);

impl StartupLock {
    pub(crate) fn acquire(path: &Path, timeout: Duration) -> Result<Self, HsmError> {
        let failed = |source| HsmError::File { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        let deadline = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}
