//! The directory that belongs to one running gateway: private, and locked while anybody works in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// An open data directory; the lock ends with it.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("`{0}` is in use by a running gateway or command; stop it first")]
    InUse(PathBuf),
    #[error("`{0}` is open to other users; run `chmod 700` on it")]
    Exposed(PathBuf),
    #[error("the data directory `{path}` cannot be used")]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl DataDir {
    /// Creates the directory with mode 0700 if it is absent, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |cause| DataDirError::Io { path: path.to_owned(), cause };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(DataDirError::Exposed(path.to_owned()));
        }
        let lock = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last audit checkpoint this host saw.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.path.join(ANCHOR)
    }
}

/// File name of [`DataDir::anchor`], for commands that only read.
pub(crate) const ANCHOR: &str = "audit-anchor.json";
