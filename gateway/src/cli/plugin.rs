//! `countersign plugin`: for authors, and for those who install what authors make.

use anyhow::Result;
use clap::Subcommand;

use super::status::Status;

mod install;
mod list;
mod replay;

pub(super) use self::{
    install::{NewPlugin, install},
    list::list,
    replay::replay,
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Store a component with its settings as a new revision, and bind it in a new revision of the policy.
    Install(install::Install),
    /// List the organization's plugin revisions and where they are bound.
    List(list::List),
    /// Evaluate a transaction's records again and compare, bit for bit. Nothing is decided anew.
    Replay(replay::Replay),
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Install(install) => install.run().await,
            Self::List(list) => list.run().await,
            Self::Replay(replay) => replay.run().await,
        }
    }
}
