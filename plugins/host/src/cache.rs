//! Compiled components on disk. They are native code that will run in this process, so a file counts
//! only if its MAC, under a key that is not on this disk, covers the very bytes that are then loaded.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use zeroize::Zeroizing;

use crate::config::CacheConfig;
use crate::digest::Digest;

mod shelf;
#[cfg(test)]
mod tests;

const CONTEXT: &[u8] = b"countersign compiled component 1";
const MAC_BYTES: usize = 32;

/// The secret that makes cached code trustworthy. Never printed.
#[derive(Clone)]
pub struct CacheKey(Zeroizing<[u8; 32]>);

impl CacheKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CacheKey(..)")
    }
}

pub(crate) struct Cache {
    directory: PathBuf,
    key: CacheKey,
    engine: Digest,
    file_bytes_max: usize,
    /// Of all files together.
    bytes_max: u64,
}

/// What a look into the cache found.
pub(crate) enum Cached {
    Absent,
    /// A file whose MAC does not fit: damaged, forged, or of another key.
    Invalid,
    Artifact(Vec<u8>),
}

impl Cache {
    /// Opens the directory, creating it if need be; refuses one that others may enter or own.
    pub(crate) fn open(config: &CacheConfig, engine: &Engine, artifact_bytes: usize) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&config.directory)?;
        require_private(&config.directory, rustix::process::geteuid().as_raw())?;
        let cache = Self {
            directory: config.directory.clone(),
            key: config.key.clone(),
            engine: engine_digest(engine),
            file_bytes_max: artifact_bytes + MAC_BYTES,
            bytes_max: config.bytes,
        };
        shelf::evict(&cache.directory, cache.bytes_max)?;
        Ok(cache)
    }

    /// Reads the file once; what is answered is what was checked.
    pub(crate) fn read(&self, component: Digest) -> io::Result<Cached> {
        let mut file = match fs::File::open(self.path(component)) {
            Ok(file) => file.take(self.file_bytes_max as u64 + 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cached::Absent),
            Err(error) => return Err(error),
        };
        let mut mac = [0; MAC_BYTES];
        let mut artifact = Vec::new();
        if file.read_exact(&mut mac).is_err() {
            return Ok(Cached::Invalid);
        }
        file.read_to_end(&mut artifact)?;
        match self.mac(component, &artifact).verify_slice(&mac) {
            Ok(()) => {
                shelf::note_use(file.get_ref());
                Ok(Cached::Artifact(artifact))
            }
            Err(_) => Ok(Cached::Invalid),
        }
    }

    /// Writes a file and puts it in place at once, so that no reader sees half of it. Others make room for it.
    pub(crate) fn write(&self, component: Digest, artifact: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(&self.mac(component, artifact).finalize().into_bytes())?;
        file.write_all(artifact)?;
        file.persist(self.path(component))?;
        shelf::evict(&self.directory, self.bytes_max)
    }

    /// Removes what was compiled of other components than these, for whatever engine.
    pub(crate) fn keep(&self, components: &BTreeSet<Digest>) -> io::Result<()> {
        let kept: BTreeSet<String> = components.iter().map(ToString::to_string).collect();
        shelf::keep(&self.directory, |name| {
            name.split('-').next().is_some_and(|digest| kept.contains(digest))
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The engine that its files are for.
    pub(crate) const fn engine(&self) -> Digest {
        self.engine
    }

    fn path(&self, component: Digest) -> PathBuf {
        self.directory.join(format!("{component}-{}.compiled", self.engine.short()))
    }

    /// All parts but the last have a fixed length, so no two inputs read the same.
    fn mac(&self, component: Digest, artifact: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key.0).expect("HMAC takes keys of any length");
        mac.update(CONTEXT);
        mac.update(&self.engine.0);
        mac.update(&component.0);
        mac.update(artifact);
        mac
    }
}

fn require_private(directory: &Path, user: u32) -> io::Result<()> {
    let (metadata, path) = (fs::metadata(directory)?, directory.display());
    let (mode, owner) = (metadata.mode(), metadata.uid());
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!("`{path}` has mode {:o}, must be 700", mode & 0o777)));
    }
    if owner != user {
        return Err(io::Error::other(format!(
            "`{path}` belongs to user {owner}, must be this process's, {user}"
        )));
    }
    Ok(())
}

/// Names everything that compiled code depends on besides the component: version, target, settings.
fn engine_digest(engine: &Engine) -> Digest {
    struct Collector(Sha256);

    impl Hasher for Collector {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    let mut collector = Collector(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut collector);
    Digest(collector.0.finalize().into())
}
