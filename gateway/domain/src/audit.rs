//! The audit log: every change of a domain object has its entry, in the same database transaction.
//!
//! Each gateway process writes a hash-chained lane of its own, so that nobody queues on a shared head.
//! Checkpoints over all lane heads are signed by an HSM key and can be checked offline.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    actor::{Actor, OpCtx},
    clock::Timestamp,
    ids::{InstanceId, OrganizationId},
    keys::PublicKey,
    sealed::{RowVersion, Sealable},
};

mod rollback;
mod tally;
mod verify;

pub use rollback::{
    LogEnd, LogEndMalformed, RollbackApproval, RollbackApprovalMalformed, RollbackClaims, RollbackRefusal,
    require_agreement, rollback_signing_input,
};
pub use tally::{MaskedTallies, Tallies, explains};
pub use verify::{AuditFinding, LaneVerifier, verify_checkpoint_chain};

/// What happened; the store adds lane, sequence and hashes when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub organization: OrganizationId,
    pub at: Timestamp,
    pub actor: String,
    pub request_id: String,
    /// Object and verb, such as `transaction.created`.
    pub action: &'static str,
    /// Kind and id of what changed, such as `transaction 0198..`.
    pub subject: String,
    /// Facts that let the entry stand alone; no secrets and no personal data.
    pub detail: Value,
}

/// A row of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub lane: InstanceId,
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// Hash of the entry before; zero for the first.
    pub previous: B256,
    pub organization: OrganizationId,
    pub at: Timestamp,
    pub actor: String,
    pub request_id: String,
    pub action: String,
    pub subject: String,
    /// Compact JSON.
    pub detail: String,
    /// Hash of the lane's [`MaskedTallies`], in the last entry of each database transaction.
    pub tallies: Option<B256>,
}

/// Where a lane ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneHead {
    pub sequence: u64,
    pub hash: B256,
}

/// The signed state of all lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Counts from 1 without gaps.
    pub number: u64,
    /// Hash of the checkpoint before; zero for the first.
    pub previous: B256,
    pub at: Timestamp,
    pub heads: BTreeMap<InstanceId, LaneHead>,
}

/// A checkpoint and the P-256 signature over its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    pub checkpoint: Checkpoint,
    pub public_key: PublicKey,
    /// r || s, 64 bytes.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

impl AuditEvent {
    /// What an operator did comes with the request that the operator signed.
    pub fn new(ctx: &OpCtx, action: &'static str, subject: String, mut detail: Value) -> Self {
        if let (Actor::Operator(operator), Some(detail)) = (&ctx.actor, detail.as_object_mut()) {
            detail.insert("evidence".to_owned(), Value::String(operator.evidence.clone()));
        }
        Self {
            organization: ctx.organization,
            at: ctx.now,
            actor: actor_text(&ctx.actor),
            request_id: ctx.request_id.clone(),
            action,
            subject,
            detail,
        }
    }

    /// The entry this event becomes at the head of `lane`.
    pub fn chained(&self, lane: InstanceId, head: Option<LaneHead>) -> AuditEntry {
        AuditEntry {
            lane,
            sequence: head.map_or(1, |head| head.sequence + 1),
            previous: head.map_or(B256::ZERO, |head| head.hash),
            organization: self.organization,
            at: self.at,
            actor: self.actor.clone(),
            request_id: self.request_id.clone(),
            action: self.action.to_owned(),
            subject: self.subject.clone(),
            detail: self.detail.to_string(),
            tallies: None,
        }
    }
}

impl AuditEntry {
    /// SHA-256 over the entry's JSON, fields in the order of this struct.
    pub fn hash(&self) -> B256 {
        json_hash("countersign-audit-entry-1", self)
    }

    pub fn head(&self) -> LaneHead {
        LaneHead { sequence: self.sequence, hash: self.hash() }
    }
}

impl Checkpoint {
    /// What the HSM signs.
    pub fn hash(&self) -> B256 {
        json_hash("countersign-audit-checkpoint-1", self)
    }
}

impl Sealable for AuditEntry {
    const TABLE: &'static str = "audit_entries";

    fn row_version(&self) -> Option<RowVersion> {
        None
    }
}

fn json_hash(domain: &str, value: &impl Serialize) -> B256 {
    let mut hash = Sha256::new();
    hash.update(domain.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(value).expect("audit values have string keys only"));
    B256::new(hash.finalize().into())
}

fn actor_text(actor: &Actor) -> String {
    match actor {
        Actor::Anonymous => "anonymous".to_owned(),
        Actor::ApiKey(key) => format!("principal {} by key {}", key.principal, key.credential),
        Actor::Wallet(wallet) => format!("wallet {}", wallet.address),
        Actor::Session(session) => format!("principal {} by session {}", session.principal, session.session),
        Actor::Gateway => "gateway".to_owned(),
        Actor::InternalToken => "internal token".to_owned(),
        Actor::Operator(operator) => format!("operator {}", operator.operator),
        Actor::LocalOperator => "local operator".to_owned(),
    }
}
