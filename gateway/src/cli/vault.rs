//! `countersign vault`: keys put together, in a deployment that has no operators. Where there are some, they carry every
//! change of this (`countersign operator vault`); looking is anybody's at this machine.

use std::collections::{BTreeMap, btree_map::Entry};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    actor::OpCtx,
    ids::{KeyId, VaultId},
    ports::{KeyReads as _, VaultReads as _},
    sealed::Sealed,
    vaults::{Vault, create_vault, move_key},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    key,
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::wiring::Gateway;

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// List the organization's vaults, newest first.
    List(List),
    /// Show a vault and the keys that lie in it, newest first.
    Show(Show),
    /// Make a vault. It is empty, and nothing is bound to it yet.
    Create(Create),
    /// Put a key into a vault: from now on it is judged by what is bound to that vault.
    Put(Put),
    /// Take a key out of its vault.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name of the vault.
    name: String,
    /// How many keys at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: OrganizationPlace,
    /// 1 to 64 characters, different from every other vault's. It never changes.
    name: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Put {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name of the vault.
    name: String,
    /// Id of the key, as `countersign key list` shows it.
    key: KeyId,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the key, as `show` shows it.
    key: KeyId,
    #[command(flatten)]
    format: Format,
}

/// What is done with vaults; see [`Act`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VaultAct {
    List {
        limit: u32,
    },
    Show {
        name: String,
        limit: u32,
    },
    Create {
        name: String,
    },
    /// Into the vault of this name, or into none.
    Move {
        key: KeyId,
        name: Option<String>,
    },
}

impl VaultCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let (place, act, format) = match self {
            Self::List(List { place, limit, format }) => (place, VaultAct::List { limit }, format),
            Self::Show(Show { place, name, limit, format }) => {
                (place, VaultAct::Show { name, limit }, format)
            }
            Self::Create(Create { place, name, format }) => (place, VaultAct::Create { name }, format),
            Self::Put(Put { place, name, key, format }) => {
                (place, VaultAct::Move { key, name: Some(name) }, format)
            }
            Self::Remove(Remove { place, key, format }) => {
                (place, VaultAct::Move { key, name: None }, format)
            }
        };
        format.print_answer(&place.order(Act::Vault(act)).await?)
    }
}

impl VaultAct {
    /// As the command line has it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "vault list",
            Self::Show { .. } => "vault show",
            Self::Create { .. } => "vault create",
            Self::Move { name: Some(_), .. } => "vault put",
            Self::Move { name: None, .. } => "vault remove",
        }
    }

    pub(super) async fn carry_out(self, gateway: &Gateway, ctx: &OpCtx) -> Result<Answer> {
        match self {
            Self::List { limit } => list(gateway, ctx, limit).await,
            Self::Show { name, limit } => show(gateway, ctx, &name, limit).await,
            Self::Create { name } => {
                let vault = create_vault(ctx, &gateway.services, name).await?;
                let further = "`countersign vault put` puts keys into it".to_owned();
                Ok(Answer { value: described(&vault), lines: vec![line(&vault), further] })
            }
            Self::Move { key, name } => put(gateway, ctx, key, name).await,
        }
    }
}

async fn list(gateway: &Gateway, ctx: &OpCtx, limit: u32) -> Result<Answer> {
    let vaults = gateway.store.vault_list(ctx.organization, None, limit).await?;
    let values: Vec<_> = vaults.iter().map(|vault| described(vault)).collect();
    Ok(Answer { value: json!({ "vaults": values }), lines: vaults.iter().map(|vault| line(vault)).collect() })
}

async fn show(gateway: &Gateway, ctx: &OpCtx, name: &str, limit: u32) -> Result<Answer> {
    let vault = named(gateway, ctx, name).await?;
    let keys = gateway.store.vault_keys(ctx.organization, vault.id, None, limit).await?;
    let mut value = described(&vault);
    value["keys"] = keys.iter().map(|key| key::described(key)).collect();
    let lines = keys.iter().map(|key| key::line(key));
    Ok(Answer { value, lines: [line(&vault)].into_iter().chain(lines).collect() })
}

async fn put(gateway: &Gateway, ctx: &OpCtx, key: KeyId, name: Option<String>) -> Result<Answer> {
    let vault = match &name {
        Some(name) => Some(named(gateway, ctx, name).await?),
        None => None,
    };
    let moved = move_key(ctx, &gateway.services, key, vault.as_ref().map(|vault| vault.id)).await?;
    let told = match name {
        Some(name) => format!("it lies in vault `{name}`, and is judged by what is bound to that"),
        None => "it lies in no vault, and no binding to one covers it".to_owned(),
    };
    Ok(Answer { value: key::described(&moved), lines: vec![key::line(&moved), told] })
}

/// The vault of that name in the caller's organization.
pub(super) async fn named(gateway: &Gateway, ctx: &OpCtx, name: &str) -> Result<Sealed<Vault>> {
    let found = gateway.store.vault_by_name(ctx.organization, name).await?;
    let shown = name.escape_debug();
    found.with_context(|| {
        format!("the organization has no vault `{shown}`; `countersign vault list` shows those that it has")
    })
}

/// The names of vaults; each is asked for once.
pub(super) async fn names_of(
    gateway: &Gateway,
    ctx: &OpCtx,
    vaults: impl Iterator<Item = VaultId>,
) -> Result<BTreeMap<VaultId, String>> {
    let mut names = BTreeMap::new();
    for id in vaults {
        if let Entry::Vacant(place) = names.entry(id)
            && let Some(vault) = gateway.store.vault(ctx.organization, id).await?
        {
            place.insert(vault.into_value().name);
        }
    }
    Ok(names)
}

fn described(vault: &Vault) -> Value {
    json!({
        "id": vault.id, "name": vault.name, "frozen": vault.frozen, "createdAtMicros": vault.created_at,
    })
}

fn line(vault: &Vault) -> String {
    let frozen = if vault.frozen { "  frozen" } else { "" };
    format!("{}  {}{frozen}", vault.id, vault.name)
}
