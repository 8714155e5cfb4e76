//! Encrypted payloads: the message a transaction came as, pinned to IPFS and put on record on chain.

use std::time::Duration;

use alloy_primitives::B256;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    identity::User,
    ids::{OrganizationId, PrincipalId, RelayId, TransactionId},
    openpgp::Fingerprint,
    outbox::OutboxItem,
    ports::Services,
    registry::{Purpose, RegistryCall, RelayFailure, RelayProgress, carry_relay},
    sealed::{RowVersion, Sealable, Sealed},
    transactions::{Progress, State, Transaction},
};

/// The message a transaction came as. Its bytes are the content of an IPFS block, held by its CID; of what was withheld
/// they are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedPayload {
    pub transaction: TransactionId,
    pub organization: OrganizationId,
    pub verification_service: u32,
    /// The service's certificate at that time.
    pub service_key: Fingerprint,
    /// Of the armored message as it was sent.
    pub message_digest: B256,
    /// See [`crate::openpgp::InspectedMessage`]; unique for the service's key.
    pub session_key_digest: B256,
    /// CIDv1 of the message as one UnixFS file, or the form the client pinned it under.
    pub cid: String,
    /// The SHA-256 digest of the root block.
    pub root: B256,
    /// `personal_sign` of the request hash by the owner, where the client sent one: kept as evidence.
    #[serde(with = "hex::serde")]
    pub user_signature: Vec<u8>,
    pub pinned: bool,
    /// The call that puts the payload on record.
    pub relay: RelayId,
    pub submission: Submission,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Who may have a message opened: whoever sent it first, for one request. Stored before the token is asked, and for
/// good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKeyClaim {
    /// The service's certificate.
    pub service_key: Fingerprint,
    /// See [`crate::openpgp::InspectedMessage`].
    pub session_key_digest: B256,
    pub organization: OrganizationId,
    pub initiator: PrincipalId,
    pub request_hash: B256,
    /// Of the armored message as it was sent.
    pub message_digest: B256,
}

/// How many messages may be received within a day: each costs the token a decryption, or gas, and takes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadQuota {
    /// Messages for one user. Default 500.
    pub per_user_max: u32,
    /// Bytes of all messages of an organization. Default 256 MiB.
    pub bytes_max: u64,
    /// Of these, for users who enrolled themselves. Default a fifth.
    pub self_registered_bytes_max: u64,
}

/// What a message takes of the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadRoom {
    pub quota: PayloadQuota,
    pub user: PrincipalId,
    pub self_registered: bool,
    pub bytes: u64,
    pub received_at: Timestamp,
    /// Messages that were received later than this count.
    pub since: Timestamp,
}

impl PayloadRoom {
    /// What a message counts for at least: the rows it leaves.
    const BYTES_MIN: u64 = 4096;

    const DAY: Duration = Duration::from_hours(24);

    pub fn new(quota: PayloadQuota, user: &User, message: &str, now: Timestamp) -> Self {
        let bytes = u64::try_from(message.len()).unwrap_or(u64::MAX).max(Self::BYTES_MIN);
        let (self_registered, since) = (user.self_registered, now.minus(Self::DAY));
        Self { quota, user: user.id, self_registered, bytes, received_at: now, since }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Submission {
    Pending,
    Submitted {
        hash: B256,
        block: u64,
    },
    Failed {
        reason: RelayFailure,
    },
    /// The transaction was refused before anything of it was on record: nothing of it is published or kept.
    Withheld,
}

/// A piece of content and how IPFS names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    pub cid: String,
    /// The SHA-256 digest of the root block.
    pub root: B256,
    /// The root block, which holds the whole content.
    pub block: Vec<u8>,
}

/// Names content as IPFS does, and pins it.
#[async_trait]
pub trait Ipfs: Send + Sync {
    /// The content as one UnixFS file, as Kubo adds it by default.
    fn address(&self, content: &[u8]) -> Result<Addressed>;

    /// The content as `cid` names it, if that is one of the forms that Kubo gives it.
    fn named(&self, cid: &str, content: &[u8]) -> Option<Addressed>;

    /// The content of a block under its name, after its digest was compared with `root`.
    fn content(&self, block: &[u8], cid: &str, root: B256) -> Result<Vec<u8>>;

    /// Whether pinning reaches a node. Without one the store's own blocks are all there is.
    fn has_node(&self) -> bool;

    /// Has the node keep the content, and checks the name it gives it.
    async fn pin(&self, content: &[u8], cid: &str) -> Result<()>;
}

impl Sealable for EncryptedPayload {
    const TABLE: &'static str = "encrypted_payloads";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.transaction, self.version))
    }
}

impl Submission {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Submitted { .. } => "submitted",
            Self::Failed { .. } => "failed",
            Self::Withheld => "withheld",
        }
    }
}

/// Pins the payload and puts it on record, one repeatable step after another.
pub async fn publish(
    services: &Services,
    organization: OrganizationId,
    id: TransactionId,
) -> Result<Progress> {
    let ctx = OpCtx::gateway(organization, services.clock.now());
    let found = services.store.encrypted_payload(organization, id).await?;
    let payload = found.ok_or(Error::NotFound("encrypted payload"))?;
    let transaction = services.store.transaction(organization, id).await?;
    let transaction = transaction.ok_or(Error::NotFound("transaction"))?;
    if payload.submission == Submission::Pending
        && has_ended_refused(&transaction)
        && services.store.relay(organization, payload.relay).await?.is_none()
    {
        return withhold(&ctx, services, &payload).await;
    }
    let payload = if payload.pinned { payload } else { pin(&ctx, services, payload).await? };
    if payload.submission != Submission::Pending {
        return Ok(Progress::Done);
    }
    let call = submit_call(&transaction, &payload);
    let purpose = Purpose { id: payload.relay, user: transaction.owner, call };
    let next = match carry_relay(&ctx, services, &purpose).await? {
        RelayProgress::Again(after) => return Ok(Progress::Again(after)),
        RelayProgress::Recorded { hash, block } => {
            let submission = Submission::Submitted { hash, block };
            EncryptedPayload { submission, ..next_version(&ctx, &payload) }
        }
        RelayProgress::Failed { reason } => {
            EncryptedPayload { submission: Submission::Failed { reason }, ..next_version(&ctx, &payload) }
        }
        RelayProgress::Abandoned => {
            let relay = RelayId::generate(ctx.now, services.entropy.as_ref());
            EncryptedPayload { relay, ..next_version(&ctx, &payload) }
        }
    };
    let is_ended = next.submission != Submission::Pending;
    let action = if is_ended { "payload.submitted" } else { "payload.begun_again" };
    match update(&ctx, services, next, action).await? {
        Some(_) if is_ended => Ok(Progress::Done),
        Some(_) => Ok(Progress::Again(Duration::ZERO)),
        None => Ok(Progress::Again(services.limits.poll_interval)),
    }
}

fn has_ended_refused(transaction: &Transaction) -> bool {
    match &transaction.state {
        State::Rejected { .. } | State::Aborted => true,
        State::Failed { reason } => !reason.is_after_release(),
        _ => false,
    }
}

/// Nobody will ask for the message of a transaction that was refused, and nothing on chain names it.
async fn withhold(ctx: &OpCtx, services: &Services, payload: &Sealed<EncryptedPayload>) -> Result<Progress> {
    let next =
        EncryptedPayload { submission: Submission::Withheld, pinned: true, ..next_version(ctx, payload) };
    let detail = json!({"cid": next.cid, "submission": &next.submission});
    let event = AuditEvent::new(ctx, "payload.withheld", format!("transaction {}", next.transaction), detail);
    let root = next.root;
    let changes = ChangeSet::new(event)
        .write(Write::UpdateEncryptedPayload(services.sealer.seal(next)))
        .write(Write::DeleteIpfsBlock(root));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Progress::Done),
        Err(CommitError::Conflict(Contested::Version)) => Ok(Progress::Again(services.limits.poll_interval)),
        Err(error) => Err(error.into()),
    }
}

/// Has a payload put on record once more whose call failed, because its sender asks for it again. It is another call in
/// the user's name.
pub(crate) async fn submit_again(ctx: &OpCtx, services: &Services, transaction: &Transaction) -> Result<()> {
    let found = services.store.encrypted_payload(ctx.organization, transaction.id).await?;
    let failed = found.filter(|payload| matches!(payload.submission, Submission::Failed { .. }));
    let Some(payload) = failed else { return Ok(()) };
    let relay = RelayId::generate(ctx.now, services.entropy.as_ref());
    let next = EncryptedPayload { relay, submission: Submission::Pending, ..next_version(ctx, &payload) };
    let subject = format!("transaction {}", next.transaction);
    let event = AuditEvent::new(ctx, "payload.asked_again", subject, json!({"cid": next.cid}));
    let changes = ChangeSet::new(event)
        .write(Write::UpdateEncryptedPayload(services.sealer.seal(next)))
        .write(Write::ScheduleOutbox(OutboxItem::publish(ctx.organization, transaction.id, ctx.now)));
    match services.store.commit(changes).await {
        // Another request asked at the same time.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn submit_call(transaction: &Transaction, payload: &EncryptedPayload) -> RegistryCall {
    RegistryCall::Submit {
        request_hash: transaction.request_hash,
        cid_digest: payload.root,
        verification_service: payload.verification_service,
    }
}

async fn pin(
    ctx: &OpCtx,
    services: &Services,
    payload: Sealed<EncryptedPayload>,
) -> Result<Sealed<EncryptedPayload>> {
    let block = services.store.ipfs_block(payload.root).await?;
    let block = block.ok_or_else(|| Error::inconsistency("a payload without its block"))?;
    let content = services.publication.ipfs.content(&block, &payload.cid, payload.root)?;
    services.publication.ipfs.pin(&content, &payload.cid).await?;
    let next = EncryptedPayload { pinned: true, ..next_version(ctx, &payload) };
    match update(ctx, services, next, "payload.pinned").await? {
        Some(next) => Ok(next),
        None => Err(Error::Conflict("the payload was changed by another worker")),
    }
}

fn next_version(ctx: &OpCtx, payload: &EncryptedPayload) -> EncryptedPayload {
    EncryptedPayload { version: payload.version + 1, updated_at: ctx.now, ..payload.clone() }
}

/// `None` when another worker came first.
async fn update(
    ctx: &OpCtx,
    services: &Services,
    next: EncryptedPayload,
    action: &'static str,
) -> Result<Option<Sealed<EncryptedPayload>>> {
    let detail = json!({"cid": next.cid, "submission": &next.submission});
    let event = AuditEvent::new(ctx, action, format!("transaction {}", next.transaction), detail);
    let sealed = services.sealer.seal(next);
    let changes = ChangeSet::new(event).write(Write::UpdateEncryptedPayload(sealed.clone()));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Some(sealed)),
        Err(CommitError::Conflict(Contested::Version)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
