//! Handing an approved transaction to Fireblocks and following what it says.
//!
//! The request is stored with its permit before it is sent. Whatever is not known afterwards is asked for by the
//! external id before anything is sent again, and the vendor refuses a second one under the same id.

use serde_json::json;

use super::{Progress, Step, count_invalid, store};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    evaluations::{Fresh, retain},
    fireblocks::{
        CREATE_URI, FireblocksAccount, FireblocksApi, Integration, Login, Meaning, compose_transfer,
        external_id, is_about, note_answer, note_refusal, note_said, note_unsaid,
    },
    ids::{PermitId, VendorCallId},
    policy::{Approved, Decision, PermitRecord, VendorPermit, issue_vendor_permit},
    ports::Services,
    sealed::Sealed,
    signing::{Signing, approval_lost, end, is_frozen, look_again},
    transactions::{Assessment, FailureReason, State, Transaction, assess},
    vendors::{CallOutcome, VendorCall, VendorError, VendorTransaction},
};

/// What is stored of earlier tries.
struct Earlier {
    call: Option<Sealed<VendorCall>>,
    permit: Option<Sealed<PermitRecord>>,
}

/// Decides once more, stores call and permit, sends.
pub(super) async fn hand_over(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
) -> Result<Step> {
    let access = access(services, transaction).await?;
    let earlier = earlier(services, transaction).await?;
    if let Some(call) = &earlier.call
        && let Some(step) = ask_again(ctx, services, transaction, (&earlier, call, &access)).await?
    {
        return Ok(step);
    }
    let votes = services.store.votes(ctx.organization, transaction.id).await?;
    let stored = services.store.evaluations(ctx.organization, transaction.id).await?;
    let Assessment { decision, fresh, .. } =
        assess(services, transaction, &votes, stored, None, ctx.now).await?;
    let approved = match decision {
        Decision::Approved(approved) => approved,
        Decision::Denied(denial) => {
            let state = State::rejected(&denial);
            return end_unsent(ctx, services, transaction, &earlier, state, fresh).await;
        }
        Decision::Pending(open) => {
            return end_unsent(ctx, services, transaction, &earlier, approval_lost(&open), fresh).await;
        }
        Decision::Unheard(_) => return Err(Error::inconsistency("a decision without hearing every binding")),
    };
    if is_frozen(services, transaction).await? {
        retain(ctx, services, transaction, fresh).await?;
        return Ok(later(services));
    }
    // Whatever else is approved, another account than the one that was judged does not pay.
    let (Some(fireblocks), Access::Same { login, .. }) = (&services.vendors.fireblocks, access) else {
        retain(ctx, services, transaction, fresh).await?;
        return Ok(later(services));
    };
    let in_force = earlier.permit.as_ref().filter(|permit| ctx.now < permit.expires_at);
    let pause = in_force.map(|permit| look_again(services, permit, ctx.now));
    match prepare(ctx, services, transaction, (&approved, &fresh), earlier).await? {
        Ok(prepared) => send(ctx, services, fireblocks.as_ref(), &login, prepared).await,
        // What an earlier try carries may still be taken; it is renewed when it has run out.
        Err(contested) => {
            retain(ctx, services, transaction, fresh).await?;
            let pause = pause.filter(|_| contested == Contested::Permit);
            Ok(pause.map_or(Step::Moved, |pause| Step::Stop(Progress::Again(pause))))
        }
    }
}

/// A request that may be on its way cannot be called off: what it carries to authenticate itself runs out with its
/// permit, and only then does "unknown" mean that it was never taken.
async fn end_unsent(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    earlier: &Earlier,
    state: State,
    fresh: Fresh,
) -> Result<Step> {
    if let Some(permit) = &earlier.permit
        && ctx.now < permit.expires_at
    {
        return Ok(Step::Stop(Progress::Again(look_again(services, permit, ctx.now))));
    }
    match end(ctx, services, transaction, &[], state, fresh).await? {
        Signing::Ended | Signing::Contested | Signing::Signed(_) => Ok(Step::Moved),
        Signing::Later(pause) => Ok(Step::Stop(Progress::Again(pause))),
    }
}

/// Asks about a request that was, or may have been, sent before. Without a step nobody has it.
async fn ask_again(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    (earlier, call, access): (&Earlier, &Sealed<VendorCall>, &Access),
) -> Result<Option<Step>> {
    let in_force = earlier.permit.as_ref().is_some_and(|permit| ctx.now < permit.expires_at);
    let step = match ask(ctx, services, call, access).await? {
        Told::Found(found) => accept(ctx, services, transaction, call, &found).await?,
        Told::Unknown => return Ok(None),
        Told::Hidden { since } if !in_force => lost(ctx, services, transaction, since).await?,
        Told::Away(error) => away(services, transaction, &error),
        Told::Hidden { .. } | Told::Nothing => later(services),
    };
    Ok(Some(step))
}

/// With what Fireblocks can be asked about a transaction.
enum Access {
    /// The account that was judged.
    Same { login: Login, integration: Box<Sealed<Integration>> },
    /// The integration was made anew or completed with another account: its present credentials, if it has any.
    Changed { login: Option<Login>, since: Timestamp },
    /// The credentials cannot be used now.
    Away,
}

/// What Fireblocks says of an external id.
enum Told {
    Found(VendorTransaction),
    /// It has no such transaction, said of the very account that would have paid.
    Unknown,
    /// It shows no such transaction to the credentials there are: others since then, or refused since then, they or the
    /// question.
    Hidden {
        since: Timestamp,
    },
    Away(VendorError),
    /// It was not asked.
    Nothing,
}

async fn ask(ctx: &OpCtx, services: &Services, call: &VendorCall, access: &Access) -> Result<Told> {
    let Some(fireblocks) = &services.vendors.fireblocks else { return Ok(Told::Nothing) };
    let (login, integration, changed) = match access {
        Access::Same { login, integration } => (login, Some(integration), ctx.now),
        Access::Changed { login: Some(login), since } => (login, None, *since),
        Access::Changed { login: None, since } => return Ok(Told::Hidden { since: *since }),
        Access::Away => return Ok(Told::Nothing),
    };
    let answer = fireblocks.find(login, &call.external_id).await;
    if answer.is_ok() {
        note_said(ctx, services, call).await?;
        if let Some(integration) = integration {
            note_answer(ctx, services, integration).await?;
        }
    }
    Ok(match (answer, integration) {
        (Ok(Some(found)), _) => Told::Found(found),
        (Ok(None), Some(_)) => Told::Unknown,
        (Ok(None), None) => Told::Hidden { since: changed },
        // Credentials that Fireblocks does not take show nothing.
        (
            Err(
                VendorError::Refused { http_status: http_status @ 403, .. }
                | VendorError::NotTaken { http_status: http_status @ 401, .. },
            ),
            integration,
        ) => {
            let since = match integration {
                Some(integration) => note_refusal(ctx, services, integration, http_status).await?,
                None => changed,
            };
            Told::Hidden { since }
        }
        // Whatever else it refuses says nothing of them: a form that has changed, an address that is blocked.
        (Err(VendorError::Refused { http_status, .. }), _) => {
            Told::Hidden { since: note_unsaid(ctx, services, call, http_status).await? }
        }
        (Err(error), _) => Told::Away(error),
    })
}

/// Ends what Fireblocks has, or may have, and no longer shows, once it was looked for long enough. It may still
/// execute: neither its name nor anything that it counts against is freed.
async fn lost(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    since: Timestamp,
) -> Result<Step> {
    let looked_for = ctx.now.since(since.max(transaction.updated_at));
    if looked_for < services.vendors.limits.lost_after {
        tracing::warn!(transaction.id = %transaction.id, "Fireblocks does not show what it has, or may have");
        return Ok(poll(services));
    }
    let state = State::Failed { reason: FailureReason::VendorLost };
    store(ctx, services, transaction, state, "transaction.failed").await
}

/// The integration's access, and whether it is still the one that was judged.
async fn access(services: &Services, transaction: &Sealed<Transaction>) -> Result<Access> {
    let account = account(transaction)?;
    let Some(integration) = integration(services, transaction).await? else {
        return Ok(Access::Changed { login: None, since: transaction.updated_at });
    };
    let unchanged = integration.state.access().is_some_and(|access| {
        access.environment == account.environment
            && access.region == account.region
            && access.vault_account == account.vault_account
    });
    let is_same = integration.key == transaction.intent.key && unchanged;
    if !is_same {
        tracing::warn!(transaction.id = %transaction.id, "the Fireblocks integration is no longer the one approved");
    }
    if integration.state.access().is_none() {
        return Ok(Access::Changed { login: None, since: integration.updated_at });
    }
    match integration.login(services).await {
        Ok(login) if is_same => Ok(Access::Same { login, integration: Box::new(integration) }),
        Ok(login) => Ok(Access::Changed { login: Some(login), since: integration.updated_at }),
        Err(error @ (Error::Conflict(_) | Error::Unavailable { .. })) => {
            tracing::warn!(transaction.id = %transaction.id, %error, "the Fireblocks integration cannot be used now");
            Ok(Access::Away)
        }
        Err(error) => Err(error),
    }
}

fn account(transaction: &Transaction) -> Result<&FireblocksAccount> {
    let account = transaction.intent.vendor_account.as_ref();
    account.ok_or_else(|| Error::inconsistency("a Fireblocks transaction without its account"))
}

async fn integration(
    services: &Services,
    transaction: &Sealed<Transaction>,
) -> Result<Option<Sealed<Integration>>> {
    let wanted = account(transaction)?.integration;
    let all = services.store.integrations(transaction.organization, transaction.owner).await?;
    Ok(all.into_iter().find(|integration| integration.id == wanted))
}

async fn earlier(services: &Services, transaction: &Sealed<Transaction>) -> Result<Earlier> {
    let organization = transaction.organization;
    let mut calls = services.store.vendor_calls(organization, transaction.id).await?;
    let permits = services.store.permits(organization, transaction.id).await?;
    let call = calls.pop();
    let permit = call.as_ref().and_then(|call| {
        permits.into_iter().find(|permit| permit.digest == call.digest && permit.key == call.key)
    });
    Ok(Earlier { call, permit })
}

/// What was stored with a permit.
struct Prepared {
    transaction: Sealed<Transaction>,
    call: Sealed<VendorCall>,
    permit: VendorPermit,
}

/// Stores permit and call. The insert is the linearization point: whatever moved first wins.
async fn prepare(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    (approved, fresh): (&Approved, &Fresh),
    earlier: Earlier,
) -> Result<Result<Prepared, Contested>> {
    let next = transaction.moved_to(transaction.state.clone(), ctx.now);
    let (call, is_new) = match earlier.call {
        Some(call) => (call, false),
        None => (services.sealer.seal(new_call(ctx, services, transaction)?), true),
    };
    let id = PermitId::generate(ctx.now, services.entropy.as_ref());
    let permit = issue_vendor_permit(approved, &next, (*call).clone(), id, ctx.now);
    let permit = permit.map_err(Error::inconsistency)?.for_at_most(services.limits.permit_lifetime);
    let (permit, is_renewal) = match &earlier.permit {
        Some(previous) => (permit.renewing(previous), true),
        None => (permit, false),
    };
    let record = services.sealer.seal(permit.record().clone());
    let detail = json!({
        "permit": record.id, "call": call.id, "digest": call.digest, "intentHash": transaction.intent_hash,
        "policyRevision": record.policy_revision,
    });
    let event = AuditEvent::new(ctx, "permit.issued", format!("transaction {}", transaction.id), detail);
    let next = services.sealer.seal(next);
    let mut changes =
        ChangeSet::new(event).write(Write::UpdateTransaction(next.clone())).writes_of(fresh.writes());
    if is_new {
        changes = changes.write(Write::InsertVendorCall(call.clone()));
    }
    let changes =
        changes.write(if is_renewal { Write::RenewPermit(record) } else { Write::InsertPermit(record) });
    match services.store.commit(changes).await {
        Ok(()) => Ok(Ok(Prepared { transaction: next, call, permit })),
        Err(CommitError::Conflict(
            contested @ (Contested::Version | Contested::Permit | Contested::PluginState),
        )) => Ok(Err(contested)),
        Err(error) => Err(error.into()),
    }
}

fn new_call(ctx: &OpCtx, services: &Services, transaction: &Transaction) -> Result<VendorCall> {
    let body = compose_transfer(transaction).map_err(Error::inconsistency)?;
    Ok(VendorCall {
        id: VendorCallId::generate(ctx.now, services.entropy.as_ref()),
        organization: transaction.organization,
        transaction: transaction.id,
        key: transaction.intent.key,
        method: "POST".to_owned(),
        uri: CREATE_URI.to_owned(),
        digest: VendorCall::digest_of("POST", CREATE_URI, &body),
        body,
        external_id: external_id(transaction.request_hash),
        outcome: CallOutcome::Prepared { unsettled: 0 },
        refused_since: None,
        version: 1,
        created_at: ctx.now,
    })
}

async fn send(
    ctx: &OpCtx,
    services: &Services,
    fireblocks: &dyn FireblocksApi,
    login: &Login,
    prepared: Prepared,
) -> Result<Step> {
    let Prepared { transaction, call, permit } = prepared;
    let error = match fireblocks.create(login, &permit).await {
        Ok(made) => return accept(ctx, services, &transaction, &call, &made).await,
        Err(error) => error,
    };
    if matches!(error, VendorError::NotTaken { .. }) {
        return unsettled(ctx, services, &transaction, &call, &error).await;
    }
    if !matches!(error, VendorError::Refused { .. } | VendorError::Unknown { .. }) {
        return Ok(away(services, &transaction, &error));
    }
    // "No" is also what a vendor says to a repeat of what it has taken.
    match (fireblocks.find(login, &call.external_id).await, &error) {
        (Ok(Some(found)), _) => accept(ctx, services, &transaction, &call, &found).await,
        (Ok(None), VendorError::Refused { http_status, code }) => {
            refuse(ctx, services, &transaction, &call, (*http_status, *code)).await
        }
        (Ok(None), _) => unsettled(ctx, services, &transaction, &call, &error).await,
        (Err(silence), _) => Ok(away(services, &transaction, &silence)),
    }
}

/// Keeps that the vendor answered without settling anything, for what it answered is what it repeats under this key.
async fn unsettled(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Transaction,
    call: &Sealed<VendorCall>,
    error: &VendorError,
) -> Result<Step> {
    let CallOutcome::Prepared { unsettled } = call.outcome else {
        return Ok(away(services, transaction, error));
    };
    let next = call.with_outcome(CallOutcome::Prepared { unsettled: unsettled.saturating_add(1) });
    let detail = json!({"call": call.id, "answer": error.to_string()});
    let event =
        AuditEvent::new(ctx, "vendor_call.unsettled", format!("transaction {}", transaction.id), detail);
    let changes = ChangeSet::new(event).write(Write::UpdateVendorCall(services.sealer.seal(next)));
    match services.store.commit(changes).await {
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(away(services, transaction, error)),
        Err(error) => Err(error.into()),
    }
}

/// Takes the vendor's transaction for ours, unless it moves something else: then ours was never taken, for the vendor
/// refuses a second one under the same id. That is the vendor's word, so nothing is freed.
async fn accept(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    call: &Sealed<VendorCall>,
    told: &VendorTransaction,
) -> Result<Step> {
    if !is_about(&told.transfer, transaction) {
        tracing::error!(
            transaction.id = %transaction.id, vendor.id = told.id, "Fireblocks has another transaction under our id"
        );
        let state = State::Failed { reason: FailureReason::VendorFailed };
        return store(ctx, services, transaction, state, "transaction.failed").await;
    }
    let state = State::HandedOver { call: call.id, since: ctx.now, status: told.status };
    let next = services.sealer.seal(transaction.moved_to(state, ctx.now));
    let outcome = CallOutcome::Accepted { vendor_id: told.id.clone() };
    let accepted = services.sealer.seal(call.with_outcome(outcome));
    let detail = json!({"call": call.id, "vendorId": told.id, "status": told.status});
    let event =
        AuditEvent::new(ctx, "transaction.handed_over", format!("transaction {}", transaction.id), detail);
    let changes =
        ChangeSet::new(event).write(Write::UpdateTransaction(next)).write(Write::UpdateVendorCall(accepted));
    moved(services.store.commit(changes).await)
}

async fn refuse(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
    call: &Sealed<VendorCall>,
    (http_status, code): (u16, Option<i64>),
) -> Result<Step> {
    let state = State::Failed { reason: FailureReason::VendorRefused };
    let next = services.sealer.seal(transaction.moved_to(state, ctx.now));
    let refused = services.sealer.seal(call.with_outcome(CallOutcome::Refused { http_status, code }));
    let detail = json!({"call": call.id, "httpStatus": http_status, "code": code});
    let event = AuditEvent::new(ctx, "transaction.failed", format!("transaction {}", transaction.id), detail);
    let changes =
        ChangeSet::new(event).write(Write::UpdateTransaction(next)).write(Write::UpdateVendorCall(refused));
    moved(services.store.commit(changes).await)
}

fn moved(committed: Result<(), CommitError>) -> Result<Step> {
    match committed {
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(Step::Moved),
        Err(error) => Err(error.into()),
    }
}

/// Asks how a transaction stands that Fireblocks has. Its final word ends the transaction; an answer about another
/// transaction is none.
pub(super) async fn follow(
    ctx: &OpCtx,
    services: &Services,
    transaction: &Sealed<Transaction>,
) -> Result<Step> {
    let State::HandedOver { call, since, status } = &transaction.state else { return Ok(Step::Moved) };
    let access = access(services, transaction).await?;
    let earlier = earlier(services, transaction).await.inspect_err(count_invalid)?;
    let stored = earlier.call.filter(|stored| stored.id == *call);
    let stored = stored.ok_or_else(|| Error::inconsistency("a transaction handed over without its call"))?;
    let told = match ask(ctx, services, &stored, &access).await? {
        Told::Found(told) if stored.vendor_id() == Some(&told.id) => told,
        Told::Found(_) | Told::Unknown => {
            return lost(ctx, services, transaction, transaction.updated_at).await;
        }
        Told::Hidden { since } => return lost(ctx, services, transaction, since).await,
        Told::Away(error) => return Ok(away(services, transaction, &error)),
        Told::Nothing => return Ok(later(services)),
    };
    let (state, action) = match told.status.meaning() {
        Meaning::Completed => {
            (State::ExecutedByVendor { call: *call, hash: told.hash }, "transaction.executed")
        }
        Meaning::Failed(reason) => (State::Failed { reason }, "transaction.failed"),
        Meaning::UnderWay if told.status == *status => return Ok(poll(services)),
        Meaning::UnderWay => {
            let state = State::HandedOver { call: *call, since: *since, status: told.status };
            store(ctx, services, transaction, state, "transaction.followed").await?;
            return Ok(poll(services));
        }
    };
    store(ctx, services, transaction, state, action).await
}

fn poll(services: &Services) -> Step {
    Step::Stop(Progress::Again(services.vendors.limits.poll_interval))
}

fn later(services: &Services) -> Step {
    Step::Stop(Progress::Again(services.limits.unavailable_pause))
}

fn away(services: &Services, transaction: &Transaction, error: &VendorError) -> Step {
    let cause = std::error::Error::source(error);
    tracing::warn!(transaction.id = %transaction.id, %error, ?cause, "Fireblocks is away; the transaction waits");
    later(services)
}
