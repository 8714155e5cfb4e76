//! Approving, refusing and withdrawing proposals. The last approval that is needed carries the change out, in the same
//! commit.

use std::collections::BTreeSet;

use alloy_primitives::B256;

use super::{
    Approval, Change, Charter, OperatorRole, Proposal, ProposalState, require_charter, require_role,
    require_stopper,
};
use crate::{
    actor::OpCtx,
    changes::{ChangeSet, CommitError, Contested, OperatorWrite, Write},
    error::{Error, Result},
    ids::{OperatorId, ProposalId},
    ports::Services,
    sealed::Sealed,
};

const CONTESTED: Error = Error::Conflict("others change the same; try again");
const NOT_OPEN: Error = Error::Conflict("the proposal is not open any more");

/// Counts the caller's approval of the proposal with this digest, and makes the change if it was the last one needed.
/// Approving again changes nothing.
pub async fn approve_proposal(
    ctx: &OpCtx,
    services: &Services,
    id: ProposalId,
    digest: B256,
) -> Result<Proposal> {
    let approver = require_role(ctx, OperatorRole::Approver)?;
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = signed_proposal(services, id, digest).await?;
        let charter = require_charter(services).await?;
        let has_approved = stored.approvals.iter().any(|approval| approval.operator == approver.operator);
        // A number that was lowered since may make an approval of before the last one.
        if has_approved && (!stored.is_open(ctx.now) || !charter.suffice(&stored)) {
            return Ok(stored.into_value());
        }
        if !stored.is_open(ctx.now) {
            return Err(NOT_OPEN);
        }
        let proposer = charter.operator(stored.proposer);
        if !proposer.is_some_and(|proposer| proposer.has(OperatorRole::Author)) {
            return Err(Error::Conflict("who proposed it is no author any more"));
        }
        if stored.proposer == approver.operator {
            return Err(Error::Forbidden("somebody else must approve what you proposed"));
        }
        let mut proposal = stored.into_value();
        proposal.version += 1;
        if !has_approved {
            proposal.approvals.push(Approval {
                operator: approver.operator,
                at: ctx.now,
                evidence: approver.evidence.clone(),
            });
        }
        let changes = approved(ctx, services, &charter, &mut proposal).await?;
        match services.store.commit(changes).await {
            Ok(()) => return Ok(proposal),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CONTESTED)
}

/// Everything that the approval writes.
async fn approved(
    ctx: &OpCtx,
    services: &Services,
    charter: &Sealed<Charter>,
    proposal: &mut Proposal,
) -> Result<ChangeSet> {
    if !charter.suffice(proposal) {
        let changes = ChangeSet::new(proposal.event(ctx, "proposal.approved"));
        return Ok(changes
            .write(Write::Operators(OperatorWrite::UpdateProposal(services.sealer.seal(proposal.clone())))));
    }
    proposal.state = ProposalState::Carried { at: ctx.now };
    let changes = ChangeSet::new(proposal.event(ctx, "proposal.carried"))
        .write(Write::Operators(OperatorWrite::UpdateProposal(services.sealer.seal(proposal.clone()))));
    let concerned = OpCtx { organization: proposal.organization, ..ctx.clone() };
    let carried = proposal.change.prepare(&concerned, services, charter, Some(proposal.id)).await?;
    let changes = carried.events.into_iter().fold(changes, ChangeSet::event).writes_of(carried.writes);
    // Those who approved are still who they were when this is written.
    let replaces_charter = changes
        .writes()
        .iter()
        .any(|write| matches!(write, Write::Operators(OperatorWrite::UpdateCharter(_))));
    Ok(if replaces_charter {
        changes
    } else {
        changes.write(Write::Operators(OperatorWrite::RequireCharter(charter.revision)))
    })
}

/// Ends a proposal: one approver is enough to say no.
pub async fn refuse_proposal(
    ctx: &OpCtx,
    services: &Services,
    id: ProposalId,
    digest: B256,
) -> Result<Proposal> {
    let by = require_stopper(ctx)?.operator;
    let refused = ProposalState::Refused { by, at: ctx.now };
    end(ctx, services, (id, digest), refused, "proposal.refused").await
}

/// Takes the caller's own proposal back.
pub async fn withdraw_proposal(
    ctx: &OpCtx,
    services: &Services,
    id: ProposalId,
    digest: B256,
) -> Result<Proposal> {
    let proposer = require_role(ctx, OperatorRole::Author)?.operator;
    if signed_proposal(services, id, digest).await?.proposer != proposer {
        return Err(Error::Forbidden("only who proposed it may withdraw a proposal; refuse it instead"));
    }
    end(ctx, services, (id, digest), ProposalState::Withdrawn { at: ctx.now }, "proposal.withdrawn").await
}

async fn end(
    ctx: &OpCtx,
    services: &Services,
    (id, digest): (ProposalId, B256),
    state: ProposalState,
    action: &'static str,
) -> Result<Proposal> {
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = signed_proposal(services, id, digest).await?;
        let is_unclaimed =
            matches!((&stored.change, stored.state), (Change::ApiKey(_), ProposalState::Carried { .. }));
        if !stored.is_open(ctx.now) && !is_unclaimed {
            return Err(NOT_OPEN);
        }
        let proposal = stored.moved_to(state);
        let changes = ChangeSet::new(proposal.event(ctx, action));
        let write = Write::Operators(OperatorWrite::UpdateProposal(services.sealer.seal(proposal.clone())));
        match services.store.commit(changes.write(write)).await {
            Ok(()) => return Ok(proposal),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CONTESTED)
}

/// The proposal, if it is the one that the caller has read and signed.
async fn signed_proposal(services: &Services, id: ProposalId, digest: B256) -> Result<Sealed<Proposal>> {
    let stored = services.store.proposal(id).await?.ok_or(Error::NotFound("proposal"))?;
    if stored.digest() != digest {
        return Err(Error::Conflict("digest is not that of the proposal"));
    }
    Ok(stored)
}

impl Charter {
    pub(super) fn suffice(&self, proposal: &Proposal) -> bool {
        self.counted(proposal) >= self.approvals_required as usize
    }

    /// Approvals of those who may approve it now: distinct, active, approvers, and not the proposer.
    fn counted(&self, proposal: &Proposal) -> usize {
        let may = |id: OperatorId| {
            let operator = self.operator(id);
            id != proposal.proposer && operator.is_some_and(|operator| operator.has(OperatorRole::Approver))
        };
        let counted = proposal.approvals.iter().map(|approval| approval.operator).filter(|id| may(*id));
        counted.collect::<BTreeSet<_>>().len()
    }
}
