//! Writes of the charter and of proposals.

use super::{AuthorityScope, RowWrite, rows::stored};
use crate::{
    operators::{Charter, Proposal},
    sealed::Sealed,
};

/// One change of what operators are, or propose.
#[derive(Clone, Debug)]
pub enum OperatorWrite {
    InsertCharter(Sealed<Charter>),
    UpdateCharter(Sealed<Charter>),
    /// Writes nothing; the set is lost unless the charter is still at this revision.
    RequireCharter(u64),
    InsertProposal(Sealed<Proposal>),
    UpdateProposal(Sealed<Proposal>),
}

impl OperatorWrite {
    pub(super) fn takes_authority(&self) -> Option<AuthorityScope> {
        match self {
            // Who signed for a plugin may be nobody now, in whichever organization it is bound.
            Self::UpdateCharter(_) => Some(AuthorityScope::Deployment),
            Self::InsertCharter(_)
            | Self::RequireCharter(_)
            | Self::InsertProposal(_)
            | Self::UpdateProposal(_) => None,
        }
    }

    pub(super) fn rows(&self) -> Vec<RowWrite> {
        match self {
            Self::InsertCharter(row) | Self::UpdateCharter(row) => stored(row),
            Self::InsertProposal(row) | Self::UpdateProposal(row) => stored(row),
            Self::RequireCharter(_) => Vec::new(),
        }
    }
}
