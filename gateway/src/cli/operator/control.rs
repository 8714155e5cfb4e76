//! `countersign operator proposals`, `proposal`, `freeze` and `dry-run`: what waits, stopping things, and trying one out.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway_domain::ids::{KeyId, ProposalId};
use serde_json::{Value, json};

use super::{Identity, Tenant, read_json, text};
use crate::cli::status::Status;

#[derive(Debug, Args)]
pub(in crate::cli) struct Proposals {
    #[command(flatten)]
    identity: Identity,
    /// The last id of the page before.
    #[arg(long, value_name = "ID")]
    before: Option<ProposalId>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Proposal {
    #[command(flatten)]
    identity: Identity,
    /// Id of the proposal, as `proposals` shows it.
    proposal: ProposalId,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FreezeCommand {
    /// The whole organization: nothing of it is signed, and no message to it opened.
    Organization(FreezeOrganization),
    /// One key: it signs nothing.
    Key(FreezeKey),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FreezeOrganization {
    #[command(flatten)]
    tenant: Tenant,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FreezeKey {
    #[command(flatten)]
    tenant: Tenant,
    /// Id of the key, as `countersign key list` shows it on the gateway's machine.
    id: KeyId,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DryRun {
    #[command(flatten)]
    tenant: Tenant,
    /// JSON file of what would be asked for: `escrowAddress`, `to`, `value`, `chainId` and, as in `POST /transactions`, `data`,
    /// `executionType` and `note`; `-` for standard input.
    #[arg(value_name = "FILE")]
    request: PathBuf,
}

impl Proposals {
    pub(super) async fn run(self) -> Result<Status> {
        let before = self.before.map_or_else(String::new, |before| format!("&before={before}"));
        let path = format!("/operator/v1/proposals?limit={}{before}", self.limit);
        self.identity.show("GET", &path, None).await
    }
}

impl Proposal {
    pub(super) async fn run(self) -> Result<Status> {
        self.identity.show("GET", &format!("/operator/v1/proposals/{}", self.proposal), None).await
    }
}

impl FreezeCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let (tenant, body, frozen) = match self {
            Self::Organization(FreezeOrganization { tenant }) => {
                (tenant, json!({}), "the organization is frozen: it signs nothing")
            }
            Self::Key(FreezeKey { tenant, id }) => {
                (tenant, json!({ "key": id }), "the key is frozen: it signs nothing")
            }
        };
        let answer = tenant.post("freeze", Some(&body)).await?;
        let told = format!(
            "{frozen}. Going on takes a proposal of the kind `thaw` (`countersign operator propose`)"
        );
        tenant.print(&answer, &[told])
    }
}

impl DryRun {
    pub(super) async fn run(self) -> Result<Status> {
        let asked = read_json(&self.request)?;
        let run = self.tenant.post("dry-runs", Some(&asked)).await?;
        let decision = run["decision"].as_str().context("the gateway shows no `decision`")?;
        let mut lines = vec![format!(
            "{} under policy revision {}",
            plugin_host::plain(decision, 20),
            run["policyRevision"]
        )];
        if run["denial"].is_object() {
            let denial = &run["denial"];
            lines.push(format!("  {}: {}", text(&denial["reason"], 64), text(&denial["detail"], 2000)));
        }
        let of = |name: &str| run[name].as_array().into_iter().flatten();
        lines.extend(
            of("missing")
                .map(|one| format!("  missing: {} of role {}", one["count"], text(&one["role"], 64))),
        );
        lines.extend(of("bindings").map(opinion));
        if run["askedTooOften"] == true {
            lines.push("  a request would be turned away for now: this was denied too often".to_owned());
        }
        self.tenant.print(&run, &lines)
    }
}

fn opinion(binding: &Value) -> String {
    let of = |name: &str, bytes_max| text(&binding[name], bytes_max);
    let (plugin, mode, power) = (of("plugin", 64), of("mode", 20), of("power", 64));
    format!(
        "  {plugin} ({mode}, {power}): {} ({}) {}",
        of("verdict", 20),
        of("code", 64),
        of("analysis", 300)
    )
}
