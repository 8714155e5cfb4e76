//! Keys that a user makes for programs of their own. Their scopes are fixed and reach no further than the user.

use std::collections::BTreeSet;

use crate::{
    actor::OpCtx,
    changes::{CommitError, Contested, UserCondition, Write},
    clock::Timestamp,
    credentials::{
        ApiKey, ApiKeyText, CreateApiKey, Label,
        manage::{KeyOwner, api_key_creation},
        revoke_api_key,
    },
    error::{Error, Result},
    identity::require_escrow,
    ids::{CredentialId, PrincipalId},
    ports::Services,
    sessions::require_session_of,
};

/// Keys that are listed; what is left out has been revoked or has expired.
const LISTED_MAX: u32 = 1000;

/// A key that a user asks for.
#[derive(Clone, Debug)]
pub struct CreateOwnApiKey {
    pub name: String,
    pub expires_at: Option<Timestamp>,
}

/// A key and when it was last used, as far as that was noted.
#[derive(Clone, Debug)]
pub struct UsedApiKey {
    pub key: ApiKey,
    pub last_used_at: Option<Timestamp>,
}

/// Makes a key for its user. Makes the user's escrow key first if there is none: whoever wants a key will want to
/// propose transactions.
pub async fn create_own_api_key(
    ctx: &OpCtx,
    services: &Services,
    user: PrincipalId,
    request: CreateOwnApiKey,
) -> Result<(ApiKey, ApiKeyText)> {
    let wanted = CreateApiKey {
        label: Label::User,
        name: request.name,
        principal: Some(user),
        expires_at: request.expires_at,
        dev_only: false,
        verification_service: None,
    };
    // Whatever is wrong with the request shows before a key is made in the HSM.
    let nobody = KeyOwner { principal: user, self_registered: false };
    api_key_creation(ctx, services, nobody, wanted.clone())?;
    refuse_surplus(ctx, services, user).await?;
    for _ in 0..services.limits.contest_attempts_max {
        let owner = require_escrow(ctx, services, user).await?;
        require_session_of(ctx, services, &owner).await?;
        let maker = KeyOwner { principal: user, self_registered: owner.self_registered };
        let (changes, key, text) = api_key_creation(ctx, services, maker, wanted.clone())?;
        // Whoever ends the user's sessions and keys because of their wallet moves the version.
        let unchanged = UserCondition::Version(owner.version);
        let changes = changes.write(Write::RequireUser((ctx.organization, user), unchanged)).write(
            Write::InsertUserApiKey(services.sealer.seal(key.clone()), services.limits.user_api_keys_max),
        );
        match services.store.commit(changes).await {
            Ok(()) => return Ok((key, text)),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(CommitError::Conflict(Contested::Quota)) => return Err(surplus(services)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}

async fn refuse_surplus(ctx: &OpCtx, services: &Services, user: PrincipalId) -> Result<()> {
    let active = services.store.active_user_api_key_count(ctx.organization, user, ctx.now).await?;
    if active >= u64::from(services.limits.user_api_keys_max) { Err(surplus(services)) } else { Ok(()) }
}

fn surplus(services: &Services) -> Error {
    let most = services.limits.user_api_keys_max;
    Error::invalid(format!("a user may have at most {most} active API keys"))
}

/// The user's keys: those that are active, however many were made after them, then the others; both newest first.
pub async fn own_api_keys(ctx: &OpCtx, services: &Services, user: PrincipalId) -> Result<Vec<UsedApiKey>> {
    let mut keys = services.store.active_user_api_keys(ctx.organization, user, ctx.now).await?;
    keys.reverse();
    let active: BTreeSet<CredentialId> = keys.iter().map(|key| key.id).collect();
    let newest = services.store.user_api_keys(ctx.organization, user, LISTED_MAX).await?;
    keys.extend(newest.into_iter().filter(|key| !active.contains(&key.id)));
    keys.truncate(LISTED_MAX as usize);
    let ids: Vec<CredentialId> = keys.iter().map(|key| key.id).collect();
    let noted = services.store.api_key_uses(ctx.organization, &ids).await?;
    let with_use = |key: ApiKey| UsedApiKey { last_used_at: noted.get(&key.id).copied(), key };
    Ok(keys.into_iter().map(|key| with_use(key.into_value())).collect())
}

/// Ends one of the user's keys at once. Doing it again changes nothing.
pub async fn revoke_own_api_key(
    ctx: &OpCtx,
    services: &Services,
    user: PrincipalId,
    id: CredentialId,
) -> Result<UsedApiKey> {
    let found = services.store.api_keys(ctx.organization, &[id]).await?.pop();
    let own = found.filter(|key| key.principal == user && key.label == Label::User);
    own.ok_or(Error::NotFound("api key"))?;
    let key = revoke_api_key(ctx, services, id).await?;
    let noted = services.store.api_key_uses(ctx.organization, &[id]).await?;
    Ok(UsedApiKey { last_used_at: noted.get(&id).copied(), key })
}
