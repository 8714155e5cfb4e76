//! Room on the disk that an embedded database lies on: changes are refused before it is full.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gateway_domain::changes::CommitError;

use crate::error::Overload;

/// How long an answer about the disk is believed.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Room {
    /// Absent for a database elsewhere, and where nothing is demanded.
    directory: Option<PathBuf>,
    free_bytes_min: u64,
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Room {
    pub(crate) fn of(file: Option<PathBuf>, free_bytes_min: u64) -> Self {
        let directory = file.and_then(|file| file.parent().map(Path::to_owned));
        let directory = directory.filter(|_| free_bytes_min > 0);
        Self { directory, free_bytes_min, asked: Mutex::default() }
    }

    /// Refuses a change where it could be the one that fills the disk. A disk that says nothing about itself is left
    /// to the commit to find out.
    pub(crate) fn require(&self) -> Result<(), CommitError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = match *asked {
            Some((at, has_room)) if at.elapsed() < FRESH => has_room,
            Some(_) | None => {
                let free = rustix::fs::statvfs(directory).ok();
                let free = free.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
                let has_room = free.is_none_or(|bytes| bytes >= self.free_bytes_min);
                *asked = Some((Instant::now(), has_room));
                has_room
            }
        };
        if has_room { Ok(()) } else { Err(Overload::DiskNearlyFull.into()) }
    }
}
