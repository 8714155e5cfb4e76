//! `countersign dev`: everything embedded, for trying out.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{serve, status::Status};
use crate::{
    config::{Config, DevPlace, Overrides},
    data_dir::DataDir,
    dev,
    telemetry::{Metrics, Telemetry},
};

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Directory of database, token and keys; made at the first start, used again at later ones.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Public listener, on loopback.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    listen: SocketAddr,
    /// Operator listener, on loopback.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)))]
    operator_listen: SocketAddr,
    /// Configuration file that overrides the defaults of `dev`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Component of the demo organization's plugin; without it, the one that `deploy/guests` has built.
    #[arg(long, value_name = "FILE")]
    orion: Option<PathBuf>,
}

impl Dev {
    pub(super) async fn run(self) -> Result<Status> {
        let data_dir = std::path::absolute(&self.data_dir).context("finding the data directory")?;
        dev::enter_environment(&data_dir)?;
        let (listen, operator_listen) = (self.listen, self.operator_listen);
        let place = DevPlace { data_dir: data_dir.clone(), listen, operator_listen };
        let config = Config::for_dev(self.config.as_deref(), &place, &Overrides::from_process())?;
        let data_dir = DataDir::open(&data_dir)?;
        let telemetry = Telemetry::start(&config.telemetry)?;
        let metrics = Metrics::start(&config.telemetry)?;
        let (gateway, organization) = Box::pin(dev::open(config, data_dir, self.orion)).await?;
        serve::until_stopped(gateway, organization, telemetry, metrics).await
    }
}
