//! A charter whose operators have lost their keys. Whoever runs the token's ceremony, with its security officer's PIN, names new
//! operators on the gateway's machine; that stays open, for everybody to see, before it can be completed, and one operator
//! who still has a key refuses it.
//!
//! This gives nobody more than the PIN did: a security officer can set the token's user PIN, and so use every key.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Change, Charter, CharterChange, DEPLOYMENT, Proposal, ProposalState, REASON_CHARACTERS_MAX,
    require_charter,
};
use crate::{
    actor::{Actor, OpCtx},
    changes::{ChangeSet, OperatorWrite, Write},
    clock::Timestamp,
    error::{Error, Result},
    founding::FoundCharter,
    ids::{OperatorId, ProposalId},
    ports::Services,
    sealed::Sealed,
    text::is_plain,
};

/// Who is named as the proposer: no operator.
const NOBODY: OperatorId = OperatorId::from_uuid(uuid::Uuid::nil());
/// For so long a recovery can be completed once its delay is over.
const COMPLETED_WITHIN: Duration = Duration::from_hours(7 * 24);
/// No recovery was begun longer ago than this and is still open: the longest delay there is, and the time after it.
const OPEN_AT_MOST: Duration = Duration::from_hours(37 * 24);
/// Proposals that are read at a time.
const PAGE: u32 = 50;

/// Stores who the operators are to be, all others' power ended, `limits.recovery_delay_seconds` from now. One recovery is open
/// at a time. The caller has shown the token's ceremony.
pub async fn begin_recovery(
    ctx: &OpCtx,
    services: &Services,
    named: FoundCharter,
    reason: String,
) -> Result<Proposal> {
    require_console(ctx)?;
    if !(1..=REASON_CHARACTERS_MAX).contains(&reason.chars().count()) || !reason.chars().all(is_plain) {
        return Err(Error::invalid(format!(
            "reason must have 1 to {REASON_CHARACTERS_MAX} plain characters"
        )));
    }
    if open_recovery(services, ctx.now).await?.is_some() {
        return Err(Error::Conflict(
            "a recovery is open already; complete it, or have an operator refuse it",
        ));
    }
    let charter = require_charter(services).await?;
    let active = charter.operators.iter().filter(|operator| operator.is_active());
    let change = CharterChange {
        enrolled: named.operators,
        revoked: active.map(|operator| operator.id).collect::<BTreeSet<_>>(),
        roles: BTreeMap::new(),
        approvals_required: named.approvals_required,
        replaces: Some(charter.revision),
    };
    charter.next(ctx, services, &change)?;
    let not_before = ctx.now.plus(services.limits.recovery_delay);
    let proposal = Proposal {
        id: ProposalId::generate(ctx.now, services.entropy.as_ref()),
        organization: DEPLOYMENT,
        proposer: NOBODY,
        change: Change::Recovery { charter: change, not_before },
        reason,
        approvals: Vec::new(),
        state: ProposalState::Open,
        version: 1,
        created_at: ctx.now,
        expires_at: not_before.plus(COMPLETED_WITHIN),
    };
    let changes = ChangeSet::new(proposal.event(ctx, "charter.recovery_begun"))
        .write(Write::Operators(OperatorWrite::InsertProposal(services.sealer.seal(proposal.clone()))))
        .write(Write::Operators(OperatorWrite::RequireCharter(charter.revision)));
    services.store.commit(changes).await?;
    Ok(proposal)
}

/// Puts the new operators in the place of the lost ones, if the delay is over, nobody has refused, and the charter is still
/// the one that was lost: whoever could change it has not lost it. The caller has shown the token's ceremony again.
pub async fn complete_recovery(ctx: &OpCtx, services: &Services, id: ProposalId) -> Result<Charter> {
    require_console(ctx)?;
    let stored = services.store.proposal(id).await?.ok_or(Error::NotFound("proposal"))?;
    let Change::Recovery { charter: change, not_before } = &stored.change else {
        return Err(Error::Conflict("the proposal is no recovery"));
    };
    if !stored.is_open(ctx.now) {
        return Err(Error::Conflict("the recovery was refused, completed, or has expired"));
    }
    if ctx.now < *not_before {
        return Err(Error::Conflict("the delay is not over: operators may still refuse the recovery"));
    }
    let present = require_charter(services).await?;
    if change.replaces != Some(present.revision) {
        return Err(Error::Conflict("the charter has moved on since, so it was not lost"));
    }
    let next = present.next(ctx, services, change)?;
    let proposal = stored.moved_to(ProposalState::Carried { at: ctx.now });
    let changes = ChangeSet::new(proposal.event(ctx, "charter.recovered"))
        .event(next.event(ctx, "charter.changed"))
        .write(Write::Operators(OperatorWrite::UpdateProposal(services.sealer.seal(proposal))))
        .write(Write::Operators(OperatorWrite::UpdateCharter(services.sealer.seal(next.clone()))));
    services.store.commit(changes).await?;
    Ok(next)
}

/// The recovery that waits or could be completed now: one of a charter that was changed since never can.
pub async fn open_recovery(services: &Services, now: Timestamp) -> Result<Option<Sealed<Proposal>>> {
    let Some(present) = services.store.charter().await? else { return Ok(None) };
    let is_recovery = |proposal: &Proposal| match &proposal.change {
        Change::Recovery { charter, .. } => charter.replaces == Some(present.revision),
        _ => false,
    };
    let mut before = None;
    loop {
        let page = services.store.proposals(before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        let is_past = last.created_at.plus(OPEN_AT_MOST) < now;
        before = Some(last.id);
        let found = page.into_iter().find(|proposal| proposal.is_open(now) && is_recovery(proposal));
        if found.is_some() || is_past {
            return Ok(found);
        }
    }
}

fn require_console(ctx: &OpCtx) -> Result<()> {
    match ctx.actor {
        Actor::LocalOperator => Ok(()),
        _ => Err(Error::Forbidden("a charter is recovered on the gateway's machine")),
    }
}
