//! Casting a vote.

use alloy_primitives::B256;
use serde_json::json;

use crate::{
    actor::{Actor, OpCtx, WalletEvidence},
    approvals::{Ballot, Evidence, EvidenceLevel, Role, Vote},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    credentials::{Label, Scope},
    error::{Error, Result},
    evaluations::retain,
    ids::{PrincipalId, VoteId},
    outbox::OutboxItem,
    policy::Decision,
    ports::Services,
    sealed::Sealed,
    signing::freed,
    transactions::{
        Assessment, Provider, State, Transaction, assess, release_condition, require_thawed, supersedes,
        unpermitted,
    },
    verification::speaks_for,
};

/// A vote as a family hands it over.
#[derive(Clone, Debug)]
pub struct CastVote {
    pub ballot: Ballot,
    /// Orion keys only; parts per million.
    pub confidence_ppm: Option<u32>,
    /// Orion keys only.
    pub analysis: Option<String>,
    /// For [`EvidenceLevel::Signed`]: until when the signature holds, seconds since the epoch.
    pub signed_until: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct VoteRecorded {
    pub vote: Vote,
    pub transaction: Transaction,
}

/// Records the caller's vote and decides again in the same change.
///
/// The same vote again changes nothing while the first counts. Another may follow one that no longer counts, or that was
/// given with weaker evidence than is asked for. An approval is taken back by wallet or another key, also after the
/// transaction was approved, as long as no permit for it exists: a stolen key that approved does not silence its owner.
pub async fn cast_vote(
    ctx: &OpCtx,
    services: &Services,
    request_hash: B256,
    cast: CastVote,
) -> Result<VoteRecorded> {
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.transaction_by_request_hash(ctx.organization, request_hash).await?;
        let transaction = found.ok_or(Error::NotFound("transaction"))?;
        let (principal, role, evidence) = voter(ctx, &transaction, &cast)?;
        let votes = services.store.votes(ctx.organization, transaction.id).await?;
        let own = votes.iter().filter(|vote| vote.principal == principal);
        let earlier = own.max_by_key(|vote| vote.ordinal);
        if !is_open(&transaction, cast.ballot) {
            return earlier.map_or(Err(NOT_PENDING), |earlier| repeated(earlier, &cast, &transaction));
        }
        let vote = services.sealer.seal(Vote {
            id: VoteId::generate(ctx.now, services.entropy.as_ref()),
            organization: ctx.organization,
            transaction: transaction.id,
            intent_hash: transaction.intent_hash,
            principal,
            ordinal: earlier.map_or(1, |earlier| earlier.ordinal.saturating_add(1)),
            role,
            ballot: cast.ballot,
            evidence,
            confidence_ppm: cast.confidence_ppm,
            analysis: cast.analysis.clone(),
            created_at: ctx.now,
        });
        if let Some(earlier) = earlier
            && !supersedes(services, &transaction, (&votes, &vote, earlier), ctx.now).await?
        {
            return repeated(earlier, &cast, &transaction);
        }
        if let Some(recorded) = record(ctx, services, &transaction, votes, vote).await? {
            return Ok(recorded);
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same transaction"))
}

const NOT_PENDING: Error = Error::Conflict("the transaction is not PENDING");

/// Whether a vote may still do something. What nobody here executes may be executed already once it is approved.
fn is_open(transaction: &Transaction, ballot: Ballot) -> bool {
    match transaction.state {
        State::Pending => true,
        State::Approved => ballot == Ballot::Reject && transaction.provider != Provider::None,
        _ => false,
    }
}

/// `None` when another write came first and everything must be read again.
async fn record(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    mut votes: Vec<Sealed<Vote>>,
    vote: Sealed<Vote>,
) -> Result<Option<VoteRecorded>> {
    let was_approved = transaction.state == State::Approved;
    let attempts = if was_approved { unpermitted(ctx, services, transaction.id).await? } else { Vec::new() };
    votes.push(vote.clone());
    let evaluations = services.store.evaluations(ctx.organization, transaction.id).await?;
    let Assessment { decision, fresh, .. } =
        assess(services, transaction, &votes, evaluations, None, ctx.now).await?;
    let state = match &decision {
        Decision::Denied(denial) => State::rejected(denial),
        // Nobody asks for the role that said no.
        _ if was_approved => {
            retain(ctx, services, transaction, fresh).await?;
            return Err(NOT_PENDING);
        }
        Decision::Approved(_) => State::Approved,
        Decision::Pending(_) | Decision::Unheard(_) => State::Pending,
    };
    if vote.ordinal > services.limits.votes_per_principal_max && !state.is_final() {
        retain(ctx, services, transaction, fresh).await?;
        return Err(Error::Conflict("so many votes may be given on one transaction and no more"));
    }
    let next = transaction.moved_to(state, ctx.now);
    let detail = json!({
        "vote": vote.id, "role": vote.role, "ballot": vote.ballot, "evidence": vote.evidence.level(),
        "intentHash": vote.intent_hash, "state": next.state.name(),
    });
    let event = AuditEvent::new(ctx, "vote.cast", format!("transaction {}", transaction.id), detail);
    let condition = release_condition(transaction, &decision);
    let is_release = condition.is_some();
    let mut changes = ChangeSet::new(event)
        .write(Write::UpdateTransaction(services.sealer.seal(next.clone())))
        .write(Write::InsertVote(vote.clone()))
        .writes_of(condition)
        .writes_of(freed(services, &attempts))
        .writes_of(fresh.writes());
    if next.state != State::Pending {
        let item = OutboxItem::advance(ctx.organization, transaction.id, ctx.now);
        changes = changes.write(Write::ScheduleOutbox(item));
    }
    match services.store.commit(changes).await {
        Ok(()) => Ok(Some(VoteRecorded { vote: vote.into_value(), transaction: next })),
        Err(CommitError::Conflict(Contested::Version | Contested::Vote)) => {
            retain(ctx, services, transaction, fresh).await?;
            if is_release {
                require_thawed(services, transaction).await?;
            }
            Ok(None)
        }
        Err(CommitError::Conflict(Contested::PluginState)) => {
            retain(ctx, services, transaction, fresh.without_state()).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn wallet_evidence(proven: &WalletEvidence, cast: &CastVote) -> Evidence {
    let (signature, signed_hash) = (proven.signature.clone(), proven.signed_hash);
    let wallet_epoch = proven.wallet_epoch;
    match (proven.contract_chain, proven.level, cast.signed_until) {
        (Some(chain), ..) => Evidence::ContractRequest { chain, signature, signed_hash, wallet_epoch },
        (None, EvidenceLevel::Signed, Some(expires)) => {
            Evidence::WalletApproval { signature, expires, wallet_epoch }
        }
        (None, ..) => Evidence::WalletRequest { signature, signed_hash, wallet_epoch },
    }
}

/// Who votes, in which role, and what proves it.
fn voter(ctx: &OpCtx, transaction: &Transaction, cast: &CastVote) -> Result<(PrincipalId, Role, Evidence)> {
    match &ctx.actor {
        Actor::Wallet(wallet) => {
            refuse_orion_fields(cast)?;
            let principal = wallet.principal.filter(|principal| *principal == transaction.owner);
            let principal =
                principal.ok_or(Error::Forbidden("users may only vote on their own transactions"))?;
            Ok((principal, Role::User, wallet_evidence(&wallet.evidence, cast)))
        }
        Actor::ApiKey(key) => {
            let role = key.label.role().ok_or(Error::Forbidden("an admin key fills no approval role"))?;
            let own = key.label == Label::User;
            let needed = if own { Scope::ApproveOwnTransactions } else { Scope::ApproveTransactions };
            if !ctx.has_scope(needed) {
                return Err(Error::Forbidden("the key may not approve transactions"));
            }
            if own && key.principal != transaction.owner {
                return Err(Error::Forbidden("users may only vote on their own transactions"));
            }
            let is_orion = key.label == Label::Orion;
            if is_orion && !speaks_for(key.verification_service, transaction.verification_service) {
                return Err(Error::Forbidden(
                    "an orion key votes on its own verification service's transactions",
                ));
            }
            if !is_orion {
                refuse_orion_fields(cast)?;
            }
            Ok((key.principal, role, Evidence::ApiKey { credential: key.credential }))
        }
        Actor::Session(_) => Err(Error::Forbidden("a session does not vote: sign, or use an API key")),
        Actor::Anonymous
        | Actor::Gateway
        | Actor::InternalToken
        | Actor::Operator(_)
        | Actor::LocalOperator => Err(Error::Unauthenticated),
    }
}

fn refuse_orion_fields(cast: &CastVote) -> Result<()> {
    if cast.confidence_ppm.is_some() || cast.analysis.is_some() {
        return Err(Error::invalid("confidence and analysis may only be given with an orion key"));
    }
    Ok(())
}

fn repeated(earlier: &Sealed<Vote>, cast: &CastVote, transaction: &Transaction) -> Result<VoteRecorded> {
    if earlier.ballot == cast.ballot {
        Ok(VoteRecorded { vote: (**earlier).clone(), transaction: transaction.clone() })
    } else {
        Err(Error::Conflict("the opposite decision was given before"))
    }
}
