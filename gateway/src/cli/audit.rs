//! `countersign audit verify | export`: the log as an auditor sees it, without keys and without the gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use sha2::{Digest as _, Sha256};

use super::{place::Place, status::Status};
use crate::{checkpoints::read_anchor, config::Config, data_dir::ANCHOR};

mod check;
mod export;
mod finding;
mod verify;
mod witness;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check every entry and checkpoint against the pinned key, and name each row that was changed, removed, inserted,
    /// reordered or rolled back.
    Verify(verify::Verify),
    /// Copy entries and checkpoints as JSON lines.
    Export(export::Export),
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Verify(verify) => verify.run().await,
            Self::Export(export) => export.run().await,
        }
    }
}

/// Hex SHA-256 of a public point: how an auditor names a key.
fn fingerprint(public_key: &[u8]) -> String {
    hex::encode(Sha256::digest(public_key))
}

/// Where the host keeps the last checkpoint it saw.
fn anchor_path(config: &Config) -> Option<PathBuf> {
    config.core.data_dir.as_ref().map(|directory| directory.join(ANCHOR))
}

/// Configuration for reading: neither the token nor the data directory's lock is needed.
fn read_only(place: &Place) -> Result<Config> {
    place.load().context("reading the configuration")
}

/// The last checkpoint that the host saw, if it saw any.
fn anchor(config: &Config) -> Result<Option<gateway_domain::audit::SignedCheckpoint>> {
    anchor_path(config).map_or(Ok(None), |path| read_anchor(&path))
}
