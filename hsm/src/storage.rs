//! Software tokens write keys without syncing them: a key is not durable until its file system says so.

use std::{fs::File, io, path::PathBuf};

use crate::error::HsmError;

/// Returns once everything written below these directories is on disk.
pub(crate) fn sync(directories: &[PathBuf]) -> Result<(), HsmError> {
    for directory in directories {
        let synced = File::open(directory).and_then(|opened| {
            // One call for the many small files of a token, and it reports errors (Linux 5.8).
            rustix::fs::syncfs(&opened).map_err(io::Error::from)?;
            opened.sync_all()
        });
        synced.map_err(|source| HsmError::File { path: directory.clone(), source })?;
    }
    Ok(())
}
