//! Operators: the few who may change what can be signed, and how many of them it takes (threat T31).
//!
//! The [`Charter`] names them; its first revision is the genesis record of `countersign init`. Whatever permits more than
//! before is a [`Proposal`] that enough approvers sign. Denying takes one: freezing, revoking and refusing are anybody's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, OpCtx},
    clock::Timestamp,
    error::{Error, Result},
    ids::{OperatorId, OrganizationId},
    ports::Services,
    sealed::{RowVersion, Sealable, Sealed},
};

mod approve;
mod change;
mod charter;
mod key;
mod propose;
mod recovery;
mod rollback;

pub use approve::{approve_proposal, refuse_proposal, withdraw_proposal};
pub use change::{
    Change, CharterChange, NewApiKey, NewOperator, PolicyChange, ProposedBinding, claim_api_key,
};
pub use charter::{charter_founding, check_founding, revoke_operator};
pub use key::{OperatorKey, OperatorKeyMalformed};
pub use propose::{Approval, Proposal, ProposalState, Propose, REASON_CHARACTERS_MAX, propose};
pub use recovery::{begin_recovery, complete_recovery, open_recovery};
pub use rollback::{RollbackObstacle, RolledBack, roll_back_policy};

/// Stands for the whole deployment where an organization is asked for: no tenant has it.
pub const DEPLOYMENT: OrganizationId = OrganizationId::from_uuid(uuid::Uuid::nil());

/// Who the operators are and how many of them must agree. One row, a new version for each revision; the audit log keeps
/// every revision whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// Counts from 1, the genesis record.
    pub revision: u64,
    /// Also those who were revoked: a key is never enrolled twice.
    pub operators: Vec<Operator>,
    /// Approvers besides the proposer who must sign a proposal. At least 2.
    pub approvals_required: u32,
    pub updated_at: Timestamp,
}

/// A person with a key of their own, outside the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub id: OperatorId,
    /// 1 to 64 printable characters, different from every other's.
    pub name: String,
    pub public_key: OperatorKey,
    pub roles: BTreeSet<OperatorRole>,
    pub enrolled_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// What an operator may do besides reading, freezing, revoking and refusing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Proposes changes and uploads plugins.
    Author,
    /// Approves what others propose.
    Approver,
    /// Reads. Holds no power to stop anything either.
    Auditor,
}

/// An operator who signed the request that is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorActor {
    pub operator: OperatorId,
    pub roles: BTreeSet<OperatorRole>,
    /// The request's proof as it was sent: kept with an approval, it shows who signed what.
    pub evidence: String,
}

impl Operator {
    pub fn is_active(&self) -> bool {
        self.revoked_at.is_none()
    }

    pub fn has(&self, role: OperatorRole) -> bool {
        self.is_active() && self.roles.contains(&role)
    }

    /// Whether the operator may stop things now: see [`require_stopper`].
    pub fn may_stop(&self) -> bool {
        self.is_active() && may_stop(&self.roles)
    }
}

impl OperatorRole {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl Sealable for Charter {
    const TABLE: &'static str = "charters";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(DEPLOYMENT, self.revision))
    }
}

/// The charter in force.
pub async fn require_charter(services: &Services) -> Result<Sealed<Charter>> {
    services.store.charter().await?.ok_or(Error::Unconfigured("operators"))
}

/// The caller, if it is an operator with `role`.
pub fn require_role(ctx: &OpCtx, role: OperatorRole) -> Result<&OperatorActor> {
    let Actor::Operator(operator) = &ctx.actor else { return Err(Error::Unauthenticated) };
    if operator.roles.contains(&role) {
        return Ok(operator);
    }
    Err(Error::Forbidden(match role {
        OperatorRole::Author => "the role author is required",
        OperatorRole::Approver => "the role approver is required",
        OperatorRole::Auditor => "the role auditor is required",
    }))
}

/// The caller, if it is an operator who may stop things: every role but the auditor's alone.
pub fn require_stopper(ctx: &OpCtx) -> Result<&OperatorActor> {
    let Actor::Operator(operator) = &ctx.actor else { return Err(Error::Unauthenticated) };
    if may_stop(&operator.roles) {
        return Ok(operator);
    }
    Err(Error::Forbidden("an auditor only reads"))
}

fn may_stop(roles: &BTreeSet<OperatorRole>) -> bool {
    [OperatorRole::Author, OperatorRole::Approver].iter().any(|role| roles.contains(role))
}
