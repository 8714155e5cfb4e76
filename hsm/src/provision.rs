//! A SoftHSM configuration and token directory of one's own, for development and tests.

use std::{
    env, fs,
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
/// Whoever starts the process sets `SOFTHSM2_CONF`, or it calls [`export_softhsm_config`] before its first thread.
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

/// Sets `SOFTHSM2_CONF` in this process. Only in a process of one thread, so before an async runtime is built: others
/// could be reading the environment.
pub fn export_softhsm_config(paths: &SoftHsmPaths) -> Result<(), HsmError> {
    let tasks = Path::new("/proc/self/task");
    let threads =
        fs::read_dir(tasks).map_err(|source| HsmError::File { path: tasks.to_owned(), source })?.count();
    if threads != 1 {
        return Err(HsmError::InvalidInput(
            "the environment can only be set before the first thread is started",
        ));
    }
    #[expect(unsafe_code, reason = "no other thread exists that could read the environment meanwhile")]
    unsafe {
        env::set_var("SOFTHSM2_CONF", &paths.configuration);
    }
    Ok(())
}
