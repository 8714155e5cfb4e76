//! The files of the cache as files: which of them go when there are too many.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What files of the cache end in; whatever else lies there is nobody's here.
const ENDING: &str = ".compiled";

struct File {
    used_at: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Says that a file is used now. Nothing but the order in which files go rests on it.
pub(super) fn note_use(file: &fs::File) {
    #[expect(clippy::disallowed_methods, reason = "compared with the times of other files alone")]
    let now = SystemTime::now();
    if let Err(error) = file.set_modified(now) {
        tracing::debug!(%error, "the time of a compiled component could not be set");
    }
}

/// Removes files, those first that were not used for longest, until the others have at most `bytes_max` together. The one
/// used last stays, whatever it has.
pub(super) fn evict(directory: &Path, bytes_max: u64) -> io::Result<()> {
    let mut files = files(directory)?;
    files.sort_unstable_by_key(|file| Reverse(file.used_at));
    let mut kept = 0_u64;
    let mut removed = 0;
    for (place, file) in files.iter().enumerate() {
        kept = kept.saturating_add(file.bytes);
        if kept > bytes_max && place > 0 {
            remove(&file.path)?;
            removed += 1;
        }
    }
    if removed > 0 {
        tracing::info!(removed, "removed compiled components that were not used for long");
    }
    Ok(())
}

/// Removes files whose name is not to be kept.
pub(super) fn keep(directory: &Path, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
    for file in files(directory)? {
        if !file.path.file_name().and_then(|name| name.to_str()).is_some_and(&is_kept) {
            remove(&file.path)?;
        }
    }
    Ok(())
}

fn files(directory: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(ENDING) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => {
                files.push(File { used_at: metadata.modified()?, bytes: metadata.len(), path: entry.path() });
            }
            Err(error) => unless_gone(error)?,
        }
    }
    Ok(files)
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(unless_gone)
}

/// Another host of the same directory was faster.
fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
