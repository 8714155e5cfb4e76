//! `countersign serve`: a deployment that `init` has prepared.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use gateway_domain::ids::OrganizationId;

use super::{output, place::data_dir_of, status::Status};
use crate::{
    bootstrap,
    config::{Config, Overrides},
    data_dir::DataDir,
    serve::{self, Ended},
    shutdown,
    system_keys::Absent,
    telemetry::{Metrics, Telemetry},
    wiring::{self, Gateway},
};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Serve {
    pub(super) async fn run(self) -> Result<Status> {
        let config = Config::load(Some(&self.config), &Overrides::from_process())?;
        let organization = config.core.default_organization()?;
        let data_dir = DataDir::open(&data_dir_of(&config)?)?;
        if bootstrap::is_dev_directory(data_dir.path()) {
            return Err(anyhow!(
                "`{}` was made by `countersign dev`: its credentials are written down in it. Choose another directory \
                 and run `countersign init`",
                data_dir.path().display()
            ));
        }
        let telemetry = Telemetry::start(&config.telemetry)?;
        // Before anything is built: parts look their metrics up when they are made.
        let metrics = Metrics::start(&config.telemetry)?;
        let gateway = wiring::build(config, data_dir, Absent::Refuse).await?;
        if gateway.is_development {
            require_loopback(&gateway.config)?;
            tracing::warn!(
                "FOR DEVELOPMENT: this installation has no operators; plugins are taken unsigned, and whoever may run \
                 commands in the data directory decides alone what is signed"
            );
        }
        until_stopped(gateway, organization, telemetry, metrics).await
    }
}

/// What one person alone changes is nobody else's to reach.
fn require_loopback(config: &Config) -> Result<()> {
    match config.server.beyond_loopback() {
        None => Ok(()),
        Some((key, address)) => Err(anyhow!(
            "`{key}` is {address}: an installation made for development has no operators and listens on loopback \
             addresses alone. Set 127.0.0.1, or make one with operators by `countersign init --charter FILE`"
        )),
    }
}

/// Serves until SIGTERM, SIGINT or the loss of the token, drains, and flushes what telemetry still holds.
pub(super) async fn until_stopped(
    gateway: Gateway,
    organization: OrganizationId,
    telemetry: Telemetry,
    metrics: Metrics,
) -> Result<Status> {
    let stop = shutdown::on_signal()?;
    let upkeep = tokio::spawn(metrics.clone().upkeep(stop.clone()));
    let announce = |config: &Config| {
        if let Err(error) = output::print_line(&format!("ready http://{}", config.server.listen)) {
            tracing::warn!(error = format!("{error:#}"), "nobody was told that the gateway is ready");
        }
    };
    let ended = serve::run(gateway, organization, metrics.handle(), stop, announce).await;
    upkeep.abort();
    telemetry.flush().await;
    ended.map(|ended| match ended {
        Ended::Stopped => Status::Done,
        Ended::RestartRequired => Status::RestartRequired,
    })
}
