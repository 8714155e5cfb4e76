//! `countersign dev`: everything embedded, for one machine and one developer.

use std::{
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use gateway_domain::ids::OrganizationId;

use crate::{
    bootstrap,
    config::Config,
    data_dir::DataDir,
    system_keys::{Absent, mark_development},
    wiring::{self, Gateway},
};

const SOFTHSM_VARIABLE: &str = "SOFTHSM2_CONF";

/// SoftHSM reads its configuration's path from the environment, which a process cannot safely change once it has
/// threads: starts this program again with the variable set, unless it is set already.
pub(crate) fn enter_environment(data_dir: &Path) -> Result<()> {
    let data_dir = std::path::absolute(data_dir)?;
    let wanted = bootstrap::softhsm_configuration(&data_dir);
    #[expect(
        clippy::disallowed_methods,
        reason = "asks about this process's own environment, not for a setting"
    )]
    let present = env::var_os(SOFTHSM_VARIABLE);
    if present.is_some_and(|present| present == wanted) {
        return Ok(());
    }
    let program = env::current_exe().context("finding this program's own path")?;
    let error = Command::new(program).args(env::args_os().skip(1)).env(SOFTHSM_VARIABLE, wanted).exec();
    Err(error).context("starting again with SOFTHSM2_CONF set")
}

/// Makes or reopens the embedded gateway. The first start is one that has no complete `bootstrap.json`.
pub(crate) async fn open(
    mut config: Config,
    data_dir: DataDir,
    orion: Option<PathBuf>,
) -> Result<(Gateway, OrganizationId)> {
    if let Some((key, address)) = config.server.beyond_loopback() {
        bail!(
            "`{key}` is {address}: `dev` listens on loopback addresses only, for its credentials are for one machine"
        );
    }
    bootstrap::prepare_token(&mut config, data_dir.path())?;
    let absent = if bootstrap::is_complete(data_dir.path()) { Absent::Refuse } else { Absent::Create };
    let gateway = wiring::build(config, data_dir, absent).await?;
    if absent == Absent::Create {
        mark_development(&gateway.hsm).await.context("marking the token as made for development")?;
    }
    let orion = match orion {
        Some(path) => path,
        None => built_orion()?,
    };
    let organization = bootstrap::ensure(&gateway, &orion).await?;
    Ok((gateway, organization))
}

/// Where `deploy/guests` puts Orion, beside the folder this program was built into.
fn built_orion() -> Result<PathBuf> {
    let program = env::current_exe().context("finding this program's own path")?;
    let target = program.parent().and_then(Path::parent).context("this program lies in no build folder")?;
    Ok(target.join("guests").join("orion.wasm"))
}
