//! Making, recognising and revoking API keys.

use serde_json::json;

use crate::{
    actor::{Actor, ApiKeyActor, OpCtx},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, UserCondition, Write},
    clock::Timestamp,
    credentials::{ApiKey, ApiKeyText, Label},
    error::{Error, Result},
    identity::{Principal, PrincipalKind},
    ids::{CredentialId, OrganizationId, PrincipalId},
    ports::Services,
    sealed::Sealed,
};

/// A key to be made for a service principal of its own, or for an existing principal.
#[derive(Clone, Debug)]
pub struct CreateApiKey {
    pub label: Label,
    pub name: String,
    /// The owner; absent makes a new service principal of the same name.
    pub principal: Option<PrincipalId>,
    pub expires_at: Option<Timestamp>,
    pub dev_only: bool,
    /// For orion keys, which speak for one service. A key of `dev` may do without: it votes on what has no service.
    pub verification_service: Option<u32>,
}

/// Makes a key and returns its record with the clear text, which exists nowhere else.
pub async fn create_api_key(
    ctx: &OpCtx,
    services: &Services,
    request: CreateApiKey,
) -> Result<(ApiKey, ApiKeyText)> {
    let (changes, key, text) = api_key_with_owner(ctx, services, request).await?;
    services.store.commit(changes).await.map_err(Error::from)?;
    Ok((key, text))
}

/// The key, its owner if that is new, and everything that makes them.
pub(crate) async fn api_key_with_owner(
    ctx: &OpCtx,
    services: &Services,
    request: CreateApiKey,
) -> Result<(ChangeSet, ApiKey, ApiKeyText)> {
    if request.label == Label::Orion && request.verification_service.is_none() && !request.dev_only {
        return Err(Error::invalid("an orion key must name the verification service that it speaks for"));
    }
    if let Some(service) = request.verification_service {
        if request.label != Label::Orion {
            return Err(Error::invalid("only an orion key is bound to a verification service"));
        }
        let found = services.store.verification_service(ctx.organization, service).await?;
        found.ok_or(Error::NotFound("verification service"))?;
    }
    let (owner, new_owner) = if let Some(principal) = request.principal {
        (KeyOwner::of(ctx, services, principal, request.label).await?, None)
    } else {
        let new = Principal {
            id: PrincipalId::generate(ctx.now, services.entropy.as_ref()),
            organization: ctx.organization,
            kind: PrincipalKind::Service,
            name: request.name.clone(),
            active: true,
            version: 1,
            created_at: ctx.now,
        };
        (KeyOwner { principal: new.id, self_registered: false }, Some(new))
    };
    let (changes, key, text) = api_key_creation(ctx, services, owner, request)?;
    let owner = new_owner.map(|owner| Write::InsertPrincipal(services.sealer.seal(owner)));
    let write = Write::InsertApiKey(services.sealer.seal(key.clone()));
    Ok((changes.writes_of(owner).write(write), key, text))
}

/// Whose key is to be made.
#[derive(Clone, Copy)]
pub(super) struct KeyOwner {
    pub(super) principal: PrincipalId,
    pub(super) self_registered: bool,
}

impl KeyOwner {
    async fn of(ctx: &OpCtx, services: &Services, principal: PrincipalId, label: Label) -> Result<Self> {
        let user = match label {
            Label::User => services.store.user(ctx.organization, principal).await?,
            Label::Admin | Label::Agent | Label::Arbiter | Label::Orion => None,
        };
        Ok(Self { principal, self_registered: user.is_some_and(|user| user.self_registered) })
    }
}

/// The key and the beginning of the change set that makes it; the caller adds the key's own row last.
pub(super) fn api_key_creation(
    ctx: &OpCtx,
    services: &Services,
    owner: KeyOwner,
    request: CreateApiKey,
) -> Result<(ChangeSet, ApiKey, ApiKeyText)> {
    let principal = owner.principal;
    if request.name.is_empty() || request.name.chars().count() > 100 {
        return Err(Error::invalid("name must have 1 to 100 characters"));
    }
    if request.expires_at.is_some_and(|expiry| expiry <= ctx.now) {
        return Err(Error::invalid("expiresAt must lie in the future"));
    }
    let text = ApiKeyText::generate(request.label, services.entropy.as_ref());
    let id = CredentialId::generate(ctx.now, services.entropy.as_ref());
    let key = ApiKey {
        id,
        organization: ctx.organization,
        principal,
        public_id: text.public_id().to_owned(),
        name: request.name,
        label: request.label,
        scopes: request.label.default_scopes(),
        secret_hash: services.credentials.hash(text.public_id(), text.secret()),
        verification_service: request.verification_service,
        dev_only: request.dev_only,
        self_registered: owner.self_registered,
        expires_at: request.expires_at,
        revoked_at: None,
        version: 1,
        created_at: ctx.now,
    };
    let detail = json!({"label": key.label, "scopes": key.scopes, "principal": principal, "expiresAt": key.expires_at,
        "verificationService": key.verification_service});
    let event = AuditEvent::new(ctx, "api_key.created", format!("api_key {id}"), detail);
    Ok((ChangeSet::new(event), key, text))
}

/// Finds the key a client presented. Unknown, malformed, revoked and expired keys, and keys of inactive
/// principals, are one and the same failure.
pub async fn authenticate_api_key(services: &Services, text: &str, now: Timestamp) -> Result<Sealed<ApiKey>> {
    let text = ApiKeyText::parse(text).map_err(|_| Error::Unauthenticated)?;
    let found = services.store.api_key_by_public_id(text.public_id()).await?;
    let Some(key) = found else { return Err(Error::Unauthenticated) };
    let fits = services.credentials.verifies(text.public_id(), text.secret(), key.secret_hash);
    if !fits || key.label != text.label() || !key.is_active(now) {
        return Err(Error::Unauthenticated);
    }
    let owner = services.store.principals(key.organization, &[key.principal]).await?;
    if owner.first().is_none_or(|principal| !principal.active) {
        return Err(Error::Unauthenticated);
    }
    Ok(key)
}

impl From<&ApiKey> for Actor {
    fn from(key: &ApiKey) -> Self {
        Self::ApiKey(ApiKeyActor {
            principal: key.principal,
            credential: key.id,
            label: key.label,
            scopes: key.scopes.clone(),
            verification_service: key.verification_service,
            self_registered: key.self_registered,
        })
    }
}

/// Adds the end of every key that the user made and can still use; lost if one is made meanwhile.
pub(crate) async fn revoking_own_keys(
    ctx: &OpCtx,
    services: &Services,
    user: PrincipalId,
    changes: ChangeSet,
) -> Result<ChangeSet> {
    let active = services.store.active_user_api_keys(ctx.organization, user, ctx.now).await?;
    let changes = active.into_iter().fold(changes, |changes, key| {
        let (_, event, write) = revocation(ctx, services, key);
        changes.event(event).write(write)
    });
    let none_left = UserCondition::NoActiveApiKey(ctx.now);
    Ok(changes.write(Write::RequireUser((ctx.organization, user), none_left)))
}

/// Ends a key at once. Doing it again changes nothing.
pub async fn revoke_api_key(ctx: &OpCtx, services: &Services, id: CredentialId) -> Result<ApiKey> {
    for _ in 0..services.limits.contest_attempts_max {
        let key = require_api_key(services, ctx.organization, id).await?;
        if key.revoked_at.is_some() {
            return Ok(key.into_value());
        }
        let (revoked, event, write) = revocation(ctx, services, key);
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => return Ok(revoked),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same API key"))
}

fn revocation(ctx: &OpCtx, services: &Services, key: Sealed<ApiKey>) -> (ApiKey, AuditEvent, Write) {
    let version = key.version + 1;
    let revoked = ApiKey { revoked_at: Some(ctx.now), version, ..key.into_value() };
    let event = AuditEvent::new(ctx, "api_key.revoked", format!("api_key {}", revoked.id), json!({}));
    let write = Write::UpdateApiKey(services.sealer.seal(revoked.clone()));
    (revoked, event, write)
}

async fn require_api_key(
    services: &Services,
    organization: OrganizationId,
    id: CredentialId,
) -> Result<Sealed<ApiKey>> {
    services.store.api_keys(organization, &[id]).await?.pop().ok_or(Error::NotFound("api key"))
}
