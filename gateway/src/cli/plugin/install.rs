//! `countersign plugin install`: a component with its settings as a new revision, bound at once. Installing a name again
//! replaces what was bound under it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use gateway_domain::{
    actor::OpCtx,
    approvals::Role,
    policy::{Power, RevisionSignature, UploadPlugin},
    ports::OperatorReads as _,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::revision::{RevisionArguments, RevisionContents};
use crate::{
    cli::{
        order::{Act, Answer},
        output::Format,
        place::OrganizationPlace,
        status::Status,
        vault,
    },
    install::{InstallPlugin, Installed, install_plugin},
    wiring::Gateway,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
    #[command(flatten)]
    place: OrganizationPlace,
    #[command(flatten)]
    revision: RevisionArguments,
    /// An author's signature for all of this, as `plugin sign` makes it: needed where there are operators.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    power: PowerArgument,
    /// Name of the vault that it is asked about, that is about what its keys sign; repeat for several. Without any, all keys,
    /// wherever they lie.
    #[arg(long = "vault", value_name = "NAME")]
    vaults: Vec<String>,
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
    /// By name.
    vaults: Vec<String>,
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

    fn read(self) -> Result<NewPlugin> {
        let RevisionContents { name, component, settings, grants } = self.revision.read()?;
        let signature = match &self.signature {
            Some(path) => {
                let text =
                    fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
                Some(RevisionSignature::parse(&text).with_context(|| format!("`{}`", path.display()))?)
            }
            None => None,
        };
        let (power, vaults) = (self.power.into(), self.vaults);
        Ok(NewPlugin { name, component, settings, grants, signature, power, vaults })
    }
}

pub(in crate::cli) async fn install(gateway: &Gateway, ctx: &OpCtx, new: NewPlugin) -> Result<Answer> {
    let NewPlugin { name, component, settings, grants, signature, power, vaults: names } = new;
    if !names.is_empty() && gateway.store.charter().await?.is_some() {
        bail!(
            "operators decide what is asked, and about what: leave `--vault` to `countersign operator bind`"
        );
    }
    let mut vaults = BTreeSet::new();
    for name in &names {
        vaults.insert(vault::named(gateway, ctx, name).await?.id);
    }
    let plugin = UploadPlugin { plugin: name, component, settings, grants, signature };
    let install = InstallPlugin { plugin, power, vaults, floor: None };
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
