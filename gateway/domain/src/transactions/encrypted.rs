//! Creating a transaction whose content arrives encrypted for a verification service.
//!
//! For the built-in service the token decrypts it here, and the transaction is judged like any other. What was sent to
//! another service nobody here can read: its intent is opaque, names no key, and only that service's orion key, never
//! a plugin, can approve it; somebody else executes.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    actor::OpCtx,
    approvals::{EvidenceLevel, Role},
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    evaluations::Fresh,
    identity::User,
    ids::{PrincipalId, RelayId, TransactionId},
    keys::{KeyRecord, KeyState},
    openpgp::{InspectedMessage, MessageFault, Opened},
    outbox::OutboxItem,
    payloads::{Addressed, EncryptedPayload, PayloadRoom, SessionKeyClaim, Submission},
    policy::{Applies, Decision, Denial, DenialReason, Requirement, refusal},
    ports::Services,
    quota::used_up,
    registry::{CALLS_USED_UP, calls_left},
    sealed::Sealed,
    transactions::{
        Account, Asked, Assessment, Ceilings, Created, ExecutionType, Intent, Kind, Provider,
        RequestIdentity, RequestName, RequirementSnapshot, State, Transaction, account,
        create::{ceilings, creation, eligible, judge, recent_denials},
        made_earlier, require_thawed,
    },
    vendors::VendorRole,
    verification::{VerificationService, unusable},
};

/// A transaction to be created from an encrypted message.
#[derive(Clone, Debug)]
pub struct CreateEncryptedTransaction {
    pub owner: Sealed<User>,
    pub service: Sealed<VerificationService>,
    /// Armored message.
    pub message: String,
    pub request_hash: B256,
    pub chain: ChainId,
    pub execution_type: ExecutionType,
    /// Who executes what the gateway can read; everything else is executed by somebody else.
    pub provider: Provider,
    /// Which of the user's vendors is meant, where the provider is one.
    pub vendor_role: VendorRole,
    /// Under which the client pinned the message already.
    pub cid: Option<String>,
    /// `personal_sign` of the request hash by the owner, verified by the caller; empty if not given.
    pub user_signature: Vec<u8>,
    /// What the family and the user's settings demand; the policy's floor comes on top.
    pub requirements: Vec<Requirement>,
    pub minimum_confidence_ppm: u32,
    pub approval_ttl: Duration,
    pub identity: RequestIdentity,
    /// Reads the decrypted message strictly, or says which rule it breaks.
    pub read: fn(&[u8]) -> Result<PlaintextRequest, String>,
}

/// What a message for the built-in service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaintextRequest {
    pub request_hash: B256,
    pub escrow_address: Address,
    pub chain: ChainId,
    pub to: Address,
    pub value: U256,
    pub data: Vec<u8>,
    pub note: Option<String>,
}

/// What is known of the message before the transaction is drafted.
struct Received {
    digest: B256,
    session_key_digest: B256,
    addressed: Addressed,
    /// Who pays for what is read here.
    account: Option<Account>,
    content: Reading,
}

/// What became of opening the message.
enum Reading {
    /// For another service.
    Opaque,
    Plain(PlaintextRequest, Ceilings),
    Refused(Denial),
}

/// Examines and stores the message, reads it if it is for the built-in service, and decides. Whatever it is, it is then
/// published by [`crate::payloads::publish`], which the caller may start at once. Whoever asks looks for an earlier one
/// first ([`super::made_earlier`]).
pub async fn create_encrypted(
    ctx: &OpCtx,
    services: &Services,
    request: CreateEncryptedTransaction,
) -> Result<Created> {
    let initiator = ctx.principal().ok_or(Error::Unauthenticated)?;
    services.require_chain(request.chain)?;
    if let Some(target) = &services.publication.registry
        && !calls_left(ctx, services, target, request.owner.id).await?
    {
        return Err(used_up(CALLS_USED_UP));
    }
    let received = receive(ctx, services, initiator, &request).await?;
    let draft = draft(ctx, services, initiator, &request, &received).await?;
    let history = match &received.content {
        Reading::Plain(..) => Some(recent_denials(ctx, services, &draft.intent).await?),
        Reading::Opaque | Reading::Refused(_) => None,
    };
    let pending = services.sealer.seal(draft);
    let (mut turn, mut carried) = (None, Fresh::default());
    for _ in 0..services.limits.contest_attempts_max {
        let (transaction, assessment) = match &received.content {
            Reading::Refused(denial) => refused(&pending, denial),
            Reading::Opaque | Reading::Plain(..) => judge(ctx, services, &pending, carried, history).await?,
        };
        let changes = creation(ctx, services, &transaction, &assessment, &request.identity);
        let changes = with_payload(ctx, services, changes, &transaction, (&request, &received));
        match services.store.commit(changes).await {
            Ok(()) => return Ok(Created::new(transaction, assessment)),
            Err(CommitError::Conflict(Contested::PluginState)) => carried = assessment.fresh.without_state(),
            Err(CommitError::Conflict(Contested::Version)) => {
                require_thawed(services, &transaction).await?;
                carried = assessment.fresh.without_state();
            }
            Err(CommitError::Conflict(Contested::SessionKey)) => return Err(sent_before()),
            // The same request was made at the same time.
            Err(CommitError::Conflict(Contested::RequestHash | Contested::Idempotency)) => {
                let name = RequestName::Own(request.request_hash);
                let found = made_earlier(ctx, services, Some(name), &request.identity).await?;
                return found.ok_or(Error::Conflict("requestHash is in use"));
            }
            Err(error) => return Err(error.into()),
        }
        if turn.is_none() {
            turn = Some(services.state_turns.take(ctx.organization).await);
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same plugin state"))
}

fn sent_before() -> Error {
    Error::Conflict("encryptedPayload was sent before")
}

fn digest_of(message: &str) -> B256 {
    B256::new(Sha256::digest(message.as_bytes()).into())
}

async fn receive(
    ctx: &OpCtx,
    services: &Services,
    initiator: PrincipalId,
    request: &CreateEncryptedTransaction,
) -> Result<Received> {
    let parts = &services.publication;
    let inspected = parts.openpgp.inspect_message(&request.message, &request.service.public_key, ctx.now);
    let InspectedMessage { session_key_digest } = inspected.map_err(|fault| match fault {
        MessageFault::Message(fault) => Error::invalid(format!("encryptedPayload {fault}")),
        MessageFault::Recipient(fault) => unusable(request.service.id, &fault),
    })?;
    let content = request.message.as_bytes();
    let addressed = match &request.cid {
        Some(cid) => parts.ipfs.named(cid, content),
        None => Some(parts.ipfs.address(content)?),
    };
    let addressed = addressed.ok_or_else(|| Error::invalid("ipfsCid must be the CID of encryptedPayload"))?;
    let account = match request.service.built_in {
        Some(_) => {
            let asked = Asked { provider: request.provider, role: request.vendor_role, chain: request.chain };
            Some(account(ctx, services, &request.owner, asked).await?)
        }
        None => None,
    };
    let claim = SessionKeyClaim {
        service_key: request.service.fingerprint,
        session_key_digest,
        organization: ctx.organization,
        initiator,
        request_hash: request.request_hash,
        message_digest: digest_of(&request.message),
    };
    // Before the claim, so that a freeze costs the message nothing.
    decryption_key(ctx, services, &request.service).await?;
    let room = PayloadRoom::new(parts.payloads, &request.owner, &request.message, ctx.now);
    claim_session_key(ctx, services, claim, room).await?;
    let content = read(ctx, services, request).await?;
    Ok(Received { digest: digest_of(&request.message), session_key_digest, addressed, account, content })
}

/// Before the token is asked: a message is opened for whoever sent it first, and for one request of theirs (T23).
/// The same request again, whatever came between, finds its own claim.
async fn claim_session_key(
    ctx: &OpCtx,
    services: &Services,
    claim: SessionKeyClaim,
    room: PayloadRoom,
) -> Result<()> {
    for _ in 0..services.limits.contest_attempts_max {
        let held = services.store.session_key_claim(claim.service_key, claim.session_key_digest).await?;
        match held {
            Some(held) if held == claim => return Ok(()),
            Some(_) => return Err(sent_before()),
            None => {}
        }
        let detail = json!({"requestHash": claim.request_hash, "serviceKey": claim.service_key});
        let subject = format!("message {}", claim.message_digest);
        let changes = ChangeSet::new(AuditEvent::new(ctx, "payload.claimed", subject, detail))
            .write(Write::ClaimSessionKey(claim, room));
        match services.store.commit(changes).await {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(Contested::SessionKey)) => {}
            Err(CommitError::Conflict(Contested::Quota)) => {
                return Err(used_up(
                    "too many encrypted payloads were sent today for the user, in the organization or for users who \
                     enrolled themselves",
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same message"))
}

/// What opens messages for the built-in service; nothing for a service outside. Whoever freezes key or organization stops
/// this as well: otherwise what they suspect would go on being asked.
async fn decryption_key(
    ctx: &OpCtx,
    services: &Services,
    service: &VerificationService,
) -> Result<Option<Sealed<KeyRecord>>> {
    let Some(key) = service.built_in else { return Ok(None) };
    let key = services.store.key(ctx.organization, key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the built-in service's key does not exist"))?;
    let organization = services.store.organization(ctx.organization).await?;
    let is_stopped = key.frozen || key.state != KeyState::Active;
    if is_stopped || organization.is_none_or(|organization| organization.frozen) {
        let cause = "its key is frozen or retired, or the organization is frozen";
        return Err(Error::unavailable("the built-in verification service", cause));
    }
    Ok(Some(key))
}

async fn read(ctx: &OpCtx, services: &Services, request: &CreateEncryptedTransaction) -> Result<Reading> {
    let Some(key) = decryption_key(ctx, services, &request.service).await? else {
        return Ok(Reading::Opaque);
    };
    let chain = services.require_chain(request.chain)?;
    let refused = |detail: String| Reading::Refused(refusal(DenialReason::PayloadInvalid, detail));
    Ok(match services.publication.openpgp.open(&request.message, &key).await? {
        Opened::Unopened => {
            Reading::Refused(refusal(DenialReason::PayloadUnopened, "it could not be opened"))
        }
        Opened::Unreadable(reason) => refused(reason.to_owned()),
        Opened::Content(content) => match (request.read)(&content) {
            Ok(plain) => match (contradiction(&plain, request), ceilings(chain, plain.value)) {
                (Some(field), _) => refused(format!("its {field} is not the request's")),
                (None, Err(_)) => refused("value is too large".to_owned()),
                (None, Ok(ceilings)) => Reading::Plain(plain, ceilings),
            },
            Err(rule) => refused(rule),
        },
    })
}

/// The content repeats what the request says, so that a message cannot be sent on in another name (T23).
fn contradiction(plain: &PlaintextRequest, request: &CreateEncryptedTransaction) -> Option<&'static str> {
    if plain.request_hash != request.request_hash {
        return Some("requestHash");
    }
    if Some(plain.escrow_address) != request.owner.escrow.map(|escrow| escrow.address()) {
        return Some("escrowAddress");
    }
    (plain.chain != request.chain).then_some("chainId")
}

async fn draft(
    ctx: &OpCtx,
    services: &Services,
    initiator: PrincipalId,
    request: &CreateEncryptedTransaction,
    received: &Received,
) -> Result<Transaction> {
    let policy = services.store.policy(ctx.organization).await?;
    let floor = policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))?.floor.clone();
    let intent = intent(ctx, services, request, received)?;
    let is_opaque = intent.kind == Kind::Encrypted;
    let own = request.requirements.iter().cloned().chain(floor.demands());
    let service = is_opaque.then_some(Requirement {
        role: Role::Orion,
        count: 1,
        evidence: EvidenceLevel::Bearer,
        applies: Applies::Always,
    });
    Ok(Transaction {
        id: intent.transaction,
        organization: ctx.organization,
        request_hash: request.request_hash,
        request_nonce: U256::ZERO,
        request_digest: request.identity.digest,
        initiator,
        owner: request.owner.id,
        owner_address: request.owner.ethereum_address,
        execution_type: request.execution_type,
        provider: if is_opaque { Provider::None } else { request.provider },
        verification_service: Some(request.service.id),
        intent_hash: intent.hash(),
        intent,
        snapshot: RequirementSnapshot {
            requirements: own.chain(service).collect(),
            minimum_confidence_ppm: request.minimum_confidence_ppm.max(floor.minimum_confidence_ppm),
            eligible: eligible(ctx, services, request.owner.id, Some(request.service.id)).await?,
            expires_at: ctx.now.plus(request.approval_ttl),
        },
        note: match &received.content {
            Reading::Plain(plain, _) => plain.note.clone(),
            Reading::Opaque | Reading::Refused(_) => None,
        },
        state: State::Pending,
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    })
}

fn intent(
    ctx: &OpCtx,
    services: &Services,
    request: &CreateEncryptedTransaction,
    received: &Received,
) -> Result<Intent> {
    let id = TransactionId::generate(ctx.now, services.entropy.as_ref());
    let escrow =
        request.owner.escrow.ok_or_else(|| Error::invalid("escrowAddress must belong to the user"))?;
    if let (Reading::Plain(plain, ceilings), Some(account)) = (&received.content, &received.account) {
        return Ok(Intent {
            organization: ctx.organization,
            transaction: id,
            key: account.key,
            chain: request.chain,
            kind: Kind::Transaction,
            from: account.from,
            to: Some(plain.to),
            value: plain.value,
            data: plain.data.clone(),
            ceilings: *ceilings,
            vendor_account: account.vendor.clone(),
        });
    }
    Ok(Intent {
        organization: ctx.organization,
        transaction: id,
        key: Intent::NO_KEY,
        chain: request.chain,
        kind: Kind::Encrypted,
        from: escrow.address(),
        to: None,
        value: U256::ZERO,
        data: received.digest.to_vec(),
        ceilings: Ceilings { gas: 0, fee_per_gas: 0, total: U256::ZERO },
        vendor_account: None,
    })
}

fn refused(pending: &Sealed<Transaction>, denial: &Denial) -> (Transaction, Assessment) {
    let transaction = Transaction { state: State::rejected(denial), ..(**pending).clone() };
    let decision = Decision::Denied(denial.clone());
    (transaction, Assessment { decision, fresh: Fresh::default(), shadowed: false })
}

fn with_payload(
    ctx: &OpCtx,
    services: &Services,
    changes: ChangeSet,
    transaction: &Transaction,
    (request, received): (&CreateEncryptedTransaction, &Received),
) -> ChangeSet {
    // Publishing what was refused would let anybody write on chain at the gateway's cost.
    let withheld = matches!(received.content, Reading::Refused(_)) || transaction.state.is_final();
    let payload = EncryptedPayload {
        transaction: transaction.id,
        organization: ctx.organization,
        verification_service: request.service.id,
        service_key: request.service.fingerprint,
        message_digest: received.digest,
        session_key_digest: received.session_key_digest,
        cid: received.addressed.cid.clone(),
        root: received.addressed.root,
        user_signature: request.user_signature.clone(),
        pinned: withheld || !services.publication.ipfs.has_node(),
        relay: RelayId::generate(ctx.now, services.entropy.as_ref()),
        submission: if withheld { Submission::Withheld } else { Submission::Pending },
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    };
    let detail = json!({
        "cid": payload.cid, "verificationService": payload.verification_service, "submission": &payload.submission,
    });
    let event = AuditEvent::new(ctx, "payload.received", format!("transaction {}", transaction.id), detail);
    let changes = changes.event(event);
    if withheld {
        // Its digest is evidence enough.
        return changes.write(Write::InsertEncryptedPayload(services.sealer.seal(payload)));
    }
    let (root, block) = (received.addressed.root, received.addressed.block.clone());
    let changes = changes
        .write(Write::InsertIpfsBlock { root, block })
        .write(Write::InsertEncryptedPayload(services.sealer.seal(payload)));
    let due_at = ctx.now.plus(services.limits.unavailable_pause);
    changes.write(Write::ScheduleOutbox(OutboxItem::publish(ctx.organization, transaction.id, due_at)))
}
