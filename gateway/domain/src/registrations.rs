//! OpenPGP keys of users: examined, kept with their history, and put on record in the registry contract.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    identity::User,
    ids::{OrganizationId, PrincipalId, RegistrationId, RelayId},
    openpgp::{Fingerprint, InspectedKey},
    outbox::OutboxItem,
    ports::Services,
    registry::{RegistryCall, RelayFailure, RelayProgress, carry_relay, require_registry},
    sealed::{RowVersion, Sealable, Sealed},
    transactions::Progress,
};

/// A key that a user named as theirs. A fingerprint has one row; the one a user uses now is `current`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub id: RegistrationId,
    pub organization: OrganizationId,
    pub user: PrincipalId,
    /// The wallet that signed the key.
    pub account: Address,
    pub fingerprint: Fingerprint,
    /// As it was sent: the signature covers every byte.
    pub public_key: String,
    /// `personal_sign` of the armored key by `account`, 65 bytes.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
    pub current: bool,
    /// The call that puts it on record; another one after a failure.
    pub relay: RelayId,
    pub state: RegistrationState,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum RegistrationState {
    Pending,
    Registered {
        hash: B256,
        block: u64,
        at: Timestamp,
    },
    /// Registering the same key again tries anew.
    Failed {
        reason: RelayFailure,
    },
}

impl RegistrationState {
    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Registered { .. } => "registered",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Sealable for Registration {
    const TABLE: &'static str = "registrations";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

/// A key to be registered. The caller has verified the signature against the user's wallet.
#[derive(Clone, Debug)]
pub struct RegisterKey {
    pub user: Sealed<User>,
    pub public_key: String,
    pub signature: Vec<u8>,
}

/// Stores the key as the user's present one and schedules its record on chain; [`carry_registration`] does that. The
/// same key again changes nothing, unless it failed before.
pub async fn register_key(ctx: &OpCtx, services: &Services, request: &RegisterKey) -> Result<Registration> {
    require_registry(services)?;
    let inspected = services.publication.openpgp.inspect_key(&request.public_key, ctx.now);
    let InspectedKey { fingerprint } =
        inspected.map_err(|fault| Error::invalid(format!("pgpPublicKey {fault}")))?;
    for _ in 0..services.limits.contest_attempts_max {
        let (organization, user) = (ctx.organization, request.user.id);
        let present = services.store.current_registration(organization, user).await?;
        let same = services.store.registration_by_fingerprint(organization, fingerprint).await?;
        if same.as_ref().is_some_and(|same| same.user != user) {
            return Err(Error::Conflict("pgpPublicKey is registered by another user"));
        }
        if let Some(present) = &present
            && present.fingerprint == fingerprint
            && !matches!(present.state, RegistrationState::Failed { .. })
        {
            return Ok((**present).clone());
        }
        let next = next_registration(ctx, services, request, (fingerprint, same.as_deref()));
        let detail = json!({"fingerprint": fingerprint, "account": next.account, "relay": next.relay});
        let event =
            AuditEvent::new(ctx, "registration.requested", format!("registration {}", next.id), detail);
        let mut changes = ChangeSet::new(event);
        if let Some(present) = present.filter(|present| present.id != next.id) {
            changes = changes.write(Write::UpdateRegistration(services.sealer.seal(Registration {
                current: false,
                version: present.version + 1,
                updated_at: ctx.now,
                ..present.into_value()
            })));
        }
        let sealed = services.sealer.seal(next.clone());
        let write = match &same {
            Some(_) => Write::UpdateRegistration(sealed),
            None => Write::InsertRegistration(sealed),
        };
        let due_at = ctx.now.plus(services.limits.unavailable_pause);
        let item = OutboxItem::register(organization, next.id, due_at);
        match services.store.commit(changes.write(write).write(Write::ScheduleOutbox(item))).await {
            Ok(()) => return Ok(next),
            Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same registration"))
}

fn next_registration(
    ctx: &OpCtx,
    services: &Services,
    request: &RegisterKey,
    (fingerprint, earlier): (Fingerprint, Option<&Registration>),
) -> Registration {
    let entropy = services.entropy.as_ref();
    Registration {
        id: earlier.map_or_else(|| RegistrationId::generate(ctx.now, entropy), |earlier| earlier.id),
        organization: ctx.organization,
        user: request.user.id,
        account: request.user.ethereum_address,
        fingerprint,
        public_key: request.public_key.clone(),
        signature: request.signature.clone(),
        current: true,
        relay: RelayId::generate(ctx.now, entropy),
        state: RegistrationState::Pending,
        version: earlier.map_or(1, |earlier| earlier.version + 1),
        created_at: earlier.map_or(ctx.now, |earlier| earlier.created_at),
        updated_at: ctx.now,
    }
}

/// Puts a pending registration on record, one repeatable step after another.
pub async fn carry_registration(
    services: &Services,
    organization: OrganizationId,
    id: RegistrationId,
) -> Result<Progress> {
    let ctx = OpCtx::gateway(organization, services.clock.now());
    let found = services.store.registration(organization, id).await?;
    let registration = found.ok_or(Error::NotFound("registration"))?;
    if registration.state != RegistrationState::Pending {
        return Ok(Progress::Done);
    }
    let call =
        RegistryCall::Register { account: registration.account, fingerprint: registration.fingerprint };
    let state = match carry_relay(&ctx, services, registration.relay, &call).await? {
        RelayProgress::Again(after) => return Ok(Progress::Again(after)),
        RelayProgress::Recorded { hash, block } => RegistrationState::Registered { hash, block, at: ctx.now },
        RelayProgress::Failed { reason } => RegistrationState::Failed { reason },
    };
    let event = AuditEvent::new(
        &ctx,
        "registration.ended",
        format!("registration {id}"),
        json!({"state": &state, "fingerprint": registration.fingerprint}),
    );
    let version = registration.version + 1;
    let next = Registration { state, version, updated_at: ctx.now, ..registration.into_value() };
    let changes = ChangeSet::new(event).write(Write::UpdateRegistration(services.sealer.seal(next)));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Progress::Done),
        Err(CommitError::Conflict(Contested::Version)) => Ok(Progress::Again(services.limits.poll_interval)),
        Err(error) => Err(error.into()),
    }
}
