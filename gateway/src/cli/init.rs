//! `countersign init`: the first step of a deployment.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use gateway_domain::{
    entropy::draw,
    founding::{Found, FoundCharter, Founded, found_deployment},
    operators::DEPLOYMENT,
    ports::{AuditReads as _, OperatorReads as _},
};
use serde_json::json;

use super::{
    output::{Format, progress},
    place::{data_dir_of, operator_context, sign_and_close},
    status::{Status, UsageError},
};

mod founding;

pub(super) use founding::read as read_charter;

use crate::{
    adapters::system::SystemEntropy,
    bootstrap,
    config::{Config, Overrides},
    data_dir::DataDir,
    system_keys::{Absent, mark_chartered, mark_development},
    wiring::{self, Gateway},
};

/// File that says that `init` has been here.
const MARKER: &str = "initialized";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Configuration file. Without `--init-token`, the token that it names must have been initialized, with the user PIN
    /// that it names.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the first organization.
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Make the token first: initialize the module's next free one with `hsm.token_label`, and set the user PIN that the
    /// file names.
    #[arg(long = "init-token", requires = "so_pin_file")]
    makes_token: bool,
    /// The PIN of the new token's security officer, who can reset the user PIN. Made at random, with mode 0600, if the
    /// file is absent; keep it away from this machine.
    #[arg(long, value_name = "FILE", requires = "makes_token")]
    so_pin_file: Option<PathBuf>,
    /// TOML file of the operators: `approvals_required`, and for each an `[[operator]]` with `name`, `roles` (author,
    /// approver, auditor) and `public_key`, a PEM file beside it.
    #[arg(long, value_name = "FILE", required_unless_present = "development")]
    charter: Option<PathBuf>,
    /// No operators, for development and tests: plugins are taken unsigned, and whoever may run commands in the data
    /// directory decides alone what can be signed. The token remembers it for good; it cannot be said of an installation
    /// later.
    #[arg(long, conflicts_with = "charter")]
    development: bool,
    #[command(flatten)]
    format: Format,
}

impl Init {
    pub(super) async fn run(self) -> Result<Status> {
        if !(1..=100).contains(&self.organization.chars().count()) {
            return Err(UsageError("`--organization` must have 1 to 100 characters").into());
        }
        let founding = self.charter.as_deref().map(founding::read).transpose()?;
        let mut config = Config::load(Some(&self.config), &Overrides::from_process())?;
        config.database.migrate = true;
        let data_dir = DataDir::open(&data_dir_of(&config)?)?;
        if bootstrap::is_dev_directory(data_dir.path()) {
            return Err(anyhow!("`{}` was made by `countersign dev`", data_dir.path().display()));
        }
        let marker = data_dir.path().join(MARKER);
        if marker.exists() {
            return Err(anyhow!("`{}` exists: this deployment is initialized already", marker.display()));
        }
        // A token is used up once; what is refused later anyway is refused before it.
        wiring::chains(&config)?;
        if self.makes_token
            && let Some(path) = &self.so_pin_file
        {
            progress("initializing the token");
            make_token(&config, &data_dir, path)?;
        }
        progress("making the gateway's own keys on the token, and the database");
        let gateway = wiring::build(config, data_dir, Absent::Create).await?;
        let fingerprint = gateway.fingerprint();
        let made = found(&gateway, self.organization, founding).await;
        sign_and_close(gateway).await;
        let Founded { organization, admin_key, charter } = made?;
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker);
        created
            .and_then(|file| file.sync_all())
            .with_context(|| format!("creating `{}`", marker.display()))?;
        let key = admin_key.reveal();
        let value = json!({
            "organization": organization, "adminApiKey": key.as_str(), "auditKeyFingerprint": fingerprint,
            "operators": charter.iter().flat_map(|charter| &charter.operators).map(|operator| json!({
                "id": operator.id, "name": operator.name, "roles": operator.roles,
                "keyFingerprint": operator.public_key.fingerprint(),
            })).collect::<Vec<_>>(),
        });
        let mut lines = vec![
            format!("organization          {organization}"),
            format!("admin API key         {}  (shown only now)", key.as_str()),
            format!("audit key fingerprint {fingerprint}"),
            String::new(),
            "Put into the configuration file, and give the fingerprint to whoever audits:".to_owned(),
            format!("  core.organization = \"{organization}\""),
            format!("  audit.key_fingerprint = \"{fingerprint}\""),
        ];
        lines.push(next_step(charter.is_some()));
        lines.extend(charter.iter().flat_map(|charter| &charter.operators).map(|operator| {
            let roles: Vec<_> = operator.roles.iter().map(|role| role.as_str()).collect();
            format!(
                "operator {}  {}  {}",
                operator.id,
                roles.join("+"),
                plugin_host::plain(&operator.name, 64)
            )
        }));
        self.format.print(&value, &lines)
    }
}

fn next_step(is_chartered: bool) -> String {
    if is_chartered {
        "Then run `countersign serve`; operators store and bind a plugin that may approve (`countersign operator`)."
            .to_owned()
    } else {
        "FOR DEVELOPMENT: plugins are taken unsigned, and whoever may run commands here decides alone. Install one that \
         may approve (`countersign plugin install`) and run `countersign serve`."
            .to_owned()
    }
}

/// A new token with the configured label and user PIN.
fn make_token(config: &Config, data_dir: &DataDir, so_pin_file: &Path) -> Result<()> {
    let settings = config.hsm.hsm_config(data_dir.path())?;
    let security_officer = hsm::Pin::new(security_officer_pin(so_pin_file)?);
    hsm::provision_token(&settings, &security_officer).context("initializing the token")
}

/// The file's, or a random one that is stored there before it is used.
fn security_officer_pin(path: &Path) -> Result<String> {
    let named = || format!("the security officer's PIN in `{}`", path.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let pin = hex::encode(draw::<16>(&SystemEntropy));
            file.write_all(pin.as_bytes()).and_then(|()| file.sync_all()).with_context(named)?;
            Ok(pin)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path).with_context(named)?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        Err(error) => Err(error).with_context(named),
    }
}

/// The first organization with its admin key, and the charter if there is to be one. The token knows which of both it is
/// before the database does.
async fn found(gateway: &Gateway, organization: String, charter: Option<FoundCharter>) -> Result<Founded> {
    require_fresh(gateway, charter.is_some()).await?;
    if charter.is_some() {
        mark_chartered(&gateway.hsm).await.context("marking the token as that of a charter")?;
    } else {
        mark_development(&gateway.hsm).await.context("marking the token as made for development")?;
    }
    let ctx = operator_context(gateway, DEPLOYMENT);
    Ok(found_deployment(&ctx, &gateway.services, Found { organization, charter }).await?)
}

/// A deployment that has a charter, or whose charter is gone, is not founded again. What a crash left of a founding is the
/// mark on the token, and a database that nothing was written to.
async fn require_fresh(gateway: &Gateway, founds_charter: bool) -> Result<()> {
    if gateway.is_chartered && gateway.store.lane_heads().await?.is_empty() {
        if founds_charter {
            return Ok(());
        }
        bail!("the token is that of a deployment with operators: name them with `--charter`");
    }
    if gateway.store.charter().await?.is_some() {
        bail!("the database belongs to a deployment with operators, which is initialized already");
    }
    if !founds_charter && !gateway.is_development && !gateway.store.lane_heads().await?.is_empty() {
        bail!(
            "the database is that of an installation which was not made for development, and cannot become one"
        );
    }
    Ok(())
}
