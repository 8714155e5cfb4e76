//! `countersign migrate`.

use anyhow::Result;
use clap::Args;
use gateway_store::{migrate, pending_migrations};
use serde_json::json;

use super::{
    output::{Format, progress},
    place::Place,
    status::Status,
};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    place: Place,
    /// Say what is pending and change nothing.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    format: Format,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<Status> {
        let url = self.place.load()?.database.store_config()?.url;
        let pending = pending_migrations(&url).await?;
        let names: Vec<_> = pending.iter().map(|migration| migration.name).collect();
        if !self.check && !pending.is_empty() {
            progress(&format!("applying {}", names.join(", ")));
            migrate(&url).await?;
        }
        let word = if self.check { "pending" } else { "applied" };
        let line = if names.is_empty() {
            "nothing is pending".to_owned()
        } else {
            format!("{word}: {}", names.join(", "))
        };
        self.format.print(&json!({ word: names }), &[line])
    }
}
