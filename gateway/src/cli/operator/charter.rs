//! `countersign operator charter`: who the operators are, and proposing who they are to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::{
    ids::OperatorId,
    operators::{NewOperator, OperatorKey, OperatorRole},
};
use serde_json::{Value, json};

use super::{Identity, tenant::waiting};
use crate::cli::{
    output::Format,
    status::{Status, UsageError},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CharterCommand {
    /// Show who the operators are and how many must agree.
    Show(Show),
    /// Propose other operators, other roles, or another number of approvals.
    Propose(ProposeCharter),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    identity: Identity,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ProposeCharter {
    #[command(flatten)]
    identity: Identity,
    /// Somebody more: name, roles joined by `+` (author, approver, auditor), and the PEM file of the public key that
    /// `operator keygen` printed for them; repeat for several.
    #[arg(long = "enrol", value_name = "NAME=ROLES=FILE", value_parser = newcomer)]
    enrolled: Vec<Newcomer>,
    /// Id of an operator whose power ends; repeat for several. Any author or approver ends it at once by `operator revoke`.
    #[arg(long = "revoke", value_name = "ID")]
    revoked: Vec<OperatorId>,
    /// Other roles of an operator; repeat for several.
    #[arg(long = "roles", value_name = "ID=ROLES", value_parser = new_roles)]
    roles: Vec<(OperatorId, Roles)>,
    /// Approvers besides the proposer who must sign a proposal; without it, as many as now.
    #[arg(long, value_name = "N")]
    approvals_required: Option<u32>,
    /// Why, for those who approve.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    format: Format,
}

type Roles = BTreeSet<OperatorRole>;

/// Who is to be enrolled, the key still in its file.
#[derive(Clone, Debug)]
struct Newcomer {
    name: String,
    roles: Roles,
    file: PathBuf,
}

impl CharterCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Show(Show { identity }) => identity.show("GET", PATH, None).await,
            Self::Propose(propose) => propose.run().await,
        }
    }
}

const PATH: &str = "/operator/v1/charter";

impl ProposeCharter {
    async fn run(self) -> Result<Status> {
        let changes_people = !(self.enrolled.is_empty() && self.revoked.is_empty() && self.roles.is_empty());
        if !changes_people && self.approvals_required.is_none() {
            return Err(UsageError("nothing is to change: see `--enrol`, `--revoke`, `--roles`").into());
        }
        let client = self.identity.client()?;
        let approvals_required = match self.approvals_required {
            Some(number) => json!(number),
            None => client.ask("GET", PATH, None).await?["approvalsRequired"].clone(),
        };
        let enrolled: Vec<NewOperator> =
            self.enrolled.into_iter().map(Newcomer::read).collect::<Result<_>>()?;
        let change = json!({
            "kind": "charter", "enrolled": enrolled, "revoked": BTreeSet::from_iter(self.revoked),
            "roles": BTreeMap::from_iter(self.roles), "approvals_required": approvals_required,
        });
        let body = json!({ "change": &change, "reason": self.reason });
        let proposal = client.ask("POST", "/operator/v1/proposals", Some(&body)).await?;
        let mut lines = enrolled_in(&change);
        lines.extend(waiting(&proposal)?);
        self.format.print(&proposal, &lines)
    }
}

impl Newcomer {
    fn read(self) -> Result<NewOperator> {
        let shown = self.file.display();
        let pem = fs::read_to_string(&self.file).with_context(|| format!("reading `{shown}`"))?;
        let public_key = OperatorKey::from_pem(&pem).with_context(|| format!("the key in `{shown}`"))?;
        Ok(NewOperator { name: self.name, public_key, roles: self.roles })
    }
}

/// What a change of the charter enrols, for people who compare fingerprints: a key's own text is long.
pub(super) fn enrolled_in(change: &Value) -> Vec<String> {
    let enrolled: Vec<NewOperator> = serde_json::from_value(change["enrolled"].clone()).unwrap_or_default();
    let line = |new: &NewOperator| {
        let name = plugin_host::plain(&new.name, 64);
        format!("enrols {name} with the key of fingerprint {}", new.public_key.fingerprint())
    };
    enrolled.iter().map(line).collect()
}

fn newcomer(text: &str) -> Result<Newcomer, String> {
    let mut parts = text.splitn(3, '=');
    let (Some(name), Some(given), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("must be NAME=ROLES=FILE".to_owned());
    };
    Ok(Newcomer { name: name.to_owned(), roles: roles(given)?, file: file.into() })
}

fn new_roles(text: &str) -> Result<(OperatorId, Roles), String> {
    let (id, given) = text.split_once('=').ok_or("must be ID=ROLES")?;
    let id = id.parse().map_err(|_| "ID must be a UUID".to_owned())?;
    Ok((id, roles(given)?))
}

fn roles(text: &str) -> Result<Roles, String> {
    let role = |name: &str| match name {
        "author" => Ok(OperatorRole::Author),
        "approver" => Ok(OperatorRole::Approver),
        "auditor" => Ok(OperatorRole::Auditor),
        other => Err(format!("`{}` is no role: author, approver or auditor", other.escape_debug())),
    };
    text.split('+').map(role).collect()
}
