//! Storing, making and removing quorum references.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    identity::User,
    ids::{PrincipalId, QuorumId},
    ports::Services,
    quorums::{MadeQuorum, MemberKey, NewQuorum, PrivyQuorum, QuorumClaim, QuorumType, StaticQuorum},
    quota::{counts_as_self_registered, used_up},
    sealed::Sealed,
    vendors::VendorError,
};

/// A quorum that exists at Privy already.
#[derive(Clone, Debug)]
pub struct SetQuorum {
    pub owner: PrincipalId,
    pub kind: QuorumType,
    pub quorum_id: String,
    /// Absent keeps the stored ones.
    pub display_name: Option<String>,
    pub public_key_pem: Option<String>,
}

/// A quorum to be made at Privy, or the configured one.
#[derive(Clone, Debug)]
pub struct RegisterQuorum {
    pub owner: PrincipalId,
    pub kind: QuorumType,
    /// Absent means the quorum of the configuration.
    pub member: Option<QuorumMember>,
    pub message: Option<String>,
}

/// A P-256 key that becomes the only member.
#[derive(Clone, Debug)]
pub struct QuorumMember {
    pub display_name: String,
    pub key: MemberKey,
}

/// A quorum of the configured arbiter key and a Privy user.
#[derive(Clone, Debug)]
pub struct CreateArbiterQuorum {
    pub ethereum_address: Address,
    pub display_name: String,
    pub privy_user_id: String,
}

/// What is stored of a quorum, however it came about.
#[derive(Clone)]
struct Facts {
    quorum_id: String,
    display_name: String,
    public_key_pem: Option<String>,
    authorization_threshold: u32,
    is_static: bool,
    message: Option<String>,
}

pub async fn require_quorum(
    ctx: &OpCtx,
    services: &Services,
    owner: PrincipalId,
    kind: QuorumType,
) -> Result<Sealed<PrivyQuorum>> {
    services.store.quorum(ctx.organization, owner, kind).await?.ok_or(Error::NotFound("privy quorum"))
}

/// Sets or replaces the reference; Privy is not asked.
pub async fn set_quorum(ctx: &OpCtx, services: &Services, request: SetQuorum) -> Result<PrivyQuorum> {
    let facts = |stored: Option<&PrivyQuorum>| {
        let kept = stored.filter(|stored| stored.quorum_id == request.quorum_id);
        let (name, pem) = (request.display_name.clone(), request.public_key_pem.clone());
        Facts {
            display_name: name
                .or_else(|| kept.map(|kept| kept.display_name.clone()))
                .unwrap_or_else(|| request.quorum_id.chars().take(50).collect()),
            public_key_pem: pem.or_else(|| kept.and_then(|kept| kept.public_key_pem.clone())),
            authorization_threshold: kept.map_or(1, |kept| kept.authorization_threshold),
            is_static: false,
            message: kept.and_then(|kept| kept.message.clone()),
            quorum_id: request.quorum_id.clone(),
        }
    };
    keep(ctx, services, (request.owner, request.kind), facts).await
}

/// Makes the quorum at Privy with threshold 1, or takes the configured one, and stores the reference.
pub async fn register_quorum(
    ctx: &OpCtx,
    services: &Services,
    request: RegisterQuorum,
) -> Result<PrivyQuorum> {
    let RegisterQuorum { owner, kind, member, message } = request;
    let facts = match member {
        None => {
            let configured = services.vendors.static_quorum.clone();
            let StaticQuorum { quorum_id, display_name, authorization_threshold } =
                configured.ok_or_else(|| Error::invalid("navaAgent needs a configured static quorum"))?;
            let public_key_pem = None;
            Facts {
                quorum_id,
                display_name,
                public_key_pem,
                authorization_threshold,
                is_static: true,
                message,
            }
        }
        Some(member) => {
            let keys = vec![member.key.der_base64().to_owned()];
            let made = make(ctx, services, (owner, false), (&member.display_name, keys, Vec::new())).await?;
            Facts {
                quorum_id: made.id,
                display_name: member.display_name,
                public_key_pem: Some(member.key.pem().to_owned()),
                authorization_threshold: made.authorization_threshold,
                is_static: false,
                message,
            }
        }
    };
    keep(ctx, services, (owner, kind), |_| facts.clone()).await
}

/// Makes a quorum of the configured arbiter key and the user's Privy account.
pub async fn create_arbiter_quorum(
    ctx: &OpCtx,
    services: &Services,
    request: CreateArbiterQuorum,
) -> Result<PrivyQuorum> {
    services.vendors.require_privy()?;
    let arbiter = services.vendors.arbiter_key.clone();
    let arbiter = arbiter.ok_or(Error::Unconfigured("privy.arbiter_public_key"))?;
    let owner = privy_owner(ctx, services, request.ethereum_address, &request.privy_user_id).await?.id;
    let (keys, users) = (vec![arbiter.der_base64().to_owned()], vec![request.privy_user_id.clone()]);
    let made = make(ctx, services, (owner, true), (&request.display_name, keys, users)).await?;
    // Only now: an account that Privy does not know would stay the user's for good.
    link_privy_user(ctx, services, request.ethereum_address, &request.privy_user_id).await?;
    let facts = Facts {
        quorum_id: made.id,
        display_name: request.display_name,
        public_key_pem: None,
        authorization_threshold: made.authorization_threshold,
        is_static: false,
        message: None,
    };
    keep(ctx, services, (owner, QuorumType::Arbiter), |_| facts.clone()).await
}

/// The user at `address`, who has this Privy account or none yet.
async fn privy_owner(
    ctx: &OpCtx,
    services: &Services,
    address: Address,
    privy_user_id: &str,
) -> Result<User> {
    let user = services.store.user_by_address(ctx.organization, address).await?;
    let user = user.ok_or_else(|| Error::invalid("ethereumAddress must belong to a user"))?.into_value();
    if user.privy_user_id.as_deref().is_some_and(|linked| linked != privy_user_id) {
        return Err(Error::invalid("privyUserId must be the user's, who has another"));
    }
    Ok(user)
}

/// Makes the Privy account that of the user at `address`. Whoever logged in before anybody enrolled them gets it here; the
/// account of a user never changes.
async fn link_privy_user(
    ctx: &OpCtx,
    services: &Services,
    address: Address,
    privy_user_id: &str,
) -> Result<()> {
    for _ in 0..services.limits.contest_attempts_max {
        let user = privy_owner(ctx, services, address, privy_user_id).await?;
        if user.privy_user_id.is_some() {
            return Ok(());
        }
        let linked = User {
            privy_user_id: Some(privy_user_id.to_owned()),
            version: user.version + 1,
            updated_at: ctx.now,
            ..user
        };
        let detail = json!({"privyUserId": privy_user_id});
        let event = AuditEvent::new(ctx, "user.privy_linked", format!("user {}", linked.id), detail);
        match services
            .store
            .commit(ChangeSet::new(event).write(Write::UpdateUser(services.sealer.seal(linked))))
            .await
        {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}

/// Forgets the reference. The quorum at Privy stays.
pub async fn delete_quorum(
    ctx: &OpCtx,
    services: &Services,
    owner: PrincipalId,
    kind: QuorumType,
) -> Result<()> {
    for _ in 0..services.limits.contest_attempts_max {
        let stored = require_quorum(ctx, services, owner, kind).await?;
        let detail = json!({"owner": owner, "type": kind, "quorumId": stored.quorum_id});
        let event = AuditEvent::new(ctx, "quorum.deleted", format!("privy quorum {}", stored.id), detail);
        match services.store.commit(ChangeSet::new(event).write(Write::DeleteQuorum(stored))).await {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same quorum"))
}

/// For how long Privy answers a repeat under one idempotency key with the first quorum.
const REPEATED_WITHIN: Duration = Duration::from_hours(24);

/// A crash between Privy's answer and our commit leaves a quorum there that nothing uses; it stays counted. So does one
/// of which Privy did not tell whether it was made, and asking for the same again costs nothing more.
async fn make(
    ctx: &OpCtx,
    services: &Services,
    (owner, for_arbiter): (PrincipalId, bool),
    (display_name, public_keys, user_ids): (&str, Vec<String>, Vec<String>),
) -> Result<MadeQuorum> {
    let privy = services.vendors.require_privy()?;
    let text = json!([display_name, public_keys, user_ids]).to_string();
    let request = B256::new(Sha256::digest(text.as_bytes()).into());
    let since = ctx.now.minus(REPEATED_WITHIN);
    let earlier = services.store.quorum_claim(ctx.organization, owner, request, since).await?;
    let is_safe_to_mark = earlier.is_none_or(|(_, may_exist)| !may_exist);
    let id = match earlier {
        Some((id, may_exist)) => {
            if !may_exist {
                mark(ctx, services, id, true).await?;
            }
            id
        }
        None => claim(ctx, services, (owner, for_arbiter), request).await?,
    };
    let idempotency_key = hex::encode(id.as_bytes());
    let quorum = NewQuorum { display_name: display_name.to_owned(), public_keys, user_ids, idempotency_key };
    let failure = match privy.create_quorum(&quorum).await {
        Ok(made) => return Ok(made),
        Err(failure) => failure,
    };
    let is_none_made = matches!(
        failure,
        VendorError::Refused { .. } | VendorError::NotTaken { .. } | VendorError::NotSent(_)
    );
    if is_safe_to_mark && is_none_made {
        mark(ctx, services, id, false).await?;
    }
    Err(match failure {
        VendorError::NotSent(Error::Unavailable { cause, .. }) => Error::Upstream("Privy", cause),
        other => other.into_error("Privy"),
    })
}

async fn mark(ctx: &OpCtx, services: &Services, id: QuorumId, may_exist: bool) -> Result<()> {
    let action = if may_exist { "quorum.asked_again" } else { "quorum.not_made" };
    let event = AuditEvent::new(ctx, action, format!("privy quorum {id}"), json!({}));
    let changes = ChangeSet::new(event).write(Write::MarkQuorum { id, may_exist });
    Ok(services.store.commit(changes).await?)
}

async fn claim(
    ctx: &OpCtx,
    services: &Services,
    (owner, for_arbiter): (PrincipalId, bool),
    request: B256,
) -> Result<QuorumId> {
    let claim = QuorumClaim {
        id: QuorumId::generate(ctx.now, services.entropy.as_ref()),
        organization: ctx.organization,
        user: owner,
        self_registered: counts_as_self_registered(ctx, services, owner).await?,
        for_arbiter,
        request,
        created_at: ctx.now,
    };
    let event =
        AuditEvent::new(ctx, "quorum.claimed", format!("privy quorum {}", claim.id), json!({"owner": owner}));
    let claimed = ChangeSet::new(event).write(Write::ClaimQuorum(claim, services.vendors.limits.quorums));
    services.store.commit(claimed).await.map_err(|error| match error {
        CommitError::Conflict(Contested::Quota) => {
            used_up("the quota of quorums at Privy is used up, the user's, the organization's or self-registration's share")
        }
        other => other.into(),
    })?;
    Ok(claim.id)
}

async fn keep(
    ctx: &OpCtx,
    services: &Services,
    (owner, kind): (PrincipalId, QuorumType),
    facts: impl Fn(Option<&PrivyQuorum>) -> Facts,
) -> Result<PrivyQuorum> {
    for _ in 0..services.limits.contest_attempts_max {
        let stored = services.store.quorum(ctx.organization, owner, kind).await?;
        let facts = facts(stored.as_deref());
        let quorum = next_quorum(ctx, services, (owner, kind), stored.as_deref(), facts);
        if let Some(stored) = stored.as_deref().filter(|stored| names_the_same(&quorum, stored)) {
            return Ok(stored.clone());
        }
        let detail = json!({"owner": owner, "type": kind, "quorumId": quorum.quorum_id});
        let event = AuditEvent::new(ctx, "quorum.set", format!("privy quorum {}", quorum.id), detail);
        let sealed = services.sealer.seal(quorum.clone());
        let write = if stored.is_some() { Write::UpdateQuorum(sealed) } else { Write::InsertQuorum(sealed) };
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => return Ok(quorum),
            Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same quorum"))
}

/// Whether nothing changes but the version and its time.
fn names_the_same(next: &PrivyQuorum, stored: &PrivyQuorum) -> bool {
    let PrivyQuorum { version, updated_at, .. } = *stored;
    PrivyQuorum { version, updated_at, ..next.clone() } == *stored
}

fn next_quorum(
    ctx: &OpCtx,
    services: &Services,
    (owner, kind): (PrincipalId, QuorumType),
    stored: Option<&PrivyQuorum>,
    facts: Facts,
) -> PrivyQuorum {
    let now = ctx.now;
    let (id, version, created_at) = match stored {
        Some(stored) => (stored.id, stored.version + 1, stored.created_at),
        None => (QuorumId::generate(now, services.entropy.as_ref()), 1, now),
    };
    let Facts { quorum_id, display_name, public_key_pem, authorization_threshold, is_static, message } =
        facts;
    PrivyQuorum {
        id,
        organization: ctx.organization,
        owner,
        kind,
        quorum_id,
        display_name,
        public_key_pem,
        authorization_threshold,
        is_static,
        message,
        version,
        created_at,
        updated_at: now,
    }
}
