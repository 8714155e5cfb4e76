//! `countersign operator vault`: which keys there are rules about, and stopping them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::ids::{KeyId, VaultId};
use serde_json::{Value, json};

use super::{Tenant, text};
use crate::cli::status::Status;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VaultCommand {
    /// List vaults, newest first.
    List(List),
    /// Show a vault and the keys that lie in it, newest first.
    Show(Show),
    /// Propose a new vault. It is empty, and nothing is bound to it yet.
    Create(Create),
    /// Propose that a key lie in a vault: it is judged by what is bound to that vault then.
    Put(Put),
    /// Propose that a key lie in no vault.
    Remove(Remove),
    /// Stop the keys of a vault at once: none of them signs anything.
    Freeze(Freeze),
    /// Propose that the keys of a frozen vault go on.
    Thaw(Thaw),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// The last id of the page before.
    #[arg(long, value_name = "ID")]
    before: Option<VaultId>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    tenant: Tenant,
    /// Name of the vault.
    name: String,
    /// The last key of the page before.
    #[arg(long, value_name = "ID")]
    before: Option<KeyId>,
    /// How many keys at most.
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    tenant: Tenant,
    /// 1 to 64 characters, different from every other vault's. It never changes.
    name: String,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Put {
    #[command(flatten)]
    tenant: Tenant,
    /// Name of the vault.
    name: String,
    /// Id of the key, as `countersign key list` shows it on the gateway's machine.
    #[arg(value_name = "ID")]
    key_id: KeyId,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    tenant: Tenant,
    /// Id of the key, as `show` shows it.
    #[arg(value_name = "ID")]
    key_id: KeyId,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Freeze {
    #[command(flatten)]
    tenant: Tenant,
    /// Name of the vault.
    name: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Thaw {
    #[command(flatten)]
    tenant: Tenant,
    /// Name of the vault.
    name: String,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

impl VaultCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Create(Create { tenant, name, reason }) => {
                tenant.propose(&json!({ "kind": "vault", "name": name }), &reason).await
            }
            Self::Put(Put { tenant, name, key_id, reason }) => {
                let vault = id_of(&tenant, &name).await?;
                tenant.propose(&json!({ "kind": "key_move", "key": key_id, "vault": vault }), &reason).await
            }
            Self::Remove(Remove { tenant, key_id, reason }) => {
                tenant.propose(&json!({ "kind": "key_move", "key": key_id, "vault": null }), &reason).await
            }
            Self::Freeze(Freeze { tenant, name }) => {
                let vault = id_of(&tenant, &name).await?;
                let frozen = tenant.post("freeze", Some(&json!({ "vault": vault }))).await?;
                let told = "the vault is frozen: none of its keys signs anything. Going on takes a proposal \
                            (`countersign operator vault thaw`)";
                tenant.print(&frozen, &[told.to_owned()])
            }
            Self::Thaw(Thaw { tenant, name, reason }) => {
                let vault = id_of(&tenant, &name).await?;
                tenant.propose(&json!({ "kind": "thaw", "vault": vault }), &reason).await
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let listed = self.tenant.get(&format!("vaults?limit={}{before}", self.limit)).await?;
        let vaults = listed["vaults"].as_array().context("the gateway shows no `vaults`")?;
        let lines: Vec<String> = vaults.iter().map(line).collect();
        self.tenant.print(&listed, &lines)
    }
}

impl Show {
    async fn run(self) -> Result<Status> {
        let mut vault = found(&self.tenant, &self.name).await?;
        let id = text(&vault["id"], 36);
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let listed = self.tenant.get(&format!("vaults/{id}/keys?limit={}{before}", self.limit)).await?;
        let keys = listed["keys"].as_array().context("the gateway shows no `keys`")?;
        let shown = keys.iter().map(|key| {
            let of = |name: &str| text(&key[name], 64);
            let frozen = if key["frozen"] == true { " frozen" } else { "" };
            format!("{}  {:<20} {}  {}{frozen}", of("id"), of("purpose"), of("address"), of("state"))
        });
        let lines: Vec<String> = [line(&vault)].into_iter().chain(shown).collect();
        vault["keys"] = listed["keys"].clone();
        self.tenant.print(&vault, &lines)
    }
}

/// The id of the vault of that name.
pub(super) async fn id_of(tenant: &Tenant, name: &str) -> Result<String> {
    let id: VaultId = found(tenant, name).await?["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .context("the gateway shows no `id`")?;
    Ok(id.to_string())
}

/// The names of the vaults that bindings are about, by id.
pub(super) async fn names_in(
    tenant: &Tenant,
    bindings: impl Iterator<Item = &Value>,
) -> Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for id in bindings.filter_map(|binding| binding["scope"]["vaults"].as_array()).flatten() {
        let id: Option<VaultId> = id.as_str().and_then(|id| id.parse().ok());
        let Some(id) = id.map(|id| id.to_string()).filter(|id| !names.contains_key(id)) else { continue };
        let vault = tenant.get(&format!("vaults/{id}")).await?;
        names.insert(id, text(&vault["name"], 300));
    }
    Ok(names)
}

async fn found(tenant: &Tenant, name: &str) -> Result<Value> {
    let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let listed = tenant.get(&format!("vaults?name={encoded}")).await?;
    let vault = listed["vaults"].get(0).cloned();
    let shown = name.escape_debug();
    vault.with_context(|| {
        format!("the organization has no vault `{shown}`; `countersign operator vault list` shows those that it has")
    })
}

fn line(vault: &Value) -> String {
    let frozen = if vault["frozen"] == true { "  frozen" } else { "" };
    format!("{}  {}{frozen}", text(&vault["id"], 36), text(&vault["name"], 300))
}
