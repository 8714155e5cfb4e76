//! `countersign init`: the first step of a deployment.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use gateway_domain::{
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    credentials::{ApiKeyText, CreateApiKey, Label, create_api_key},
    identity::Organization,
    ids::OrganizationId,
    ports::UnitOfWork as _,
};
use serde_json::json;

use super::{
    output::{Format, progress},
    place::{data_dir_of, operator_context, sign_and_close},
    status::{Status, UsageError},
};
use crate::{
    bootstrap,
    config::{Config, Overrides},
    data_dir::DataDir,
    system_keys::Absent,
    wiring::{self, Gateway},
};

/// File that says that `init` has been here.
const MARKER: &str = "initialized";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Configuration file. The token must have been initialized, with the user PIN that the file names.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the first organization.
    #[arg(long, value_name = "NAME")]
    organization: String,
    #[command(flatten)]
    format: Format,
}

impl Init {
    pub(super) async fn run(self) -> Result<Status> {
        if !(1..=100).contains(&self.organization.chars().count()) {
            return Err(UsageError("`--organization` must have 1 to 100 characters").into());
        }
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
        progress("making the gateway's own keys on the token, and the database");
        let gateway = wiring::build(config, data_dir, Absent::Create).await?;
        let fingerprint = gateway.fingerprint();
        let made = first_organization(&gateway, self.organization).await;
        sign_and_close(gateway).await;
        let (organization, text) = made?;
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker);
        created
            .and_then(|file| file.sync_all())
            .with_context(|| format!("creating `{}`", marker.display()))?;
        let key = text.reveal();
        let value = json!({
            "organization": organization, "adminApiKey": key.as_str(), "auditKeyFingerprint": fingerprint,
        });
        let lines = [
            format!("organization          {organization}"),
            format!("admin API key         {}  (shown only now)", key.as_str()),
            format!("audit key fingerprint {fingerprint}"),
            String::new(),
            "Put into the configuration file, and give the fingerprint to whoever audits:".to_owned(),
            format!("  core.organization = \"{organization}\""),
            format!("  audit.key_fingerprint = \"{fingerprint}\""),
            "Then install a plugin that may approve (`countersign plugin install`) and run `countersign serve`."
                .to_owned(),
        ];
        self.format.print(&value, &lines)
    }
}

async fn first_organization(gateway: &Gateway, name: String) -> Result<(OrganizationId, ApiKeyText)> {
    let now = gateway.services.clock.now();
    let id = OrganizationId::generate(now, gateway.services.entropy.as_ref());
    let ctx = operator_context(gateway, id);
    let detail = json!({ "name": name });
    let organization = Organization { id, name, frozen: false, version: 1, created_at: now };
    let event = AuditEvent::new(&ctx, "organization.created", format!("organization {id}"), detail);
    let sealed = gateway.services.sealer.seal(organization);
    gateway.store.commit(ChangeSet::new(event).write(Write::InsertOrganization(sealed))).await?;
    let request = CreateApiKey {
        label: Label::Admin,
        name: "first admin".to_owned(),
        principal: None,
        expires_at: None,
        dev_only: false,
    };
    let (_, text) = create_api_key(&ctx, &gateway.services, request).await?;
    Ok((id, text))
}
