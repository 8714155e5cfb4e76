//! Which sealed rows a write touches, for the tallies of the audit log.

use super::Write;
use crate::{
    registry::RelayOutcome,
    sealed::{RowVersion, Sealable, Sealed},
};

/// What a write does to a sealed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowWrite {
    /// Inserted, or updated from the version before.
    Stored(RowVersion),
    /// Deleted at this version.
    Removed(RowVersion),
}

impl RowWrite {
    pub fn row(&self) -> &RowVersion {
        match self {
            Self::Stored(row) | Self::Removed(row) => row,
        }
    }
}

impl Write {
    /// Whether something is signed or sent on the strength of what this writes.
    pub fn permits(&self) -> bool {
        match self {
            Self::InsertPermit(_)
            | Self::RenewPermit(_)
            | Self::InsertVendorCall(_)
            | Self::InsertRelay(..) => true,
            // A higher bid is signed anew.
            Self::UpdateRelay(relay) => relay.outcome == RelayOutcome::Prepared,
            _ => false,
        }
    }

    /// Every sealed row that the write inserts, updates or deletes.
    pub fn rows(&self) -> Vec<RowWrite> {
        match self {
            Self::Operators(write) => write.rows(),
            Self::Vaults(write) => write.rows(),
            Self::InsertOrganization(row) | Self::UpdateOrganization(row) => stored(row),
            Self::InsertPrincipal(row) | Self::UpdatePrincipal(row) => stored(row),
            Self::InsertUser(row) | Self::UpdateUser(row) => stored(row),
            Self::InsertSettings(row) | Self::UpdateSettings(row) => stored(row),
            Self::InsertApiKey(row) | Self::InsertUserApiKey(row, _) | Self::UpdateApiKey(row) => stored(row),
            Self::InsertSession(row) | Self::UpdateSession(row) => stored(row),
            Self::RemoveSession(row) => removed(row),
            Self::InsertKey(row) | Self::InsertWalletKey(row, _) | Self::UpdateKey(row) => stored(row),
            Self::InsertPluginRevision(row, ..) => stored(row),
            Self::InsertPluginRevocation(row) => stored(row),
            Self::InsertPolicy(row) => stored(row),
            Self::MovePolicyHead(row) => stored(row),
            Self::InsertTransaction(row) | Self::UpdateTransaction(row) => stored(row),
            Self::InsertEvaluation(row) | Self::InsertDryRun(row, _) => stored(row),
            Self::UseState(state) => {
                let rows = state.changed.iter().map(|change| match (&change.before, &change.after) {
                    (_, Some(after)) => stored(after),
                    (Some(before), None) => removed(before),
                    (None, None) => Vec::new(),
                });
                rows.flatten().collect()
            }
            Self::InsertVote(row) => stored(row),
            Self::InsertPermit(row) | Self::RenewPermit(row) | Self::ReturnPermit(row) => stored(row),
            Self::InsertAttempt(row) | Self::UpdateAttempt(row) => stored(row),
            Self::InsertIntegration(row, _) | Self::UpdateIntegration(row) => stored(row),
            Self::InsertVendorCall(row) | Self::UpdateVendorCall(row) => stored(row),
            Self::InsertQuorum(row) | Self::UpdateQuorum(row) => stored(row),
            Self::DeleteQuorum(row) => removed(row),
            Self::InsertRegistration(row, _) | Self::UpdateRegistration(row) => stored(row),
            Self::InsertRelay(row, _) | Self::UpdateRelay(row) => stored(row),
            Self::InsertVerificationService(row) | Self::UpdateVerificationService(row) => stored(row),
            Self::InsertEncryptedPayload(row) | Self::UpdateEncryptedPayload(row) => stored(row),
            Self::InsertOrionMetadata(row) | Self::UpdateOrionMetadata(row) => stored(row),
            Self::ClaimSessionKey(..)
            | Self::ClaimQuorum(..)
            | Self::MarkQuorum { .. }
            | Self::InsertIpfsBlock { .. }
            | Self::DeleteIpfsBlock(_)
            | Self::InsertUsedRefreshToken(_)
            | Self::RequireNonce { .. }
            | Self::RequireUser(..)
            | Self::ScheduleOutbox(_)
            | Self::InsertReplayGuard(_)
            | Self::InsertIdempotency(_) => Vec::new(),
        }
    }
}

pub(super) fn stored<T: Sealable>(row: &Sealed<T>) -> Vec<RowWrite> {
    row.row_version().map(RowWrite::Stored).into_iter().collect()
}

fn removed<T: Sealable>(row: &Sealed<T>) -> Vec<RowWrite> {
    row.row_version().map(RowWrite::Removed).into_iter().collect()
}
