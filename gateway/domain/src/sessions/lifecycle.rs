//! Opening, refreshing and ending sessions.

use serde_json::json;

use crate::{
    actor::{Actor, OpCtx, SessionActor},
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    identity::User,
    ids::{OrganizationId, PrincipalId, SessionId},
    ports::Services,
    sealed::Sealed,
    sessions::{AccessClaims, EndReason, RefreshToken, Session, SessionEnd, UsedRefreshToken},
};

/// What a client gets for a login and for each refresh.
pub struct TokenPair {
    pub access_token: String,
    pub refresh_token: RefreshToken,
    pub user: User,
}

/// Begins a session of `user`, whose wallet has just proven a login. Beyond the user's limit the oldest session ends.
pub async fn open_session(ctx: &OpCtx, services: &Services, user: User) -> Result<TokenPair> {
    let limits = &services.sessions.limits;
    let refresh_token = RefreshToken::generate(services.entropy.as_ref());
    let session = Session {
        id: SessionId::generate(ctx.now, services.entropy.as_ref()),
        organization: ctx.organization,
        user: user.id,
        wallet_epoch: user.wallet_epoch,
        refresh_hash: services.credentials.hash_refresh_token(&refresh_token),
        created_at: ctx.now,
        refreshed_at: ctx.now,
        expires_at: ctx.now.plus(limits.refresh_token_ttl),
        ended: None,
        version: 1,
    };
    // Before the session exists: without the HSM there is no login, and no session that nobody holds.
    let (access_token, ctx) = access_token(ctx, services, &session, &user).await?;
    for _ in 0..services.limits.contest_attempts_max {
        // One more than may stay tells whether there are too many.
        let most = limits.sessions_per_user_max;
        let live = services.store.live_sessions(ctx.organization, user.id, ctx.now, most).await?;
        let surplus = (live.len() + 1).saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let detail = json!({"user": user.id, "ethereumAddress": user.ethereum_address});
        let event = AuditEvent::new(&ctx, "session.opened", subject(session.id), detail);
        let opened = ChangeSet::new(event).write(Write::InsertSession(services.sealer.seal(session.clone())));
        let changes = live
            .into_iter()
            .take(surplus)
            .fold(opened, |changes, oldest| ended(changes, &ctx, services, oldest, EndReason::Displaced));
        match services.store.commit(changes).await {
            Ok(()) => return Ok(TokenPair { access_token, refresh_token, user }),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(contested())
}

/// Exchanges a refresh token for a new pair. A token that was exchanged before ends its session: one of its two
/// holders is a thief.
pub async fn refresh_session(ctx: &OpCtx, services: &Services, token: &RefreshToken) -> Result<TokenPair> {
    let hashes = services.credentials.refresh_token_hashes(token);
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.session_by_refresh_token(ctx.organization, &hashes).await?;
        let Some(session) = found else {
            let used = services.store.session_of_used_refresh_token(ctx.organization, &hashes).await?;
            if let Some(session) = used {
                tracing::warn!(session.id = %session, "a refresh token was used twice: its session ends");
                end(ctx, services, session, EndReason::TokenReused).await?;
            }
            return Err(Error::Unauthenticated);
        };
        if !session.is_alive(ctx.now) {
            return Err(Error::Unauthenticated);
        }
        let user = require_active_user(services, &session).await?;
        if let Some(pair) = rotate(ctx, services, session, user).await? {
            return Ok(pair);
        }
    }
    Err(contested())
}

/// `None` when another write to the session came first.
async fn rotate(
    ctx: &OpCtx,
    services: &Services,
    session: Sealed<Session>,
    user: User,
) -> Result<Option<TokenPair>> {
    let refresh_token = RefreshToken::generate(services.entropy.as_ref());
    let exchanged = UsedRefreshToken {
        organization: session.organization,
        hash: session.refresh_hash,
        session: session.id,
        expires_at: session.expires_at,
    };
    let next = Session {
        refresh_hash: services.credentials.hash_refresh_token(&refresh_token),
        refreshed_at: ctx.now,
        expires_at: ctx.now.plus(services.sessions.limits.refresh_token_ttl),
        version: session.version + 1,
        ..session.into_value()
    };
    // Before the exchange: while the HSM is away the client keeps a token that works.
    let (access_token, ctx) = access_token(ctx, services, &next, &user).await?;
    let event = AuditEvent::new(&ctx, "session.refreshed", subject(next.id), json!({}));
    let changes = ChangeSet::new(event)
        .write(Write::UpdateSession(services.sealer.seal(next)))
        .write(Write::InsertUsedRefreshToken(exchanged));
    match services.store.commit(changes).await {
        Ok(()) => Ok(Some(TokenPair { access_token, refresh_token, user })),
        Err(CommitError::Conflict(Contested::Version | Contested::Duplicate)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session that the refresh token, the newest or an older one, belongs to. Doing it again changes nothing.
pub async fn end_session(ctx: &OpCtx, services: &Services, token: &RefreshToken) -> Result<()> {
    let hashes = services.credentials.refresh_token_hashes(token);
    let newest = services.store.session_by_refresh_token(ctx.organization, &hashes).await?;
    let session = match newest {
        Some(session) => Some(session.id),
        None => services.store.session_of_used_refresh_token(ctx.organization, &hashes).await?,
    };
    let session = session.ok_or(Error::Unauthenticated)?;
    end(ctx, services, session, EndReason::LoggedOut).await
}

/// Ends every session of the user.
pub async fn end_every_session(ctx: &OpCtx, services: &Services, user: PrincipalId) -> Result<()> {
    let most = services.sessions.limits.sessions_per_user_max;
    for _ in 0..services.limits.contest_attempts_max {
        // A login meanwhile may have made one more than fit in one page.
        let live = services.store.live_sessions(ctx.organization, user, ctx.now, most).await?;
        if live.is_empty() {
            return Ok(());
        }
        let event = AuditEvent::new(ctx, "session.all_ended", format!("user {user}"), json!({}));
        let changes = live.into_iter().fold(ChangeSet::new(event), |changes, session| {
            ended(changes, ctx, services, session, EndReason::LoggedOut)
        });
        match services.store.commit(changes).await {
            Ok(()) | Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(contested())
}

/// Adds the end of every session that the user has now.
pub(crate) async fn ending_every_session(
    ctx: &OpCtx,
    services: &Services,
    user: PrincipalId,
    (changes, reason): (ChangeSet, EndReason),
) -> Result<ChangeSet> {
    let most = services.sessions.limits.sessions_per_user_max;
    let live = services.store.live_sessions(ctx.organization, user, ctx.now, most).await?;
    Ok(live.into_iter().fold(changes, |changes, session| ended(changes, ctx, services, session, reason)))
}

/// Refuses a caller by session whose session is not one of `user` as they are now. Read after the user and followed by
/// a write on their version, it tells that nothing has ended the session until then.
pub(crate) async fn require_session_of(ctx: &OpCtx, services: &Services, user: &User) -> Result<()> {
    let Actor::Session(actor) = &ctx.actor else { return Ok(()) };
    let session = services.store.session(ctx.organization, actor.session).await?;
    let is_theirs = session.is_some_and(|session| {
        session.is_alive(ctx.now) && session.user == user.id && session.wallet_epoch == user.wallet_epoch
    });
    if is_theirs { Ok(()) } else { Err(Error::Unauthenticated) }
}

/// The caller behind access claims whose signature was checked: session alive, user active.
pub async fn require_session(
    services: &Services,
    (organization, now): (OrganizationId, Timestamp),
    claims: &AccessClaims,
) -> Result<SessionActor> {
    let session = services.store.session(organization, claims.sid).await?;
    let session = session.filter(|session| session.is_alive(now) && session.user == claims.sub);
    let session = session.ok_or(Error::Unauthenticated)?;
    let user = require_active_user(services, &session).await?;
    let expires_at = Timestamp::from_unix_micros(claims.exp.saturating_mul(1_000_000));
    Ok(actor(&user, session.id, expires_at))
}

fn actor(user: &User, session: SessionId, expires_at: Timestamp) -> SessionActor {
    let User { id: principal, ethereum_address: address, self_registered, .. } = *user;
    SessionActor { principal, session, address, expires_at, self_registered }
}

/// The session's user, whose wallet is still what it was at the login.
async fn require_active_user(services: &Services, session: &Session) -> Result<User> {
    let Session { organization, user: id, wallet_epoch, .. } = *session;
    let principals = services.store.principals(organization, &[id]).await?;
    if principals.first().is_none_or(|principal| !principal.active) {
        return Err(Error::Unauthenticated);
    }
    let user = services.store.user(organization, id).await?;
    let user = user.filter(|user| user.wallet_epoch == wallet_epoch).ok_or(Error::Unauthenticated)?;
    Ok(user.into_value())
}

/// The token, and the call as one by the session: so the audit log names who acts.
async fn access_token(
    ctx: &OpCtx,
    services: &Services,
    session: &Session,
    user: &User,
) -> Result<(String, OpCtx)> {
    let sessions = &services.sessions;
    let claims =
        AccessClaims::of(session, user.ethereum_address, sessions, ctx.now, services.entropy.as_ref());
    let expires_at = Timestamp::from_unix_micros(claims.exp.saturating_mul(1_000_000));
    let actor = actor(user, session.id, expires_at);
    let token = claims.signed(sessions.signer.as_ref()).await?;
    Ok((token, OpCtx { actor: Actor::Session(actor), ..ctx.clone() }))
}

async fn end(ctx: &OpCtx, services: &Services, id: SessionId, reason: EndReason) -> Result<()> {
    for _ in 0..services.limits.contest_attempts_max {
        let Some(session) = services.store.session(ctx.organization, id).await? else { return Ok(()) };
        if !session.is_alive(ctx.now) {
            return Ok(());
        }
        let (event, write) = ending(ctx, services, session, reason);
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(contested())
}

fn ended(
    changes: ChangeSet,
    ctx: &OpCtx,
    services: &Services,
    session: Sealed<Session>,
    reason: EndReason,
) -> ChangeSet {
    let (event, write) = ending(ctx, services, session, reason);
    changes.event(event).write(write)
}

fn ending(
    ctx: &OpCtx,
    services: &Services,
    session: Sealed<Session>,
    reason: EndReason,
) -> (AuditEvent, Write) {
    let version = session.version + 1;
    let ended = Some(SessionEnd { at: ctx.now, reason });
    let session = Session { ended, version, ..session.into_value() };
    let detail = json!({"user": session.user, "reason": reason});
    let event = AuditEvent::new(ctx, "session.ended", subject(session.id), detail);
    (event, Write::UpdateSession(services.sealer.seal(session)))
}

fn subject(id: SessionId) -> String {
    format!("session {id}")
}

fn contested() -> Error {
    Error::unavailable("the database", "too many writers wanted the same session")
}
