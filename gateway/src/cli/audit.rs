//! `countersign audit`: the log as an auditor sees it, without keys and without the gateway; and going on from one that was
//! rolled back on purpose.

use anyhow::Result;
use clap::Subcommand;
use gateway_domain::audit::SignedCheckpoint;
use sha2::{Digest as _, Sha256};

use super::status::Status;
use crate::{checkpoints::read_anchor, config::Config, data_dir::ANCHOR};

mod accept_rollback;
mod approve_rollback;
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
    /// Go on from a database that was brought back on purpose and lacks what was signed since. No gateway may run.
    AcceptRollback(accept_rollback::AcceptRollback),
    /// Sign, as an approver, that a deployment with operators goes on from there.
    ApproveRollback(approve_rollback::ApproveRollback),
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::Verify(verify) => verify.run().await,
            Self::Export(export) => export.run().await,
            Self::AcceptRollback(accept) => accept.run().await,
            Self::ApproveRollback(approve) => approve.run(),
        }
    }
}

/// Hex SHA-256 of a public point: how an auditor names a key.
fn fingerprint(public_key: &[u8]) -> String {
    hex::encode(Sha256::digest(public_key))
}

/// The last checkpoint that the host saw, if it saw any.
fn anchor(config: &Config) -> Result<Option<SignedCheckpoint>> {
    config.core.data_dir.as_ref().map_or(Ok(None), |directory| read_anchor(&directory.join(ANCHOR)))
}
