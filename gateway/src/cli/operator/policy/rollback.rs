//! `countersign operator policy rollback`: the gateway says whether one approver was enough.

use std::iter;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use crate::cli::{
    operator::{
        tenant::{Tenant, waiting},
        text,
    },
    status::Status,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    tenant: Tenant,
    /// The revision to go back to. What must not come back is to be revoked: `operator plugin revoke`.
    revision: u64,
    /// Why, for those who approve, and for the record.
    #[arg(long)]
    reason: String,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<Status> {
        let path = format!("policies/{}/rollback", self.revision);
        let answer = self.tenant.post(&path, Some(&json!({ "reason": self.reason }))).await?;
        let proposal = &answer["proposal"];
        let lines = if answer["atOnce"] == true {
            let replaced = proposal["change"]["policy"]["replaces"].as_u64();
            let number = replaced.context("the gateway shows no `replaces`")?.saturating_add(1);
            vec![
                format!("back at once: policy {number} is in force, with the content of {}", self.revision),
                "revoke the revisions that must not come back (`countersign operator plugin revoke`)"
                    .to_owned(),
            ]
        } else {
            let obstacle = format!("not at once: {}", text(&answer["obstacle"], 300));
            iter::once(obstacle).chain(waiting(proposal)?).collect()
        };
        self.tenant.print(&answer, &lines)
    }
}
