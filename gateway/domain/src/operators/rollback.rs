//! Going back at once. An approver alone brings back a policy that a quorum carried lately, where nothing but the revisions
//! of the same plugins differs, shadows aside; everything else is a proposal.
//!
//! What comes back was agreed on by a quorum that would still be one, and was replaced by one within
//! `limits.rollback_window_seconds`. A revision that must not come back is revoked: no policy that binds it can be stored.

use super::{
    Approval, Change, Charter, OperatorRole, Proposal, ProposalState, Propose, require_charter, require_role,
    require_stopper,
};
use crate::{
    actor::OpCtx,
    changes::{ChangeSet, CommitError, Contested, OperatorWrite, Write},
    error::{Error, Result},
    policy::{Binding, Mode, Policy},
    ports::Services,
    sealed::Sealed,
};

/// What became of the wish to go back.
#[derive(Clone, Debug)]
pub struct RolledBack {
    pub proposal: Proposal,
    /// Why it waits for approvals; absent where the earlier policy is in force again.
    pub obstacle: Option<RollbackObstacle>,
}

/// Why going back to a policy takes the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackObstacle {
    NoApprover,
    NotEarlier,
    NotCarried,
    TooLongAgo,
    OtherFloor,
    OtherBindings,
}

impl RollbackObstacle {
    /// For whoever asked.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoApprover => "only an approver goes back alone, so it takes a proposal by an author",
            Self::NotEarlier => {
                "the policy in force came back itself and this one is no earlier one, so it takes a proposal by an author"
            }
            Self::NotCarried => {
                "no quorum carried that policy, or one that would be none today, so it takes a proposal by an author"
            }
            Self::TooLongAgo => {
                "that policy was replaced longer ago than limits.rollback_window_seconds, so it takes a proposal by an \
                 author"
            }
            Self::OtherFloor => "that policy has another floor, so it takes a proposal by an author",
            Self::OtherBindings => {
                "that policy enforces other plugins, or in another order, scope or power, so it takes a proposal by an \
                 author"
            }
        }
    }
}

/// Goes back to policy revision `to` of the caller's organization at once, if the caller is an approver and may do so alone;
/// otherwise proposes it, which takes an author.
pub async fn roll_back_policy(
    ctx: &OpCtx,
    services: &Services,
    to: u64,
    request: Propose,
) -> Result<RolledBack> {
    let caller = require_stopper(ctx)?;
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let charter = require_charter(services).await?;
        let present = services.store.policy(ctx.organization).await?.ok_or(Error::NotFound("policy"))?;
        if let Some(obstacle) = obstacle(ctx, services, &charter, &present, to).await? {
            if !caller.roles.contains(&OperatorRole::Author) {
                return Err(Error::Forbidden(obstacle.as_str()));
            }
            let proposal = super::propose(ctx, services, request).await?;
            return Ok(RolledBack { proposal, obstacle: Some(obstacle) });
        }
        let mut proposal = request.clone().draft(ctx, services, &charter).await?;
        // What is replaced is what was judged: a draft of something later is none, and on something later still the commit
        // fails.
        if proposal.change.replaced_policy() != Some(present.revision) {
            continue;
        }
        let approver = require_role(ctx, OperatorRole::Approver)?;
        let (operator, evidence) = (approver.operator, approver.evidence.clone());
        proposal.approvals.push(Approval { operator, at: ctx.now, evidence });
        proposal.state = ProposalState::CarriedAtOnce { at: ctx.now };
        let carried = proposal.change.prepare(ctx, services, &charter, Some(proposal.id)).await?;
        let changes = ChangeSet::new(proposal.event(ctx, "policy.rolled_back"))
            .write(Write::Operators(OperatorWrite::InsertProposal(services.sealer.seal(proposal.clone()))))
            .write(Write::Operators(OperatorWrite::RequireCharter(charter.revision)));
        let changes = carried.events.into_iter().fold(changes, ChangeSet::event).writes_of(carried.writes);
        match services.store.commit(changes).await {
            Ok(()) => return Ok(RolledBack { proposal, obstacle: None }),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Conflict("others change the same; try again"))
}

/// What stands in the way of going back alone.
async fn obstacle(
    ctx: &OpCtx,
    services: &Services,
    charter: &Charter,
    present: &Policy,
    to: u64,
) -> Result<Option<RollbackObstacle>> {
    let found = services.store.policy_revision(ctx.organization, to).await?;
    let earlier = found.ok_or(Error::NotFound("policy"))?;
    if to >= present.revision {
        return Err(Error::invalid("revision must be an earlier one than that in force"));
    }
    let caller = require_stopper(ctx)?.operator;
    if !charter.operator(caller).is_some_and(|operator| operator.has(OperatorRole::Approver)) {
        return Ok(Some(RollbackObstacle::NoApprover));
    }
    if to >= origin(services, present).await? {
        return Ok(Some(RollbackObstacle::NotEarlier));
    }
    if let Some(obstacle) = age(ctx, services, charter, &earlier).await? {
        return Ok(Some(obstacle));
    }
    Ok(difference(present, &earlier))
}

/// The revision that a quorum carried and whose content this is.
async fn origin(services: &Services, policy: &Policy) -> Result<u64> {
    let Some(proposal) = carrier(services, policy).await? else { return Ok(policy.revision) };
    Ok(match (&proposal.state, &proposal.change) {
        (ProposalState::CarriedAtOnce { .. }, Change::PolicyRollback { to, .. }) => *to,
        _ => policy.revision,
    })
}

async fn carrier(services: &Services, policy: &Policy) -> Result<Option<Sealed<Proposal>>> {
    match policy.proposal {
        Some(id) => services.store.proposal(id).await,
        None => Ok(None),
    }
}

/// Only what quorums carried counts, so that nobody alone keeps an old policy within reach by going to and fro.
async fn age(
    ctx: &OpCtx,
    services: &Services,
    charter: &Charter,
    earlier: &Policy,
) -> Result<Option<RollbackObstacle>> {
    let carried = carrier(services, earlier).await?;
    let is_carried = |proposal: &Proposal| matches!(proposal.state, ProposalState::Carried { .. });
    if !carried.is_some_and(|proposal| is_carried(&proposal) && charter.suffice(&proposal)) {
        return Ok(Some(RollbackObstacle::NotCarried));
    }
    let mut revision = earlier.revision;
    loop {
        revision += 1;
        let Some(later) = services.store.policy_revision(ctx.organization, revision).await? else {
            return Ok(None);
        };
        // Whatever came after this one is as young.
        if ctx.now.since(later.created_at) <= services.limits.rollback_window {
            return Ok(None);
        }
        if carrier(services, &later).await?.is_some_and(|proposal| is_carried(&proposal)) {
            return Ok(Some(RollbackObstacle::TooLongAgo));
        }
    }
}

/// What differs besides the revisions, among the bindings that decide: a shadow that came or went meanwhile is no reason to
/// wait.
fn difference(present: &Policy, earlier: &Policy) -> Option<RollbackObstacle> {
    if present.floor != earlier.floor {
        return Some(RollbackObstacle::OtherFloor);
    }
    let place = |binding: &Binding| {
        (binding.id, binding.plugin.clone(), binding.scope.clone(), binding.power.clone())
    };
    let deciding = |policy: &'_ Policy| {
        let bindings = policy.bindings.iter().filter(|binding| binding.mode == Mode::Enforce);
        bindings.map(place).collect::<Vec<_>>()
    };
    let is_same = deciding(present) == deciding(earlier);
    (!is_same).then_some(RollbackObstacle::OtherBindings)
}
