//! `countersign plugin install`: a component with its settings as a new revision, bound at once. Installing a name again
//! replaces what was bound under it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use gateway_domain::{
    actor::OpCtx,
    approvals::Role,
    chain::ChainId,
    ids::KeyId,
    policy::{BindingScope, Mode, Power, RevisionSignature, UploadPlugin},
    ports::OperatorReads as _,
    transactions::Kind,
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
    /// Without it, `enforce`. Enforcing a plugin's shadow as it is ends the shadow.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// Chain that it is asked about, such as `eip155:1`; repeat for several. Without any, all chains.
    #[arg(long = "chain", value_name = "CHAIN")]
    chains: Vec<ChainId>,
    /// Key that it is asked about, as `key list` shows it; repeat for several. Without any, all keys.
    #[arg(long = "key-id", value_name = "ID")]
    keys: Vec<KeyId>,
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
    mode: Option<Mode>,
    chains: BTreeSet<ChainId>,
    keys: BTreeSet<KeyId>,
    /// By name.
    vaults: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ModeArgument {
    /// Its word counts.
    Enforce,
    /// Its word is recorded and not used.
    Shadow,
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
        let (power, mode, vaults) = (self.power.into(), self.mode.map(Mode::from), self.vaults);
        let (chains, keys) = (self.chains.into_iter().collect(), self.keys.into_iter().collect());
        Ok(NewPlugin { name, component, settings, grants, signature, power, mode, chains, keys, vaults })
    }
}

pub(in crate::cli) async fn install(gateway: &Gateway, ctx: &OpCtx, new: NewPlugin) -> Result<Answer> {
    let NewPlugin { name, component, settings, grants, signature, power, mode, chains, keys, vaults: names } =
        new;
    let given = [
        ("--mode", mode.is_some()),
        ("--chain", !chains.is_empty()),
        ("--key-id", !keys.is_empty()),
        ("--vault", !names.is_empty()),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, is_given)| *is_given)
        && gateway.store.charter().await?.is_some()
    {
        bail!(
            "operators decide what is asked, and about what: leave `{flag}` to `countersign operator bind`"
        );
    }
    let mut vaults = BTreeSet::new();
    for name in &names {
        vaults.insert(vault::named(gateway, ctx, name).await?.id);
    }
    let plugin = UploadPlugin { plugin: name, component, settings, grants, signature };
    let scope = BindingScope { kinds: BTreeSet::from([Kind::Transaction]), chains, keys, vaults };
    let install = InstallPlugin { plugin, mode: mode.unwrap_or(Mode::Enforce), power, scope, floor: None };
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

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Enforce => Self::Enforce,
            ModeArgument::Shadow => Self::Shadow,
        }
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
