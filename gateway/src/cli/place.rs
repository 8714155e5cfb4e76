//! Which deployment a command is about, and how the command reaches it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use gateway_domain::{
    actor::{Actor, OpCtx},
    ids::OrganizationId,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::order::{Act, Answer, Order};
use crate::{
    bootstrap,
    config::{Config, ConfigError, DevPlace, Overrides},
    control,
    data_dir::{DataDir, DataDirError},
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

/// Who carries out a command's acts.
pub(super) enum Hand {
    /// This process.
    Own { organization: OrganizationId, gateway: Box<Gateway> },
    /// The gateway that runs in the data directory.
    Running { organization: OrganizationId, data_dir: PathBuf, timeout: Duration },
}

impl Hand {
    pub(super) async fn order(&self, act: Act) -> Result<Answer> {
        match self {
            Self::Own { organization, gateway } => {
                Order { organization: *organization, act }.carry_out(gateway).await
            }
            Self::Running { organization, data_dir, timeout } => {
                let order = Order { organization: *organization, act };
                Ok(control::ask(data_dir, &order, *timeout).await?)
            }
        }
    }

    pub(super) async fn let_go(self) {
        match self {
            Self::Own { gateway, .. } => sign_and_close(*gateway).await,
            Self::Running { .. } => {}
        }
    }
}

/// The part of `bootstrap.json` that commands use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Noted {
    pub(super) organization: OrganizationId,
    pub(super) audit_key_fingerprint: String,
}

/// Has what a command wrote signed into the audit log, and closes token and database.
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
}

impl OrganizationPlace {
    pub(super) fn of(
        data_dir: Option<PathBuf>,
        config: Option<PathBuf>,
        organization: Option<OrganizationId>,
    ) -> Self {
        Self { place: Place { data_dir, config }, organization }
    }

    /// The gateway's configuration.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        self.place.load()
    }

    /// Has the act carried out: by this process while no gateway runs in the data directory, else by that gateway.
    pub(super) async fn order(&self, act: Act) -> Result<Answer> {
        let hand = self.hand().await?;
        let answer = hand.order(act).await;
        hand.let_go().await;
        answer
    }

    /// Whoever carries out acts, for several of them.
    pub(super) async fn hand(&self) -> Result<Hand> {
        let (config, data_dir) = match self.place.lock() {
            Ok(locked) => locked,
            Err(error) => match error.downcast_ref::<DataDirError>() {
                Some(DataDirError::InUse(path)) => return self.running_hand(path),
                _ => return Err(error),
            },
        };
        let organization = self.organization(&config)?;
        let gateway = Box::new(wiring::build(config, data_dir, Absent::Refuse).await?);
        Ok(Hand::Own { organization, gateway })
    }

    fn running_hand(&self, data_dir: &Path) -> Result<Hand> {
        let config = self.place.load()?;
        Ok(Hand::Running {
            organization: self.organization(&config)?,
            data_dir: data_dir.to_owned(),
            timeout: config.server.control_timeout(),
        })
    }

    fn organization(&self, config: &Config) -> Result<OrganizationId> {
        match self.organization {
            Some(organization) => Ok(organization),
            None if self.place.is_dev() => Ok(self.place.noted()?.organization),
            None => Ok(config.core.default_organization()?),
        }
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
