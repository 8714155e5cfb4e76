//! OpenPGP keys of users: examined, kept with their history, and put on record in the registry contract.

use std::time::Duration;

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
    quota::{registers_itself, used_up},
    registry::{
        CALLS_USED_UP, Purpose, RegistryCall, RelayFailure, RelayProgress, calls_left, carry_relay,
        require_registry,
    },
    sealed::{RowVersion, Sealable, Sealed},
    transactions::Progress,
};

mod possession;

pub use possession::possession_text;
use possession::{require_takeover, taken_over, verify_possession};

/// A key that a user named as theirs. A fingerprint has one row besides those it was taken over from; the one a user uses
/// now is `current`.
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
    /// `personal_sign` of the armored key by `account`: 65 bytes of a key, or what its contract took.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
    /// The key's own armored signature over [`possession_text`], where its user sent one: whose key it is.
    pub possession: Option<String>,
    /// When somebody who showed that the key is theirs took its fingerprint over.
    pub taken_over_at: Option<Timestamp>,
    pub current: bool,
    /// The call that puts it on record; another one after a failure.
    pub relay: RelayId,
    pub state: RegistrationState,
    /// Counts against the share of the quota that strangers may use.
    pub self_registered: bool,
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
    /// Every word that [`Self::name`] says.
    pub const NAMES: [&'static str; 3] = ["pending", "registered", "failed"];

    /// The stable word stored beside the facts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Registered { .. } => "registered",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Registration {
    /// Whether the contract says this key instead of `other`: it keeps the last, and within a block nobody knows which
    /// that was.
    fn overtakes(&self, other: &Self) -> bool {
        let block = |registration: &Self| match registration.state {
            RegistrationState::Registered { block, .. } => Some(block),
            _ => None,
        };
        self.id != other.id && block(other).is_some_and(|other| block(self) >= Some(other))
    }

    fn carried(&self, ctx: &OpCtx) -> AuditEvent {
        let is_ended = self.state != RegistrationState::Pending;
        let action = if is_ended { "registration.ended" } else { "registration.begun_again" };
        let detail = json!({"state": &self.state, "fingerprint": self.fingerprint, "relay": self.relay});
        AuditEvent::new(ctx, action, format!("registration {}", self.id), detail)
    }

    /// To be put on record by another call.
    fn begun_again(self, services: &Services, now: Timestamp) -> Self {
        let relay = RelayId::generate(now, services.entropy.as_ref());
        Self { state: RegistrationState::Pending, relay, ..self }
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
    /// Armored detached signature by the key itself over [`possession_text`].
    pub possession: Option<String>,
}

/// Stores the key as the user's present one and schedules its record on chain; [`carry_registration`] does that. The
/// same key again changes nothing. One that was used before takes its place again, and goes on record another time if
/// the record of another key came after its own, for the contract keeps the last. Every record costs the relayer gas,
/// so there are quotas.
///
/// Public keys are public, so anybody may name one first. Who has the key takes it over from a user who never showed to
/// have it.
pub async fn register_key(ctx: &OpCtx, services: &Services, request: &RegisterKey) -> Result<Registration> {
    let target = require_registry(services)?;
    let inspected = services.publication.openpgp.inspect_key(&request.public_key, ctx.now);
    let InspectedKey { fingerprint, .. } =
        inspected.map_err(|fault| Error::invalid(format!("pgpPublicKey {fault}")))?;
    verify_possession(ctx, services, request, fingerprint)?;
    for _ in 0..services.limits.contest_attempts_max {
        let (organization, user) = (ctx.organization, request.user.id);
        let present = services.store.current_registration(organization, user).await?;
        let same = services.store.registration_by_fingerprint(organization, fingerprint).await?;
        let (same, other) = match same {
            Some(same) if same.user != user => (None, Some(same)),
            same => (same, None),
        };
        if let Some(other) = &other {
            require_takeover(request, other)?;
        }
        if let Some(present) = &present
            && present.fingerprint == fingerprint
            && !matches!(present.state, RegistrationState::Failed { .. })
            && (request.possession.is_none() || present.possession.is_some())
        {
            return Ok((**present).clone());
        }
        let known = services.store.registrations(organization, user).await?;
        let next = next_registration(ctx, services, request, (fingerprint, same.as_deref(), &known));
        let is_called = same.as_ref().is_none_or(|same| same.relay != next.relay);
        if is_called && !calls_left(ctx, services, target, user).await? {
            return Err(used_up(CALLS_USED_UP));
        }
        let detail = json!({"fingerprint": fingerprint, "account": next.account, "relay": next.relay});
        let event =
            AuditEvent::new(ctx, "registration.requested", format!("registration {}", next.id), detail);
        let mut changes = ChangeSet::new(event);
        if let Some(other) = other {
            changes = taken_over(ctx, services, changes, other.into_value());
        }
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
            None => Write::InsertRegistration(sealed, target.keys),
        };
        let due_at = ctx.now.plus(services.limits.unavailable_pause);
        let item = OutboxItem::register(organization, next.id, due_at);
        match services.store.commit(changes.write(write).write(Write::ScheduleOutbox(item))).await {
            Ok(()) => return Ok(next),
            Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => {}
            Err(CommitError::Conflict(Contested::Quota)) => {
                return Err(used_up(
                    "the quota of OpenPGP keys is used up, the user's, the organization's or self-registration's share",
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same registration"))
}

fn next_registration(
    ctx: &OpCtx,
    services: &Services,
    request: &RegisterKey,
    (fingerprint, earlier, known): (Fingerprint, Option<&Registration>, &[Sealed<Registration>]),
) -> Registration {
    let entropy = services.entropy.as_ref();
    let holds = |earlier: &&Registration| {
        let failed = matches!(earlier.state, RegistrationState::Failed { .. });
        !failed && !known.iter().any(|other| other.overtakes(earlier))
    };
    let on_record = earlier.filter(holds);
    let (relay, state) = match on_record {
        Some(earlier) => (earlier.relay, earlier.state.clone()),
        None => (RelayId::generate(ctx.now, entropy), RegistrationState::Pending),
    };
    let self_registered = registers_itself(&ctx.actor) && request.user.self_registered;
    Registration {
        id: earlier.map_or_else(|| RegistrationId::generate(ctx.now, entropy), |earlier| earlier.id),
        organization: ctx.organization,
        user: request.user.id,
        account: request.user.ethereum_address,
        fingerprint,
        public_key: request.public_key.clone(),
        signature: request.signature.clone(),
        possession: request
            .possession
            .clone()
            .or_else(|| earlier.and_then(|earlier| earlier.possession.clone())),
        taken_over_at: None,
        current: true,
        relay,
        state,
        self_registered: earlier.map_or(self_registered, |earlier| earlier.self_registered),
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
    let purpose = Purpose { id: registration.relay, user: registration.user, call };
    let (state, relay) = match carry_relay(&ctx, services, &purpose).await? {
        RelayProgress::Again(after) => return Ok(Progress::Again(after)),
        RelayProgress::Recorded { hash, block } => {
            (RegistrationState::Registered { hash, block, at: ctx.now }, registration.relay)
        }
        RelayProgress::Failed { reason } => (RegistrationState::Failed { reason }, registration.relay),
        RelayProgress::Abandoned => {
            (RegistrationState::Pending, RelayId::generate(ctx.now, services.entropy.as_ref()))
        }
    };
    let version = registration.version + 1;
    let mut next = Registration { state, relay, version, updated_at: ctx.now, ..registration.into_value() };
    let mut current = None;
    if matches!(next.state, RegistrationState::Registered { .. }) {
        let known = services.store.registrations(organization, next.user).await?;
        if !next.current {
            current = known.into_iter().find(|known| known.current);
        } else if known.iter().any(|known| known.overtakes(&next)) {
            next = next.begun_again(services, ctx.now);
        }
    }
    let is_ended = next.state != RegistrationState::Pending;
    let mut changes = ChangeSet::new(next.carried(&ctx));
    if let Some(current) = current {
        changes = followed(&ctx, services, changes, &next, current.into_value());
    }
    let changes = changes.write(Write::UpdateRegistration(services.sealer.seal(next)));
    match services.store.commit(changes).await {
        Ok(()) if is_ended => Ok(Progress::Done),
        Ok(()) => Ok(Progress::Again(Duration::ZERO)),
        Err(CommitError::Conflict(Contested::Version)) => Ok(Progress::Again(services.limits.poll_interval)),
        Err(error) => Err(error.into()),
    }
}

/// What follows for the user's current key when another one is on record: its own record again, if it was before. Its
/// version moves in any case, so that whoever takes a third one meanwhile looks again.
fn followed(
    ctx: &OpCtx,
    services: &Services,
    changes: ChangeSet,
    recorded: &Registration,
    current: Registration,
) -> ChangeSet {
    let overtaken = recorded.overtakes(&current);
    let current = Registration { version: current.version + 1, updated_at: ctx.now, ..current };
    if !overtaken {
        return changes.write(Write::UpdateRegistration(services.sealer.seal(current)));
    }
    let current = current.begun_again(services, ctx.now);
    let item = OutboxItem::register(current.organization, current.id, ctx.now);
    changes
        .event(current.carried(ctx))
        .write(Write::UpdateRegistration(services.sealer.seal(current)))
        .write(Write::ScheduleOutbox(item))
}
