//! One process owns a SQLite database. That is what lets a restarted one take over at once what its predecessor
//! left, instead of waiting for leases and permits to run out.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::error::StoreError;

/// Held while the store is open; the operating system ends it with the process.
pub(crate) struct Ownership {
    _lock: File,
}

impl Ownership {
    /// Locks a file beside the database.
    pub(crate) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = database.with_extension("owner");
        // Whoever may open it could hold the lock.
        let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|error| StoreError::Lock(path.clone(), error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database.to_owned())),
            Err(TryLockError::Error(error)) => Err(StoreError::Lock(path, error)),
        }
    }
}
