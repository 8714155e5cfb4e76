//! Compiled code of one command, kept for the next: components of JavaScript and Python take seconds to compile. It lies
//! in the user's cache under a key of its own, and has nothing to do with any gateway's.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use plugin_host::CacheKey;
use tempfile::NamedTempFile;

use crate::config::user_cache_dir;

/// Compiled components that are kept, the newest.
const KEPT: usize = 16;

/// The folder and its key; none where the user's cache cannot be used, which costs time alone.
pub(super) fn open() -> Option<(PathBuf, CacheKey)> {
    let folder = user_cache_dir()?.join("countersign/plugins");
    open_in(&folder).ok()
}

fn open_in(folder: &Path) -> io::Result<(PathBuf, CacheKey)> {
    fs::create_dir_all(folder)?;
    let key = key(folder)?;
    let compiled = folder.join("compiled");
    if compiled.is_dir() {
        forget_oldest(&compiled)?;
    }
    Ok((compiled, CacheKey::new(key)))
}

/// Made once; of two commands at once, both use the one that was there first.
fn key(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join("key");
    if !path.exists() {
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&rand::random::<[u8; 32]>())?;
        match file.persist_noclobber(&path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
    }
    let key = fs::read(path)?;
    key.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the key has another length"))
}

fn forget_oldest(compiled: &Path) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in compiled.read_dir()? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort_unstable();
    for (_, path) in files.iter().rev().skip(KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
