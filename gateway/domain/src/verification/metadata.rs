//! What a verification service reports afterwards: a proof of where it ran, and how a transaction that somebody else
//! executes was settled.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    actor::{Actor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    credentials::{Label, Scope},
    error::{Error, Result},
    ids::{OrganizationId, TransactionId},
    ports::Services,
    sealed::{RowVersion, Sealable, Sealed},
    transactions::{FailureReason, Provider, State, Transaction},
    verification::speaks_for,
};

/// What was reported about one transaction. A TEE proof is evidence that nobody here has verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrionMetadata {
    pub transaction: TransactionId,
    pub organization: OrganizationId,
    pub tee_proof: Option<TeeProof>,
    pub settlement: Option<Settlement>,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An attestation as the service sent it; kept, shown, and never counted for anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeeProof {
    /// Base64 or hex, as sent.
    pub proof: String,
    pub kind: Option<TeeKind>,
    /// Lower-case hex digits, `0x` first.
    pub measurement: Option<String>,
    /// As `measurement`; contains the request hash.
    pub report_data: Option<String>,
    pub signed_at: Option<Timestamp>,
    pub received_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeeKind {
    Tdx,
    SevSnp,
    Sgx,
    Nitro,
}

/// How somebody else's execution went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub status: SettlementStatus,
    pub hash: Option<B256>,
    pub chain_id: Option<u64>,
    pub block: Option<u64>,
    /// Decimal digits.
    pub gas_used: Option<String>,
    pub failure_reason: Option<String>,
    pub settled_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementStatus {
    Pending,
    Settled,
    Failed,
}

impl Sealable for OrionMetadata {
    const TABLE: &'static str = "orion_metadata";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.transaction, self.version))
    }
}

/// Stores or replaces the proof.
pub async fn record_tee_proof(
    ctx: &OpCtx,
    services: &Services,
    request_hash: B256,
    proof: TeeProof,
) -> Result<(Transaction, OrionMetadata)> {
    if let Some(report) = &proof.report_data
        && !contains(report, request_hash)
    {
        return Err(Error::invalid("reportData must contain the requestHash"));
    }
    for _ in 0..services.limits.contest_attempts_max {
        let transaction = reported(ctx, services, request_hash).await?;
        let stored = services.store.orion_metadata(ctx.organization, transaction.id).await?;
        let next =
            OrionMetadata { tee_proof: Some(proof.clone()), ..draft(ctx, &transaction, stored.as_ref()) };
        let detail = json!({"teeType": proof.kind, "measurement": proof.measurement, "verified": false});
        let event =
            AuditEvent::new(ctx, "orion.tee_proof", format!("transaction {}", transaction.id), detail);
        match services.store.commit(written(services, ChangeSet::new(event), &next, stored.is_some())).await {
            Ok(()) => return Ok((transaction.into_value(), next)),
            Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same metadata"))
}

/// Whether the bytes that `report` spells contain `hash`; digits that straddle two bytes spell none.
fn contains(report: &str, hash: B256) -> bool {
    let bytes = hex::decode(report.strip_prefix("0x").unwrap_or(report)).unwrap_or_default();
    bytes.windows(hash.len()).any(|window| window == hash.as_slice())
}

/// Records how a transaction of provider `none` was executed, and moves it if that is final. Nobody outside moves a
/// transaction of any other provider (T24).
pub async fn record_settlement(
    ctx: &OpCtx,
    services: &Services,
    request_hash: B256,
    settlement: Settlement,
) -> Result<(Transaction, OrionMetadata)> {
    for _ in 0..services.limits.contest_attempts_max {
        let transaction = reported(ctx, services, request_hash).await?;
        let stored = services.store.orion_metadata(ctx.organization, transaction.id).await?;
        let earlier = stored.as_ref().and_then(|stored| stored.settlement.as_ref());
        if let (Some(stored), Some(earlier)) = (&stored, earlier)
            && *earlier == settlement
        {
            return Ok((transaction.into_value(), (**stored).clone()));
        }
        if transaction.provider != Provider::None {
            return Err(Error::Conflict(
                "only transactions with execution provider none are settled by report",
            ));
        }
        if transaction.state != State::Approved {
            return Err(Error::Conflict("the transaction is not APPROVED, or was settled differently"));
        }
        // What is said of another chain says nothing of this transaction.
        if settlement.chain_id.is_some_and(|chain| chain != transaction.intent.chain.number()) {
            return Err(Error::invalid("chainId must be the transaction's"));
        }
        let next = OrionMetadata {
            settlement: Some(settlement.clone()),
            ..draft(ctx, &transaction, stored.as_ref())
        };
        let moved = settled_state(&settlement)?.map(|state| transaction.moved_to(state, ctx.now));
        let detail =
            json!({"settlement": &settlement, "state": moved.as_ref().map(|moved| moved.state.name())});
        let event =
            AuditEvent::new(ctx, "orion.settlement", format!("transaction {}", transaction.id), detail);
        let changes = ChangeSet::new(event)
            .writes_of(moved.clone().map(|moved| Write::UpdateTransaction(services.sealer.seal(moved))));
        match services.store.commit(written(services, changes, &next, stored.is_some())).await {
            Ok(()) => return Ok((moved.unwrap_or_else(|| transaction.into_value()), next)),
            Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same metadata"))
}

fn settled_state(settlement: &Settlement) -> Result<Option<State>> {
    match (settlement.status, settlement.hash) {
        (SettlementStatus::Pending, _) => Ok(None),
        (SettlementStatus::Settled, Some(hash)) => Ok(Some(State::Settled { hash, block: settlement.block })),
        (SettlementStatus::Settled, None) => {
            Err(Error::invalid("settlementTxHash is required when status is settled"))
        }
        (SettlementStatus::Failed, _) => Ok(Some(State::Failed { reason: FailureReason::Settlement })),
    }
}

/// The transaction, if the caller may report on it: an orion key on those of its own service, the internal token on
/// all of its organization.
async fn reported(ctx: &OpCtx, services: &Services, request_hash: B256) -> Result<Sealed<Transaction>> {
    let found = services.store.transaction_by_request_hash(ctx.organization, request_hash).await?;
    let transaction = found.ok_or(Error::NotFound("transaction"))?;
    match &ctx.actor {
        Actor::InternalToken => Ok(transaction),
        Actor::ApiKey(key) if ctx.has_scope(Scope::WriteOrionMetadata) => {
            let speaks = key.label != Label::Orion
                || speaks_for(key.verification_service, transaction.verification_service);
            if speaks { Ok(transaction) } else { Err(Error::NotFound("transaction")) }
        }
        _ => Err(Error::Forbidden("only orion keys and the internal token may report")),
    }
}

fn draft(ctx: &OpCtx, transaction: &Transaction, stored: Option<&Sealed<OrionMetadata>>) -> OrionMetadata {
    let fresh = || OrionMetadata {
        transaction: transaction.id,
        organization: ctx.organization,
        tee_proof: None,
        settlement: None,
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    };
    stored.map_or_else(fresh, |stored| OrionMetadata {
        version: stored.version + 1,
        updated_at: ctx.now,
        ..(**stored).clone()
    })
}

fn written(services: &Services, changes: ChangeSet, next: &OrionMetadata, exists: bool) -> ChangeSet {
    let sealed = services.sealer.seal(next.clone());
    changes.write(if exists {
        Write::UpdateOrionMetadata(sealed)
    } else {
        Write::InsertOrionMetadata(sealed)
    })
}
