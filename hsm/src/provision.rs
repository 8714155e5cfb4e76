//! A SoftHSM configuration and token directory of one's own, for development and tests.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::error::HsmError;

/// Where a SoftHSM token lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftHsmPaths {
    /// What `SOFTHSM2_CONF` must say in the environment of every process that uses the token.
    pub configuration: PathBuf,
    /// The token directory, also for [`crate::HsmConfig::storage_directories`].
    pub tokens: PathBuf,
}

/// Writes `softhsm2.conf` and an empty token directory, mode 0700, below `directory`. An existing one is kept.
///
/// This crate never changes the environment: whoever starts the process sets `SOFTHSM2_CONF`, or the gateway does
/// so before it starts threads.
pub fn write_softhsm_config(directory: &Path) -> Result<SoftHsmPaths, HsmError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| HsmError::File { path, source }
    };
    let paths =
        SoftHsmPaths { configuration: directory.join("softhsm2.conf"), tokens: directory.join("tokens") };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&paths.tokens).map_err(failed(&paths.tokens))?;
    fs::set_permissions(&paths.tokens, fs::Permissions::from_mode(0o700)).map_err(failed(&paths.tokens))?;
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        paths.tokens.display()
    );
    fs::write(&paths.configuration, text).map_err(failed(&paths.configuration))?;
    Ok(paths)
}
