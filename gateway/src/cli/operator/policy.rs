//! `countersign operator policy`, `bind` and `unbind`: reading policies, and proposing the next one without writing it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use gateway_domain::{
    B256,
    chain::ChainId,
    ids::{KeyId, PluginRevisionId},
    policy::{Floor, Mode, Power, RevisionSignature, subject_digest},
    transactions::Kind,
};
use serde_json::{Value, json};

use super::{Tenant, text, vault};
use crate::cli::{
    plugin::{ModeArgument, PowerArgument},
    status::Status,
};

mod rollback;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PolicyCommand {
    /// List policies, newest first, and who carried them.
    List(List),
    /// Show a policy: the one in force, or an earlier one.
    Show(Show),
    /// Bring an earlier policy back: at once by one approver where only revisions of its plugins differ, else by a proposal.
    Rollback(rollback::Rollback),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// The last revision of the page before.
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    tenant: Tenant,
    /// Without it, the one in force.
    revision: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Bind {
    #[command(flatten)]
    tenant: Tenant,
    /// The revision. It takes the place of its plugin's revision of the same mode, or the last one. Enforcing a plugin's
    /// shadow ends the shadow.
    #[arg(long, value_name = "REVISION")]
    plugin: PluginRevisionId,
    #[arg(long, value_enum)]
    mode: ModeArgument,
    #[command(flatten)]
    power: PowerArgument,
    /// Kind of request that it is asked about, such as `transaction`; repeat for several.
    #[arg(long = "kind", value_name = "KIND", required = true, value_parser = kind)]
    kinds: Vec<Kind>,
    /// Chain that it is asked about, such as `eip155:1`; repeat for several. Without any, all chains.
    #[arg(long = "chain", value_name = "CHAIN")]
    chains: Vec<ChainId>,
    /// Key that it is asked about; repeat for several. Without any, all keys.
    #[arg(long = "key-id", value_name = "ID")]
    keys: Vec<KeyId>,
    /// Name of the vault that it is asked about, that is about what its keys sign; repeat for several. Without any, all keys,
    /// wherever they lie.
    #[arg(long = "vault", value_name = "NAME")]
    vaults: Vec<String>,
    /// Name of the plugin that it is to stand before. All are asked at once; the first that denies says why.
    #[arg(long, value_name = "NAME")]
    before: Option<String>,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unbind {
    #[command(flatten)]
    tenant: Tenant,
    /// Name of the plugin.
    #[arg(value_name = "NAME")]
    plugin: String,
    /// Only where it is bound like this; without it, both its enforced revision and its shadow.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
}

impl PolicyCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(Show { tenant, revision }) => {
                let path =
                    revision.map_or_else(|| "policy".to_owned(), |number| format!("policies/{number}"));
                let policy = tenant.get(&path).await?;
                let names = vault::names_in(&tenant, bindings_of(Some(&policy)).iter()).await?;
                tenant.print(&policy, &described(&policy, &names))
            }
            Self::Rollback(rollback) => rollback.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<Status> {
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let listed = self.tenant.get(&format!("policies?limit={}{before}", self.limit)).await?;
        let policies = listed["policies"].as_array().context("the gateway shows no `policies`")?;
        let line = |policy: &Value| {
            let (number, at) = (&policy["revision"], text(&policy["createdAt"], 40));
            format!("{number:>6}  {at}  {}", carried(policy))
        };
        let lines: Vec<String> = policies.iter().map(line).collect();
        self.tenant.print(&listed, &lines)
    }
}

impl Bind {
    pub(super) async fn run(self) -> Result<Status> {
        let revision = self.tenant.get(&format!("plugins/{}", self.plugin)).await?;
        check_revision(&revision)?;
        let name = revision["plugin"].as_str().context("the gateway shows no `plugin`")?;
        let present = self.tenant.find("policy").await?;
        let mut vaults = Vec::with_capacity(self.vaults.len());
        for name in &self.vaults {
            vaults.push(vault::id_of(&self.tenant, name).await?);
        }
        let binding = json!({
            "plugin": name, "revision": revision["id"], "subject_digest": revision["subjectDigest"],
            "mode": Mode::from(self.mode), "power": Power::from(self.power),
            "scope": { "kinds": self.kinds, "chains": self.chains, "keys": self.keys, "vaults": vaults },
        });
        let bindings = placed(bindings_of(present.as_ref()), binding, self.before.as_deref())?;
        self.tenant.propose(&next(present.as_ref(), bindings), &self.reason).await
    }
}

impl Unbind {
    pub(super) async fn run(self) -> Result<Status> {
        let present = self.tenant.get("policy").await?;
        let mut bindings = bindings_of(Some(&present));
        let before = bindings.len();
        let mode = self.mode.map(|mode| Mode::from(mode).as_str());
        bindings.retain(|binding| {
            let is_meant = mode.is_none_or(|mode| binding["mode"] == mode);
            binding["plugin"] != json!(self.plugin) || !is_meant
        });
        if bindings.len() == before {
            let as_mode = mode.map_or_else(String::new, |mode| format!(" to {mode}"));
            bail!("the policy in force binds no plugin `{}`{as_mode}", self.plugin.escape_debug());
        }
        self.tenant.propose(&next(Some(&present), bindings), &self.reason).await
    }
}

/// That the digest to be proposed is that of what the gateway shows, and that the author's signature is for it: a
/// proposal names no more than the digest.
fn check_revision(revision: &Value) -> Result<()> {
    if revision["revoked"].is_object() {
        bail!("the revision was revoked");
    }
    let read = |name: &str| {
        let text = revision[name].as_str();
        text.with_context(|| format!("the gateway shows no `{name}`"))
    };
    let digest =
        |name: &str| -> Result<B256> { read(name)?.parse().with_context(|| format!("reading `{name}`")) };
    let grants: BTreeSet<String> =
        serde_json::from_value(revision["grants"].clone()).context("reading `grants`")?;
    let subject = subject_digest(digest("componentDigest")?, read("settings")?, &grants);
    if subject != digest("subjectDigest")? {
        bail!("`subjectDigest` is not that of the component, the settings and the grants that are shown");
    }
    let signed = RevisionSignature::parse(read("signature")?).context("reading `signature`")?.read()?;
    if signed.claims.subject != subject || signed.claims.plugin != read("plugin")? {
        bail!("`signature` is for another plugin, component, settings or grants");
    }
    Ok(())
}

fn kind(text: &str) -> Result<Kind, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

fn bindings_of(policy: Option<&Value>) -> Vec<Value> {
    policy.and_then(|policy| policy["bindings"].as_array()).cloned().unwrap_or_default()
}

/// The bindings with `binding` in the place of its plugin's of the same mode, or of its own shadow, or before another's, or
/// last.
fn placed(mut bindings: Vec<Value>, binding: Value, before: Option<&str>) -> Result<Vec<Value>> {
    let same = |one: &Value, names: &[&str]| names.iter().all(|name| one[name] == binding[name]);
    // Enforced from now on; what stays a shadow beside it is another revision.
    let is_promoted = |one: &Value| {
        one["mode"] == "shadow" && binding["mode"] == "enforce" && same(one, &["plugin", "revision"])
    };
    let ends = |one: &Value| same(one, &["plugin", "mode"]) || is_promoted(one);
    let place = if let Some(name) = before {
        let other = |one: &Value| one["plugin"] == name && !same(one, &["plugin"]);
        let found = bindings.iter().position(other);
        found
            .with_context(|| format!("the policy in force binds no other plugin `{}`", name.escape_debug()))?
    } else {
        let own = bindings.iter().position(|one| same(one, &["plugin", "mode"]));
        own.or_else(|| bindings.iter().position(is_promoted)).unwrap_or(bindings.len())
    };
    let index = bindings[..place].iter().filter(|one| !ends(one)).count();
    bindings.retain(|one| !ends(one));
    bindings.insert(index, binding);
    Ok(bindings)
}

/// The change that puts `bindings` in the place of those of `present`, and leaves the floor.
fn next(present: Option<&Value>, bindings: Vec<Value>) -> Value {
    let proposed = bindings.into_iter().map(|mut binding| {
        if let Some(members) = binding.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "id" | "plugin"));
        }
        binding
    });
    let floor = present.map_or_else(|| json!(Floor::open()), |policy| policy["floor"].clone());
    let replaces = present.map_or_else(|| json!(0), |policy| policy["revision"].clone());
    json!({
        "kind": "policy", "replaces": replaces, "floor": floor, "bindings": proposed.collect::<Vec<_>>(),
    })
}

fn described(policy: &Value, vaults: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = vec![
        format!("revision  {}", policy["revision"]),
        format!("since     {}", text(&policy["createdAt"], 40)),
        format!("carried   {}", carried(policy)),
        format!("floor     {}", policy["floor"]),
    ];
    let bindings = policy["bindings"].as_array().into_iter().flatten();
    let revoked = || policy["revoked"].as_array().into_iter().flatten();
    lines.extend(bindings.enumerate().map(|(index, binding)| {
        let (name, revision) = (text(&binding["plugin"], 64), text(&binding["revision"], 36));
        let mark = if revoked().any(|id| *id == binding["revision"]) { "REVOKED, denies: " } else { "" };
        format!("{:>3}.      {name:<20} {revision}  {mark}{}", index + 1, summary(binding, vaults))
    }));
    lines
}

fn carried(policy: &Value) -> String {
    let carried = &policy["carried"];
    if !carried.is_object() {
        return "by a command on the gateway's machine".to_owned();
    }
    let approvers: Vec<_> =
        carried["approvers"].as_array().into_iter().flatten().map(|id| text(id, 36)).collect();
    let (proposer, reason) = (text(&carried["proposer"], 36), text(&carried["reason"], 200));
    format!("proposed by {proposer}, approved by {}: {reason}", approvers.join(", "))
}

/// Mode, power and scope in a few words; `vaults` are names by id.
pub(super) fn summary(binding: &Value, vaults: &BTreeMap<String, String>) -> String {
    let power = match binding["power"]["authority"].as_str() {
        Some(role) => format!("authority for `{}`", plugin_host::plain(role, 64)),
        None => text(&binding["power"], 300),
    };
    let listed = |name: &str| {
        let names: Vec<_> =
            binding["scope"][name].as_array().into_iter().flatten().map(|one| text(one, 64)).collect();
        if names.is_empty() { format!("all {name}") } else { names.join(" ") }
    };
    let named = binding["scope"]["vaults"].as_array().into_iter().flatten().map(|id| {
        let id = text(id, 36);
        let name = vaults.get(&id).map_or_else(|| id.clone(), |name| format!("`{name}`"));
        format!(", in vault {name}")
    });
    let (mode, vaults) = (text(&binding["mode"], 20), named.collect::<String>());
    format!("{mode}, {power}, {}, {}, {}{vaults}", listed("kinds"), listed("chains"), listed("keys"))
}

#[cfg(test)]
mod tests;
