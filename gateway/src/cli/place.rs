//! Which deployment a command is about, and how it is opened while no gateway runs in it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use gateway_domain::{
    actor::{Actor, OpCtx},
    ids::OrganizationId,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    bootstrap,
    config::{Config, ConfigError, DevPlace, Overrides},
    data_dir::DataDir,
    dev,
    system_keys::Absent,
    wiring::{self, Gateway},
};

/// A deployment.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Place {
    /// Data directory of `countersign dev`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A deployment and one of its organizations.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrganizationPlace {
    #[command(flatten)]
    place: Place,
    /// Id of the organization; without it, `core.organization`, or the demo organization of `dev`.
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
}

/// The part of `bootstrap.json` that commands use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Noted {
    pub(super) organization: OrganizationId,
    pub(super) audit_key_fingerprint: String,
}

/// An opened deployment and the caller on whose behalf a command works in it.
pub(crate) struct Opened {
    pub(crate) gateway: Gateway,
    pub(crate) ctx: OpCtx,
    /// Whether the deployment is one of `countersign dev`.
    pub(crate) is_dev: bool,
}

impl Opened {
    /// Has what the command wrote signed into the audit log, and closes token and database.
    pub(super) async fn finish(self) {
        sign_and_close(self.gateway).await;
    }
}

pub(super) async fn sign_and_close(gateway: Gateway) {
    let stop = CancellationToken::new();
    // The worker signs what is unsigned when it is told to stop while it waits.
    tokio::join!(biased; gateway.checkpoints().run(stop.clone()), async { stop.cancel() });
    gateway.close().await;
}

impl Place {
    pub(super) fn is_dev(&self) -> bool {
        self.data_dir.is_some()
    }

    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        let overrides = Overrides::from_process();
        let Some(data_dir) = &self.data_dir else { return Config::load(self.config.as_deref(), &overrides) };
        // No command listens; the addresses only have to be there.
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let place = DevPlace { data_dir: data_dir.clone(), listen: nowhere, operator_listen: nowhere };
        Config::for_dev(self.config.as_deref(), &place, &overrides)
    }

    /// Takes the data directory's lock and completes the configuration of a dev directory.
    pub(super) fn lock(&self) -> Result<(Config, DataDir)> {
        let mut config = self.load()?;
        let path = data_dir_of(&config)?;
        if !path.is_dir() {
            return Err(anyhow!("`{}` does not exist: no gateway was ever started in it", path.display()));
        }
        if self.is_dev() {
            dev::enter_environment(&path)?;
        }
        let data_dir = DataDir::open(&path)?;
        if self.is_dev() {
            if !bootstrap::is_complete(&path) {
                return Err(anyhow!("`{}` was not completed by `countersign dev`", path.display()));
            }
            bootstrap::prepare_token(&mut config, &path)?;
        }
        Ok((config, data_dir))
    }

    /// What `countersign dev` noted for its user.
    pub(super) fn noted(&self) -> Result<Noted> {
        let path = data_dir_of(&self.load()?)?.join("bootstrap.json");
        let text = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading `{}`", path.display()))
    }

    /// Connects token and database.
    pub(super) async fn open(&self) -> Result<Gateway> {
        let (config, data_dir) = self.lock()?;
        wiring::build(config, data_dir, Absent::Refuse).await
    }
}

impl OrganizationPlace {
    pub(super) async fn open(&self) -> Result<Opened> {
        let gateway = self.place.open().await?;
        let organization = match self.organization {
            Some(organization) => organization,
            None if self.place.is_dev() => self.place.noted()?.organization,
            None => gateway.config.core.default_organization()?,
        };
        let ctx = operator_context(&gateway, organization);
        Ok(Opened { gateway, ctx, is_dev: self.place.is_dev() })
    }
}

/// The caller that somebody at this machine's console is.
pub(super) fn operator_context(gateway: &Gateway, organization: OrganizationId) -> OpCtx {
    OpCtx {
        organization,
        actor: Actor::LocalOperator,
        source: None,
        request_id: "command-line".to_owned(),
        now: gateway.services.clock.now(),
    }
}

pub(super) fn data_dir_of(config: &Config) -> Result<PathBuf, ConfigError> {
    config.core.data_dir.as_deref().map(Path::to_owned).ok_or(ConfigError::Missing("core.data_dir"))
}
