//! `countersign plugin install | list`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    actor::OpCtx,
    approvals::Role,
    policy::{Mode, Power},
    ports::PolicyReads as _,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::{
    install::{InstallPlugin, Installed, install_plugin},
    wiring::Gateway,
};

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

/// What is installed, its files read.
#[derive(Serialize, Deserialize)]
pub(super) struct NewPlugin {
    name: String,
    #[serde(with = "hex::serde")]
    component: Vec<u8>,
    settings: String,
    grants: BTreeSet<String>,
    power: Power,
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
        let (place, act, format) = match self {
            Self::Install(install) => {
                let (place, format) = (install.place.clone(), install.format);
                (place, Act::InstallPlugin(install.read()?), format)
            }
            Self::List(List { place, format }) => (place, Act::ListPlugins, format),
        };
        format.print_answer(&place.order(act).await?)
    }
}

impl Install {
    /// Reads the files here: paths are this process's, and so is the right to read them.
    fn read(self) -> Result<NewPlugin> {
        let reading = |path: &Path| format!("reading `{}`", path.display());
        let component = fs::read(&self.component).with_context(|| reading(&self.component))?;
        let settings = match &self.settings {
            Some(path) => fs::read_to_string(path).with_context(|| reading(path))?,
            None => "{}".to_owned(),
        };
        let grants = BTreeSet::from_iter(self.grants);
        Ok(NewPlugin { name: self.name, component, settings, grants, power: self.power.into() })
    }
}

pub(super) async fn install(gateway: &Gateway, ctx: &OpCtx, new: NewPlugin) -> Result<Answer> {
    let NewPlugin { name, component, settings, grants, power } = new;
    let install = InstallPlugin { name, component, settings, grants, power, floor: None };
    let Installed { revision, policy_revision } = install_plugin(gateway, ctx, install).await?;
    let value = json!({
        "id": revision.id, "plugin": revision.plugin, "componentDigest": revision.component_digest,
        "subjectDigest": revision.subject_digest(), "policyRevision": policy_revision,
    });
    let lines = vec![
        format!("revision  {}", revision.id),
        format!("component {}", revision.component_digest),
        format!(
            "bound in policy revision {policy_revision}; a running gateway uses it from its next decision on"
        ),
    ];
    Ok(Answer { value, lines })
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
    let revisions = gateway.store.plugin_revision_list(ctx.organization).await?;
    let policy = gateway.store.policy(ctx.organization).await?;
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
    Ok(Answer { value: json!({ "policyRevision": revision, "plugins": values }), lines })
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
