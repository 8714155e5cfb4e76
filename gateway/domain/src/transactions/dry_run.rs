//! "Would this be approved?": every binding is asked and a decision made of it, nothing is signed, and nothing stored
//! but what the bindings said.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    evaluations::{DryRunRoom, Evaluation},
    ids::{PrincipalId, TransactionId},
    policy::{Binding, Policy, Rehearsal},
    ports::Services,
    quota::used_up,
    sealed::Sealed,
    transactions::{
        CreateTransaction, ExecutionType, Intent, Rehearsed, RequestIdentity,
        create::{draft, history_of},
        rehearse,
    },
    vendors::VendorRole,
};

/// Nobody has created it, so nobody is kept from voting on it for that.
const NOBODY: PrincipalId = PrincipalId::from_uuid(Uuid::nil());

const DAY: Duration = Duration::from_hours(24);

/// What would be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DryRunRequest {
    /// The escrow address of a user.
    pub escrow: Address,
    pub chain: ChainId,
    pub to: Address,
    /// In base units.
    pub value: U256,
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
    pub execution_type: ExecutionType,
    pub note: Option<String>,
}

/// What would come of it, as of now.
#[derive(Debug)]
pub struct DryRun {
    /// Names the evaluations. No transaction has this id, now or ever.
    pub id: TransactionId,
    pub intent: Intent,
    pub rehearsal: Rehearsal,
    /// Whether a real request would be turned away for now, because the same was denied too often.
    pub asked_too_often: bool,
    policy: Sealed<Policy>,
    heard: Vec<Sealed<Evaluation>>,
}

/// A binding and what it said.
#[derive(Clone, Copy, Debug)]
pub struct Opinion<'a> {
    pub binding: &'a Binding,
    pub evaluation: &'a Evaluation,
}

impl DryRun {
    pub fn policy_revision(&self) -> u64 {
        self.policy.revision
    }

    /// In the order of the policy.
    pub fn opinions(&self) -> impl Iterator<Item = Opinion<'_>> {
        self.policy.bindings.iter().filter_map(|binding| {
            let evaluation = self.heard.iter().find(|heard| heard.binding == binding.id)?;
            Some(Opinion { binding, evaluation })
        })
    }
}

/// Answers what a transaction for the escrow's user would come to. Plugins read their state and ask their upstreams as
/// ever; what they would remember is dropped, and nobody's tries are counted.
pub async fn dry_run(ctx: &OpCtx, services: &Services, asked: DryRunRequest) -> Result<DryRun> {
    let chain = services.require_chain(asked.chain)?;
    let room = room(ctx, services);
    // Asking costs more than looking; the insert decides.
    let stored = services.store.dry_run_evaluation_count(ctx.organization, room.since).await?;
    if stored >= u64::from(room.evaluations_max) {
        return Err(no_room());
    }
    let owner = services.store.user_by_escrow_address(ctx.organization, asked.escrow).await?;
    let owner = owner.ok_or_else(|| Error::invalid("escrowAddress must belong to a user"))?;
    let settings = services.store.settings(ctx.organization, owner.id).await?;
    let settings = settings.ok_or_else(|| Error::inconsistency("a user without settings"))?;
    let request = CreateTransaction {
        owner,
        chain: asked.chain,
        to: Some(asked.to),
        value: asked.value,
        data: asked.data,
        execution_type: asked.execution_type,
        provider: settings.execution_provider,
        vendor_role: VendorRole::Execution,
        name: None,
        identity: RequestIdentity::default(),
        note: asked.note,
        requirements: settings.requirements(asked.execution_type),
        minimum_confidence_ppm: settings.orion_confidence_threshold_ppm,
        approval_ttl: Duration::from_secs(u64::from(settings.approval_ttl_seconds)),
    };
    let draft = services.sealer.seal(draft(ctx, services, chain, NOBODY, &request).await?);
    let (history, may_ask) = history_of(ctx, services, &draft.intent).await?;
    let Rehearsed { rehearsal, policy, heard } = rehearse(services, &draft, history, ctx.now).await?;
    store(ctx, services, (draft.id, &rehearsal), (&heard, room)).await?;
    let intent = draft.into_value().intent;
    Ok(DryRun { id: intent.transaction, intent, rehearsal, asked_too_often: !may_ask, policy, heard })
}

/// Asking is on record even if nobody was heard: it tells what the policy lets through.
async fn store(
    ctx: &OpCtx,
    services: &Services,
    (id, rehearsal): (TransactionId, &Rehearsal),
    (heard, room): (&[Sealed<Evaluation>], DryRunRoom),
) -> Result<()> {
    let ids: Vec<_> = heard.iter().map(|evaluation| evaluation.id).collect();
    let detail = json!({ "decision": rehearsal.as_str(), "evaluations": ids });
    let event = AuditEvent::new(ctx, "transaction.dry_run", format!("dry run {id}"), detail);
    let writes = heard.iter().map(|evaluation| Write::InsertDryRun(evaluation.clone(), room));
    match services.store.commit(ChangeSet::new(event).writes_of(writes)).await {
        Err(CommitError::Conflict(Contested::Quota)) => Err(no_room()),
        stored => Ok(stored?),
    }
}

fn room(ctx: &OpCtx, services: &Services) -> DryRunRoom {
    let evaluations_max = services.limits.dry_run_evaluations_daily_max;
    DryRunRoom { since: ctx.now.minus(DAY), evaluations_max }
}

fn no_room() -> Error {
    used_up("dry runs of the organization have stored as many evaluations in a day as they may")
}
