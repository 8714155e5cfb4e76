//! One organization, as one operator asks about it.

use anyhow::{Context as _, Result};
use clap::Args;
use gateway_domain::ids::OrganizationId;
use serde_json::{Value, json};

use super::{Identity, text};
use crate::cli::{output::Format, status::Status};

/// Who asks, whom, and about which organization.
#[derive(Clone, Debug, Args)]
pub(super) struct Tenant {
    #[command(flatten)]
    identity: Identity,
    /// Id of the organization.
    #[arg(long, value_name = "ID", env = "COUNTERSIGN_ORGANIZATION")]
    organization: OrganizationId,
    #[command(flatten)]
    format: Format,
}

impl Tenant {
    fn path(&self, rest: &str) -> String {
        format!("/operator/v1/organizations/{}/{rest}", self.organization)
    }

    pub(super) async fn get(&self, rest: &str) -> Result<Value> {
        self.identity.client()?.ask("GET", &self.path(rest), None).await
    }

    /// What is there, if anything is.
    pub(super) async fn find(&self, rest: &str) -> Result<Option<Value>> {
        self.identity.client()?.find("GET", &self.path(rest), None).await
    }

    pub(super) async fn post(&self, rest: &str, body: Option<&Value>) -> Result<Value> {
        self.identity.client()?.ask("POST", &self.path(rest), body).await
    }

    pub(super) fn print(&self, value: &Value, lines: &[String]) -> Result<Status> {
        self.format.print(value, lines)
    }

    /// Proposes a change, and says how it goes on.
    pub(super) async fn propose(&self, change: &Value, reason: &str) -> Result<Status> {
        let body = json!({ "organization": self.organization, "change": change, "reason": reason });
        let proposal = self.identity.client()?.ask("POST", "/operator/v1/proposals", Some(&body)).await?;
        self.print(&proposal, &waiting(&proposal)?)
    }
}

/// A stored proposal, and how it goes on.
pub(super) fn waiting(proposal: &Value) -> Result<Vec<String>> {
    let id = proposal["id"].as_str().context("the gateway shows no `id`")?;
    let id = plugin_host::plain(id, 36);
    Ok(vec![
        format!("proposal {id}"),
        format!("digest   {}", text(&proposal["digest"], 66)),
        format!("open until {}", text(&proposal["expiresAt"], 40)),
        format!("approvers run `countersign operator approve {id}`"),
    ])
}
