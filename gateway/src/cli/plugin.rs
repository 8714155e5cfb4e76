//! `countersign plugin install | list`.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    approvals::Role,
    policy::{Mode, Power},
    ports::PolicyReads as _,
};
use serde_json::json;

use super::{output::Format, place::OrganizationPlace, status::Status};
use crate::install::{InstallPlugin, install_plugin};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Store a component with its settings as a new revision, and bind it in a new revision of the policy.
    Install(Install),
    /// List the organization's plugin revisions and where they are bound.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    place: OrganizationPlace,
    /// The component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Name of the binding; installing the same name again replaces it.
    #[arg(long)]
    name: String,
    /// JSON file of settings; without it, `{}`.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Capability to grant; repeat for several.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
    #[command(flatten)]
    power: PowerArgument,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PowerArgument {
    /// The plugin can deny and demand approvals; its approval means nothing.
    #[arg(long)]
    gate: bool,
    /// The plugin's approval counts for this role: user, agent, arbiter, orion, or a role that the policy names.
    #[arg(long, value_name = "ROLE")]
    authority: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    format: Format,
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Install(install) => install.run().await,
            Self::List(list) => list.run().await,
        }
    }
}

impl Install {
    async fn run(self) -> Result<Status> {
        let component =
            fs::read(&self.component).with_context(|| format!("reading `{}`", self.component.display()))?;
        let settings = match &self.settings {
            Some(path) => {
                fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?
            }
            None => "{}".to_owned(),
        };
        let opened = self.place.open().await?;
        let install = InstallPlugin {
            name: self.name,
            component,
            settings,
            grants: BTreeSet::from_iter(self.grants),
            power: self.power.into(),
            floor: None,
        };
        let installed = install_plugin(&opened.gateway, &opened.ctx, install).await;
        opened.finish().await;
        let installed = installed?;
        let revision = &installed.revision;
        let value = json!({
            "id": revision.id, "plugin": revision.plugin, "componentDigest": revision.component_digest,
            "subjectDigest": revision.subject_digest(), "policyRevision": installed.policy_revision,
        });
        let bound = format!("bound in policy revision {}", installed.policy_revision);
        let lines = [
            format!("revision  {}", revision.id),
            format!("component {}", revision.component_digest),
            format!("{bound}; a running gateway uses it from its next decision on"),
        ];
        self.format.print(&value, &lines)
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let opened = self.place.open().await?;
        let revisions = opened.gateway.store.plugin_revision_list(opened.ctx.organization).await;
        let policy = opened.gateway.store.policy(opened.ctx.organization).await;
        opened.finish().await;
        let (revisions, policy) = (revisions?, policy?);
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        for revision in &revisions {
            let bindings = policy.iter().flat_map(|policy| &policy.bindings);
            let binding = bindings.into_iter().find(|binding| binding.revision == revision.id);
            values.push(json!({
                "id": revision.id, "plugin": revision.plugin, "componentDigest": revision.component_digest,
                "grants": revision.grants, "createdAtMicros": revision.created_at,
                "mode": binding.map(|binding| binding.mode), "power": binding.map(|binding| &binding.power),
            }));
            let bound = match binding.map(|binding| (binding.mode, &binding.power)) {
                None => "not bound".to_owned(),
                Some((mode, power)) => format!("{}, {}", word(mode), described(power)),
            };
            lines.push(format!("{}  {:<20} {bound}", revision.id, plugin_host::plain(&revision.plugin, 100)));
        }
        let revision = policy.as_ref().map(|policy| policy.revision);
        self.format.print(&json!({ "policyRevision": revision, "plugins": values }), &lines)
    }
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforced",
        Mode::Shadow => "shadow",
    }
}

fn described(power: &Power) -> String {
    match power {
        Power::Gate => "gate".to_owned(),
        Power::Authority(role) => format!("authority for `{role}`"),
    }
}

impl From<PowerArgument> for Power {
    fn from(argument: PowerArgument) -> Self {
        match argument.authority {
            None => Self::Gate,
            Some(role) => Self::Authority(match role.as_str() {
                "user" => Role::User,
                "agent" => Role::Agent,
                "arbiter" => Role::Arbiter,
                "orion" => Role::Orion,
                _ => Role::Named(role),
            }),
        }
    }
}
