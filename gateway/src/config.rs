//! Configuration: one TOML file, environment overrides, secrets also from files.
//!
//! Built-in defaults are overridden by those of `dev`, these by the file, the file by the environment
//! (`COUNTERSIGN__SECTION__KEY`), and everything by the command line. Every key is declared once, in its section's
//! module, with its documentation, default and range.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ::config::{Environment, File, FileFormat, builder::DefaultState};
use gateway_domain::ids::OrganizationId;
use serde::Deserialize;

mod audit;
mod chains;
mod check;
mod contract_accounts;
mod database;
mod egress;
mod fireblocks;
mod general;
mod hsm;
mod limits;
mod login;
mod outbox;
mod plugins;
mod privy;
mod publication;
pub(crate) mod reference;
mod section;
mod server;
mod telemetry;
mod upstreams;
mod value;
mod verification;

pub(crate) use audit::Audit;
pub(crate) use chains::Chain;
pub(crate) use database::Database;
pub(crate) use egress::Egress;
pub(crate) use fireblocks::Fireblocks;
pub(crate) use general::Core;
pub(crate) use hsm::Hsm;
pub(crate) use limits::Limits;
pub(crate) use outbox::Outbox;
pub(crate) use plugins::Plugins;
pub(crate) use privy::Privy;
pub(crate) use publication::{Ipfs, OnchainRegistry, OpenPgp};
pub(crate) use server::Server;
pub(crate) use telemetry::{LogFormat, Telemetry};
pub(crate) use upstreams::PluginUpstream;
pub(crate) use value::{List, Secret};
pub(crate) use verification::VerificationService;

#[cfg(test)]
mod tests;

/// Before the section and key in the name of an environment variable.
const ENVIRONMENT_PREFIX: &str = "COUNTERSIGN";

/// Everything that can be configured.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) core: Core,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) hsm: Hsm,
    pub(crate) plugins: Plugins,
    pub(crate) plugin_upstreams: Vec<PluginUpstream>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) egress: Egress,
    pub(crate) fireblocks: Fireblocks,
    pub(crate) privy: Privy,
    pub(crate) openpgp: OpenPgp,
    pub(crate) ipfs: Ipfs,
    pub(crate) onchain_registry: OnchainRegistry,
    pub(crate) verification_services: Vec<VerificationService>,
    pub(crate) limits: Limits,
    pub(crate) outbox: Outbox,
    pub(crate) audit: Audit,
    pub(crate) telemetry: Telemetry,
}

/// What overrides the file.
#[derive(Clone, Default)]
pub(crate) struct Overrides {
    /// `COUNTERSIGN__SECTION__KEY` and values; other variables are ignored.
    pub(crate) environment: HashMap<String, String>,
}

/// The command line of `dev`.
#[derive(Clone, Debug)]
pub(crate) struct DevPlace {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) operator_listen: SocketAddr,
}

/// Why a configuration cannot be used; each text names the key and the rule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` is not TOML, line {line}: {message}")]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{0}")]
    Value(String),
    #[error("{}", .0.join("; "))]
    Rules(Vec<String>),
    #[error("`{0}` is not configured")]
    Missing(&'static str),
}

impl Overrides {
    /// The variables of this process.
    pub(crate) fn from_process() -> Self {
        let environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        Self { environment }
    }
}

/// Where the user's programs keep what they can make again (XDG Base Directory Specification).
pub(crate) fn user_cache_dir() -> Option<PathBuf> {
    let variable = |wanted: &str| {
        let found = env::vars_os().find(|(name, _)| name == wanted);
        found.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))
}

type Builder = ::config::ConfigBuilder<DefaultState>;

impl Config {
    /// Reads the file, if one is given, applies the overrides and checks every rule.
    pub(crate) fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::assemble(Builder::default(), file, overrides)
    }

    /// The same for `dev`: its defaults lie under the file, its command line over everything.
    pub(crate) fn for_dev(
        file: Option<&Path>,
        place: &DevPlace,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let database = format!("sqlite://{}", place.data_dir.join("countersign.db").display());
        let builder = Builder::default()
            .set_default("database.url", database)
            .and_then(|builder| builder.set_default("database.migrate", true))
            .and_then(|builder| builder.set_default("hsm.token_label", "countersign-dev"))
            .and_then(|builder| {
                builder.set_default("audit.witness_file", shown(&place.data_dir.join("witness.jsonl")))
            })
            .and_then(|builder| builder.set_override("core.data_dir", shown(&place.data_dir)))
            .and_then(|builder| builder.set_override("server.listen", place.listen.to_string()))
            .and_then(|builder| {
                builder.set_override("server.operator_listen", place.operator_listen.to_string())
            })
            .map_err(|error| value_error(&error))?;
        let mut config = Self::assemble(builder, file, overrides)?;
        if config.chains.is_empty() {
            config.chains.push(Chain::local_node());
        }
        Ok(config)
    }

    pub(crate) fn api_config(&self) -> Result<gateway_api::ApiConfig, ConfigError> {
        self.server.api_config(&self.core)
    }

    /// Origins of the organizations that do not share the deployment's.
    pub(crate) fn tenant_origins(&self) -> Result<BTreeMap<OrganizationId, String>, ConfigError> {
        self.core.tenant_origins(&self.server.origin())
    }

    fn assemble(builder: Builder, file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let builder = match file {
            Some(path) => builder.add_source(File::from_str(&read_toml(path)?, FileFormat::Toml)),
            None => builder,
        };
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .source(Some(overrides.environment.clone().into_iter().collect()));
        let assembled = builder.add_source(environment).build().map_err(|error| value_error(&error))?;
        let mut config: Self = assembled.try_deserialize().map_err(|error| value_error(&error))?;
        config.read_secret_files()?;
        config.check()?;
        Ok(config)
    }

    fn read_secret_files(&mut self) -> Result<(), ConfigError> {
        read_secret("hsm.pin", &mut self.hsm.pin, self.hsm.pin_file.as_deref())?;
        read_secret(
            "core.internal_token",
            &mut self.core.internal_token,
            self.core.internal_token_file.as_deref(),
        )?;
        read_secret("ipfs.kubo_url", &mut self.ipfs.kubo_url, self.ipfs.kubo_url_file.as_deref())?;
        read_secret("database.url", &mut self.database.url, self.database.url_file.as_deref())?;
        read_secret("privy.app_secret", &mut self.privy.app_secret, self.privy.app_secret_file.as_deref())?;
        for upstream in &mut self.plugin_upstreams {
            read_secret("plugin_upstreams.secret", &mut upstream.secret, upstream.secret_file.as_deref())?;
        }
        for chain in &mut self.chains {
            read_secret("chains.rpc_urls", &mut chain.rpc_urls, chain.rpc_urls_file.as_deref())?;
        }
        Ok(())
    }
}

/// The file's text, known to be TOML. Syntax is checked here because the library's message would quote the line,
/// which may hold a secret.
fn read_toml(path: &Path) -> Result<String, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    match text.parse::<toml::Table>() {
        Ok(_) => Ok(text),
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Err(ConfigError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() })
        }
    }
}

/// Fills `secret` from its file. One final line break is not part of the secret.
fn read_secret(key: &str, secret: &mut Option<Secret>, file: Option<&Path>) -> Result<(), ConfigError> {
    let Some(path) = file else { return Ok(()) };
    if secret.is_some() {
        return Err(ConfigError::Value(format!("`{key}` and `{key}_file` exclude each other")));
    }
    let text =
        fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    let text = zeroize::Zeroizing::new(text);
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    *secret = Some(Secret::new(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned()));
    Ok(())
}

fn value_error(error: &::config::ConfigError) -> ConfigError {
    ConfigError::Value(error.to_string())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
