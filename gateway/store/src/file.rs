//! The files of a SQLite database. Nobody but the gateway's own user has to read them.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::error::StoreError;

/// What SQLite keeps beside the database, with the mode that the database has.
const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// Creates the file, empty, for its owner alone, unless it exists: SQLite would leave that to the process's umask. One
/// that exists is not opened, for closing it would end the locks that this process holds on it.
pub(crate) fn create_private(database: &Path) -> io::Result<()> {
    if database.exists() {
        return Ok(());
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(database).map(drop)
}

/// Refuses a database that others than its owner may read or write. In a directory that is its owner's alone nobody
/// else gets at a file, whatever its mode. One that does not exist is left to SQLite to complain about.
pub(crate) fn require_private(database: &Path) -> Result<(), StoreError> {
    let Ok(database) = database.canonicalize() else { return Ok(()) };
    let mode = |path: &Path| fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777);
    let is_reachable = database.parent().and_then(mode).is_none_or(|mode| mode & 0o077 != 0);
    if !is_reachable {
        return Ok(());
    }
    for ending in ENDINGS {
        let mut path = database.clone().into_os_string();
        path.push(ending);
        let path = PathBuf::from(path);
        if let Some(mode) = mode(&path).filter(|mode| mode & 0o066 != 0) {
            return Err(StoreError::Exposed { path, mode });
        }
    }
    Ok(())
}
