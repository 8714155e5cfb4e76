//! Creating a transaction: once, for every API family.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use serde_json::json;

use crate::{
    actor::OpCtx,
    approvals::Role,
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, CommitError, Contested, Idempotency, Write},
    credentials::Label,
    error::{Error, Result},
    evaluations::{Evaluation, Fresh},
    identity::User,
    ids::{PrincipalId, TransactionId},
    outbox::OutboxItem,
    policy::{Approved, Decision, Requirement, demanded},
    ports::{Chain, Limits, RecipientHistory, Services},
    sealed::Sealed,
    transactions::{
        Account, Asked, Assessment, Ceilings, ExecutionType, Intent, Kind, NOT_INTEGRATED, Provider,
        RequestIdentity, RequestName, RequirementSnapshot, State, Transaction, account, assess, made_earlier,
        release_condition, repeat::OPERATION, request_hash, require_thawed,
    },
    vendors::VendorRole,
    verification::speaks_for,
};

/// A transaction to be created for a user's HSM-held escrow key.
#[derive(Clone, Debug)]
pub struct CreateTransaction {
    pub owner: Sealed<User>,
    pub chain: ChainId,
    pub to: Option<Address>,
    pub value: U256,
    pub data: Vec<u8>,
    pub execution_type: ExecutionType,
    pub provider: Provider,
    /// Which of the user's vendors is meant, where the provider is one.
    pub vendor_role: VendorRole,
    /// The client's; when absent the formula's over a counter that rises with time, so that equal requests stay two.
    pub name: Option<RequestName>,
    pub identity: RequestIdentity,
    pub note: Option<String>,
    /// What the family and the user's settings demand; the policy's floor comes on top.
    pub requirements: Vec<Requirement>,
    pub minimum_confidence_ppm: u32,
    pub approval_ttl: Duration,
}

#[derive(Debug)]
pub struct Created {
    pub transaction: Transaction,
    /// False when an equal request had already made it.
    pub is_new: bool,
    /// The decision, where it was yes and nobody has to be waited for.
    pub approved: Option<Approved>,
    /// What the bindings said just now; empty when the transaction is not new.
    pub evaluations: Vec<Sealed<Evaluation>>,
}

impl Created {
    pub(super) fn new(transaction: Transaction, assessment: Assessment) -> Self {
        let Assessment { decision, fresh, .. } = assessment;
        let approved = match decision {
            Decision::Approved(approved) => Some(approved),
            Decision::Pending(_) | Decision::Unheard(_) | Decision::Denied(_) => None,
        };
        Self { transaction, is_new: true, approved, evaluations: fresh.into_evaluations() }
    }

    pub(super) fn earlier(transaction: Transaction) -> Self {
        Self { transaction, is_new: false, approved: None, evaluations: Vec::new() }
    }
}

/// Stores the transaction with its intent, hears every binding and decides. An approved transaction is carried
/// on by [`super::carry_on`], which the caller may start at once; the outbox does so in any case. Whoever asks looks for
/// an earlier one first ([`super::made_earlier`]).
pub async fn create(ctx: &OpCtx, services: &Services, request: CreateTransaction) -> Result<Created> {
    let initiator = ctx.principal().ok_or(Error::Unauthenticated)?;
    let chain = services.require_chain(request.chain)?;
    let draft = draft(ctx, services, chain, initiator, &request).await?;
    let history = recent_denials(ctx, services, &draft.intent).await?;
    let pending = services.sealer.seal(draft);
    let (mut turn, mut carried) = (None, Fresh::default());
    for _ in 0..services.limits.contest_attempts_max {
        let (transaction, assessment) = judge(ctx, services, &pending, carried, Some(history)).await?;
        match store(ctx, services, transaction, assessment, &request).await? {
            Ok(created) => return Ok(created),
            // Whoever did not use state has answered and is not asked again.
            Err(StateContested(fresh)) => carried = fresh.without_state(),
        }
        if turn.is_none() {
            turn = Some(services.state_turns.take(ctx.organization).await);
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same plugin state"))
}

/// Decides on a draft, and what that makes of it. Whoever said something in `carried` is not asked again. Without a
/// history nothing is known of the recipient, and denials are not counted.
pub(super) async fn judge(
    ctx: &OpCtx,
    services: &Services,
    pending: &Sealed<Transaction>,
    carried: Fresh,
    history: Option<RecipientHistory>,
) -> Result<(Transaction, Assessment)> {
    let heard = carried.evaluations().cloned().collect();
    let assessment = assess(services, pending, &[], heard, history, ctx.now).await?;
    let assessment = Assessment { fresh: assessment.fresh.and(carried), ..assessment };
    let mut transaction = (**pending).clone();
    if history.is_some() {
        settle_denials(ctx, services, &transaction.intent, &assessment.decision)?;
    }
    transaction.state = initial_state(&assessment.decision);
    freeze_demands(&mut transaction, &assessment);
    Ok((transaction, assessment))
}

/// Somebody changed what the decision rests on: state that a plugin had read or, where nothing is signed here, who may
/// decide and by which policy.
struct StateContested(Fresh);

/// Stores what was judged. A counter that another request took is raised; nobody is asked again.
async fn store(
    ctx: &OpCtx,
    services: &Services,
    mut transaction: Transaction,
    assessment: Assessment,
    request: &CreateTransaction,
) -> Result<Result<Created, StateContested>> {
    for _ in 0..services.limits.contest_attempts_max {
        let changes = creation(ctx, services, &transaction, &assessment, &request.identity);
        match services.store.commit(changes).await {
            Ok(()) => return Ok(Ok(Created::new(transaction, assessment))),
            Err(CommitError::Conflict(Contested::PluginState)) => {
                return Ok(Err(StateContested(assessment.fresh)));
            }
            Err(CommitError::Conflict(Contested::Version)) => {
                require_thawed(services, &transaction).await?;
                return Ok(Err(StateContested(assessment.fresh)));
            }
            Err(CommitError::Conflict(Contested::RequestHash | Contested::Idempotency)) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(earlier) = made_earlier(ctx, services, request.name, &request.identity).await? {
            return Ok(Ok(earlier));
        }
        if request.name.is_none() {
            transaction.request_nonce += U256::from(1);
            transaction.request_hash = formula(&transaction.intent, transaction.request_nonce);
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same request hash"))
}

pub(super) async fn draft(
    ctx: &OpCtx,
    services: &Services,
    chain: &Chain,
    initiator: PrincipalId,
    request: &CreateTransaction,
) -> Result<Transaction> {
    let policy = services.store.policy(ctx.organization).await?;
    let floor = policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))?.floor.clone();
    let asked = Asked { provider: request.provider, role: request.vendor_role, chain: request.chain };
    let paid_by = account(ctx, services, &request.owner, asked).await;
    let Account { key, from, vendor } = paid_by.map_err(|error| match error {
        // Who names Fireblocks in the request asks for what is not there.
        Error::Conflict(NOT_INTEGRATED) if matches!(request.name, Some(RequestName::Shared(_))) => {
            Error::NotFound("active fireblocks integration")
        }
        other => other,
    })?;
    let id = TransactionId::generate(ctx.now, services.entropy.as_ref());
    let intent = Intent {
        organization: ctx.organization,
        transaction: id,
        key,
        chain: request.chain,
        kind: Kind::Transaction,
        from,
        to: request.to,
        value: request.value,
        data: request.data.clone(),
        ceilings: ceilings(chain, request.value)?,
        vendor_account: vendor,
    };
    let counter = U256::from(u64::try_from(ctx.now.unix_micros()).unwrap_or(0));
    let (request_hash, request_nonce) = match request.name {
        None => (formula(&intent, counter), counter),
        Some(RequestName::Own(name) | RequestName::Shared(name)) => (name, counter),
        Some(RequestName::Formula { hash, nonce }) if hash == formula(&intent, nonce) => (hash, nonce),
        Some(RequestName::Formula { .. }) => {
            return Err(Error::invalid("requestHash does not equal the formula over the other fields"));
        }
    };
    Ok(Transaction {
        id,
        organization: ctx.organization,
        request_hash,
        request_nonce,
        request_digest: request.identity.digest,
        initiator,
        owner: request.owner.id,
        owner_address: request.owner.ethereum_address,
        execution_type: request.execution_type,
        provider: request.provider,
        verification_service: None,
        intent_hash: intent.hash(),
        intent,
        snapshot: RequirementSnapshot {
            // Today's floor stays with the transaction: a laxer policy of tomorrow does not reach it.
            requirements: request.requirements.iter().cloned().chain(floor.demands()).collect(),
            minimum_confidence_ppm: request.minimum_confidence_ppm.max(floor.minimum_confidence_ppm),
            eligible: eligible(ctx, services, request.owner.id, None).await?,
            expires_at: ctx.now.plus(request.approval_ttl),
        },
        note: request.note.clone(),
        state: State::Pending,
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    })
}

fn formula(intent: &Intent, nonce: U256) -> B256 {
    request_hash(intent.from, intent.to, intent.value, &intent.data, intent.chain.number(), nonce)
}

/// What the bindings demanded and nobody has met stays demanded, whatever they say later.
fn freeze_demands(transaction: &mut Transaction, assessment: &Assessment) {
    let said = assessment.fresh.evaluations().map(|evaluation| &**evaluation);
    let said = demanded(said, &transaction.intent);
    transaction.snapshot.keep(said);
    if let Decision::Pending(open) = &assessment.decision {
        transaction.snapshot.keep(open.unmet.iter().cloned());
    }
}

/// Refuses to ask again for what was just denied: otherwise a plugin that errs once in a hundred would be asked a
/// hundred times (T16). Another amount is the same question.
pub(super) async fn recent_denials(
    ctx: &OpCtx,
    services: &Services,
    intent: &Intent,
) -> Result<RecipientHistory> {
    let (history, may_ask) = history_of(ctx, services, intent).await?;
    if may_ask { Ok(history) } else { Err(denied_too_often(services.limits.denied_window)) }
}

/// What is known of the recipient, and whether this may be asked again after what was denied lately.
pub(super) async fn history_of(
    ctx: &OpCtx,
    services: &Services,
    intent: &Intent,
) -> Result<(RecipientHistory, bool)> {
    let Limits { denied_tries_max, denied_window, .. } = services.limits;
    let history = services.store.recipient_history(intent, ctx.now.minus(denied_window)).await?;
    let denied = history.denied.max(services.denials.count(intent, ctx.now.minus(denied_window)));
    Ok((history, denied < u64::from(denied_tries_max)))
}

/// Notes a denial, and drops a kinder word if others who asked at the same time were denied too often meanwhile.
fn settle_denials(ctx: &OpCtx, services: &Services, intent: &Intent, decision: &Decision) -> Result<()> {
    let Limits { denied_tries_max, denied_window, .. } = services.limits;
    if matches!(decision, Decision::Denied(_)) {
        services.denials.note(intent, ctx.now);
    } else if services.denials.count(intent, ctx.now.minus(denied_window)) >= u64::from(denied_tries_max) {
        return Err(denied_too_often(denied_window));
    }
    Ok(())
}

fn denied_too_often(retry_after: Duration) -> Error {
    Error::Exhausted { what: "this was denied too often, whatever the amount; ask again later", retry_after }
}

/// The chain's configured ceilings: what a node says later can only stay below them (T5).
pub(super) fn ceilings(chain: &Chain, value: U256) -> Result<Ceilings> {
    let fees = U256::from(chain.gas_max).checked_mul(U256::from(chain.fee_per_gas_max));
    let total =
        fees.and_then(|fees| fees.checked_add(value)).ok_or_else(|| Error::invalid("value is too large"))?;
    Ok(Ceilings { gas: chain.gas_max, fee_per_gas: chain.fee_per_gas_max, total })
}

/// Who may fill each role, as of now. People enrolled later fill none.
pub(super) async fn eligible(
    ctx: &OpCtx,
    services: &Services,
    owner: PrincipalId,
    service: Option<u32>,
) -> Result<BTreeMap<Role, BTreeSet<PrincipalId>>> {
    let mut eligible = BTreeMap::from([(Role::User, BTreeSet::from([owner]))]);
    for key in services.store.role_keys(ctx.organization, ctx.now).await? {
        let speaks = key.label != Label::Orion || speaks_for(key.verification_service, service);
        if let Some(role) = key.label.role().filter(|_| speaks) {
            eligible.entry(role).or_default().insert(key.principal);
        }
    }
    Ok(eligible)
}

fn initial_state(decision: &Decision) -> State {
    match decision {
        Decision::Approved(_) => State::Approved,
        Decision::Pending(_) | Decision::Unheard(_) => State::Pending,
        Decision::Denied(denial) => State::rejected(denial),
    }
}

pub(super) fn creation(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    assessment: &Assessment,
    identity: &RequestIdentity,
) -> ChangeSet {
    let detail = json!({
        "requestHash": transaction.request_hash,
        "intentHash": transaction.intent_hash,
        "state": transaction.state.name(),
        "required": assessment.decision.required(),
    });
    let subject = format!("transaction {}", transaction.id);
    let mut changes = ChangeSet::new(AuditEvent::new(ctx, "transaction.created", subject, detail))
        .write(Write::InsertTransaction(services.sealer.seal(transaction.clone())))
        .writes_of(release_condition(transaction, &assessment.decision))
        .writes_of(assessment.fresh.writes());
    if let Some(due_at) = first_due(ctx, services, transaction, assessment.shadowed) {
        changes = changes.write(Write::ScheduleOutbox(OutboxItem::advance(
            ctx.organization,
            transaction.id,
            due_at,
        )));
    }
    if let Some(idempotency) = &identity.idempotency {
        changes = changes.write(Write::InsertIdempotency(Idempotency {
            organization: ctx.organization,
            principal: transaction.initiator,
            operation: OPERATION.into(),
            key: idempotency.key.clone(),
            body_hash: idempotency.body_hash,
            outcome: transaction.id.to_string(),
            expires_at: ctx.now.plus(services.limits.idempotency_window),
        }));
    }
    changes
}

/// A pending transaction is looked at when it expires. An approved one is carried on by the request itself; the
/// outbox comes a little later, in case the request died. Shadows are heard by the outbox, whatever was decided.
fn first_due(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    shadowed: bool,
) -> Option<crate::Timestamp> {
    if transaction.state == State::Approved {
        Some(ctx.now.plus(services.limits.unavailable_pause))
    } else if shadowed {
        Some(ctx.now)
    } else if transaction.state.is_final() {
        None
    } else {
        Some(transaction.snapshot.expires_at)
    }
}
