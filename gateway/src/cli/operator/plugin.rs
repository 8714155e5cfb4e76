//! `countersign operator plugin`: storing, looking at and ending plugin revisions from an operator's own machine.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use gateway_domain::ids::PluginRevisionId;
use serde_json::{Value, json};

use super::{Tenant, is_confirmed, shown, text, vault};
use crate::cli::{
    output::progress,
    plugin::{RevisionArguments, RevisionContents},
    status::{Status, UsageError},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PluginCommand {
    /// Store a component with its settings and grants, signed by an author. It does nothing until it is bound.
    Upload(Upload),
    /// List stored revisions, newest first, and where they are bound.
    List(List),
    /// Show what a revision is, wants and gets, who signed for it, and where it is bound.
    Inspect(Inspect),
    /// End a revision at once: whatever binds it denies from now on. Nothing takes it back.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Upload {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    revision: RevisionArguments,
    /// The signature for all of this, as `plugin sign` makes it.
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// The last id of the page before.
    #[arg(long, value_name = "ID")]
    before: Option<PluginRevisionId>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    tenant: Tenant,
    revision: PluginRevisionId,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    tenant: Tenant,
    revision: PluginRevisionId,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Upload(upload) => upload.run().await,
            Self::List(list) => list.run().await,
            Self::Inspect(Inspect { tenant, revision }) => {
                let revision = tenant.get(&format!("plugins/{revision}")).await?;
                let vaults = vaults_of(&tenant, [&revision]).await?;
                tenant.print(&revision, &described(&revision, &vaults))
            }
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Upload {
    async fn run(self) -> Result<Status> {
        let RevisionContents { name, component, settings, grants } = self.revision.read()?;
        let signature = fs::read_to_string(&self.signature)
            .with_context(|| format!("reading `{}`", self.signature.display()))?;
        let body = json!({
            "plugin": name, "component": STANDARD.encode(component), "settings": settings,
            "grants": grants, "signature": signature.trim(),
        });
        progress("sending the component; the gateway compiles it");
        let stored = self.tenant.post("plugins", Some(&body)).await?;
        self.tenant.print(&stored, &described(&stored, &BTreeMap::new()))
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let listed = self.tenant.get(&format!("plugins?limit={}{before}", self.limit)).await?;
        let revisions = listed["plugins"].as_array().context("the gateway shows no `plugins`")?;
        let vaults = vaults_of(&self.tenant, revisions).await?;
        let lines: Vec<String> = revisions
            .iter()
            .map(|revision| {
                let (id, name) = (text(&revision["id"], 36), text(&revision["plugin"], 64));
                format!("{id}  {name:<20} {}", standing(revision, &vaults))
            })
            .collect();
        self.tenant.print(&listed, &lines)
    }
}

impl Revoke {
    async fn run(self) -> Result<Status> {
        let path = format!("plugins/{}", self.revision);
        let listed = self.tenant.get(&path).await;
        match listed {
            Ok(revision) => described(&revision, &BTreeMap::new()).iter().for_each(|line| progress(line)),
            // What cannot be examined is revoked all the same.
            Err(error) => progress(&format!("the revision cannot be shown: {error:#}")),
        }
        if !self.yes && !is_confirmed("revoke")? {
            return Err(UsageError("nothing was sent").into());
        }
        let revoked = self.tenant.post(&format!("{path}/revoke"), None).await?;
        let at = text(&revoked["at"], 40);
        self.tenant.print(&revoked, &[format!("revoked at {at}: whatever binds it denies")])
    }
}

/// Names of the vaults that bindings of the revisions are about, by id.
async fn vaults_of(
    tenant: &Tenant,
    revisions: impl IntoIterator<Item = &Value>,
) -> Result<BTreeMap<String, String>> {
    let bindings = revisions.into_iter().filter_map(|revision| revision["bindings"].as_array()).flatten();
    vault::names_in(tenant, bindings).await
}

fn described(revision: &Value, vaults: &BTreeMap<String, String>) -> Vec<String> {
    let of = |name: &str| text(&revision[name], 100);
    let listed = |value: &Value| {
        let names: Vec<_> = value.as_array().into_iter().flatten().map(|name| text(name, 300)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    vec![
        format!("revision   {}", of("id")),
        format!("plugin     {}", of("plugin")),
        format!(
            "component  {}  ({} bytes, contract {})",
            of("componentDigest"),
            revision["bytes"],
            of("contract")
        ),
        format!("subject    {}", of("subjectDigest")),
        format!("imports    {}", listed(&revision["imports"])),
        format!("wants      {}", listed(&revision["wantedCapabilities"])),
        format!("gets       {}", listed(&revision["grants"])),
        format!("not there  {}", listed(&revision["grantFaults"])),
        format!("settings   {}", shown(&text(&revision["settings"], 4_000))),
        format!("signed by  {}", of("signedBy")),
        format!("sent by    {}", of("uploadedBy")),
        format!("stored at  {}", of("createdAt")),
        format!("bound      {}", standing(revision, vaults)),
    ]
}

/// Where it is bound, and whether it was revoked.
fn standing(revision: &Value, vaults: &BTreeMap<String, String>) -> String {
    let bindings = revision["bindings"].as_array().into_iter().flatten();
    let bindings: Vec<String> = bindings.map(|binding| super::policy::summary(binding, vaults)).collect();
    let bound = if bindings.is_empty() { "not bound".to_owned() } else { bindings.join("; ") };
    if revision["revoked"].is_object() { format!("REVOKED ({bound})") } else { bound }
}
