//! `countersign operator plugin`: storing, looking at and ending plugin revisions from an operator's own machine.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use gateway_domain::ids::PluginRevisionId;
use serde_json::{Value, json};

use super::{Tenant, is_confirmed, shown, text};
use crate::cli::{
    output::progress,
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
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Name it is to be bound under.
    #[arg(long)]
    name: String,
    /// JSON file of settings; without it, `{}`.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Capability to grant, such as `state`, `http:UPSTREAM` or `chain:METHOD`; repeat for several.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
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
                tenant.print(&revision, &described(&revision))
            }
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Upload {
    async fn run(self) -> Result<Status> {
        let named = |path: &PathBuf| format!("reading `{}`", path.display());
        let component = fs::read(&self.component).with_context(|| named(&self.component))?;
        let settings = match &self.settings {
            Some(path) => fs::read_to_string(path).with_context(|| named(path))?,
            None => "{}".to_owned(),
        };
        let signature = fs::read_to_string(&self.signature).with_context(|| named(&self.signature))?;
        let body = json!({
            "plugin": self.name, "component": STANDARD.encode(component), "settings": settings,
            "grants": self.grants, "signature": signature.trim(),
        });
        progress("sending the component; the gateway compiles it");
        let stored = self.tenant.post("plugins", Some(&body)).await?;
        self.tenant.print(&stored, &described(&stored))
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let listed = self.tenant.get(&format!("plugins?limit={}{before}", self.limit)).await?;
        let revisions = listed["plugins"].as_array().context("the gateway shows no `plugins`")?;
        let lines: Vec<String> = revisions
            .iter()
            .map(|revision| {
                let (id, name) = (text(&revision["id"], 36), text(&revision["plugin"], 64));
                format!("{id}  {name:<20} {}", standing(revision))
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
            Ok(revision) => described(&revision).iter().for_each(|line| progress(line)),
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

fn described(revision: &Value) -> Vec<String> {
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
        format!("bound      {}", standing(revision)),
    ]
}

/// Where it is bound, and whether it was revoked.
fn standing(revision: &Value) -> String {
    let bindings: Vec<String> =
        revision["bindings"].as_array().into_iter().flatten().map(super::policy::summary).collect();
    let bound = if bindings.is_empty() { "not bound".to_owned() } else { bindings.join("; ") };
    if revision["revoked"].is_object() { format!("REVOKED ({bound})") } else { bound }
}
