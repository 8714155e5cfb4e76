//! `countersign plugin install`: a component with its settings as a new revision, bound at once.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;
use gateway_domain::{
    actor::OpCtx,
    approvals::Role,
    policy::{Power, RevisionSignature, UploadPlugin},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
    },
    install::{InstallPlugin, Installed, install_plugin},
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
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
    /// Capability to grant, such as `state`, `http:UPSTREAM` or `chain:METHOD`; repeat for several.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<String>,
    /// An author's signature for all of this, as `plugin sign` makes it: needed where there are operators.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    power: PowerArgument,
    #[command(flatten)]
    format: Format,
}

/// What is installed, its files read.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct NewPlugin {
    name: String,
    #[serde(with = "hex::serde")]
    component: Vec<u8>,
    settings: String,
    grants: BTreeSet<String>,
    signature: Option<RevisionSignature>,
    power: Power,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct PowerArgument {
    /// The plugin can deny and demand approvals; its approval means nothing.
    #[arg(long)]
    gate: bool,
    /// The plugin's approval counts for this role: user, agent, arbiter, orion, or a role that the policy names.
    #[arg(long, value_name = "ROLE")]
    authority: Option<String>,
}

impl Install {
    pub(super) async fn run(self) -> Result<Status> {
        let (place, format) = (self.place.clone(), self.format);
        format.print_answer(&place.order(Act::InstallPlugin(self.read()?)).await?)
    }

    /// Reads the files here: paths are this process's, and so is the right to read them.
    fn read(self) -> Result<NewPlugin> {
        let reading = |path: &Path| format!("reading `{}`", path.display());
        let component = fs::read(&self.component).with_context(|| reading(&self.component))?;
        let settings = match &self.settings {
            Some(path) => fs::read_to_string(path).with_context(|| reading(path))?,
            None => "{}".to_owned(),
        };
        let signature = match &self.signature {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| reading(path))?;
                Some(RevisionSignature::parse(&text).with_context(|| format!("`{}`", path.display()))?)
            }
            None => None,
        };
        let grants = BTreeSet::from_iter(self.grants);
        Ok(NewPlugin { name: self.name, component, settings, grants, signature, power: self.power.into() })
    }
}

pub(in crate::cli) async fn install(gateway: &Gateway, ctx: &OpCtx, new: NewPlugin) -> Result<Answer> {
    let NewPlugin { name, component, settings, grants, signature, power } = new;
    let plugin = UploadPlugin { plugin: name, component, settings, grants, signature };
    let install = InstallPlugin { plugin, power, floor: None };
    let Installed { revision, policy_revision } = install_plugin(gateway, ctx, install).await?;
    let value = json!({
        "id": revision.id, "plugin": revision.plugin, "componentDigest": revision.component_digest,
        "subjectDigest": revision.subject_digest(), "policyRevision": policy_revision,
    });
    let bound = match policy_revision {
        Some(number) => {
            format!("bound in policy revision {number}; a running gateway uses it from its next decision on")
        }
        None => {
            "stored; operators bind it by a change of the policy (`countersign operator bind`)".to_owned()
        }
    };
    let lines =
        vec![format!("revision  {}", revision.id), format!("component {}", revision.component_digest), bound];
    Ok(Answer { value, lines })
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
