//! Sessions, the refresh tokens they have used up, and what strangers may use once.

use async_trait::async_trait;
use gateway_domain::{
    Error, Result, Timestamp,
    changes::{Contested, ReplayGuard},
    credentials::CredentialHash,
    ids::{OrganizationId, PrincipalId, SessionId},
    ports::SessionReads,
    sealed::Sealed,
    sessions::{Session, SessionEnd, UsedRefreshToken},
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    guards,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
    unit::Unit,
};

macro_rules! columns {
    () => {
        "id, organization, user_id, refresh_hash, created_at, refreshed_at, expires_at, ended_at, end_reason, \
         version, seal, wallet_epoch"
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM sessions WHERE organization = $1 AND id = $2");
const BY_REFRESH_HASH: &str =
    concat!("SELECT ", columns!(), " FROM sessions WHERE organization = $1 AND refresh_hash = $2");
const LIVE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM sessions WHERE organization = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3 \
     ORDER BY created_at, id LIMIT $4"
);
const OF_USED: &str =
    "SELECT session_id FROM used_refresh_tokens WHERE organization = $1 AND refresh_hash = $2";
const EXPIRED: &str =
    concat!("SELECT ", columns!(), " FROM sessions WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2");
const REMOVE: &str = "DELETE FROM sessions WHERE id = $1 AND organization = $2 AND version = $3";
const PURGE_USED: &str = "DELETE FROM used_refresh_tokens WHERE (organization, refresh_hash) IN \
     (SELECT organization, refresh_hash FROM used_refresh_tokens WHERE expires_at <= $1 \
     ORDER BY expires_at LIMIT $2)";

pub(crate) fn insert(session: &Sealed<Session>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO sessions (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    values(Statement::new(sql), session)
}

pub(crate) fn update(session: &Sealed<Session>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE sessions SET user_id = $3, refresh_hash = $4, created_at = $5, refreshed_at = $6, \
         expires_at = $7, ended_at = $8, end_reason = $9, version = $10, seal = $11, \
         wallet_epoch = $12 \
         WHERE id = $1 AND organization = $2 AND version = $10 - 1";
    Ok(values(Statement::new(sql), session)?.expecting(Expect::Change(Contested::Version)))
}

fn values(statement: Statement, session: &Sealed<Session>) -> Result<Statement, TooLarge> {
    let statement = statement
        .shown(session.id)
        .shown(session.organization)
        .shown(session.user)
        .shown(session.refresh_hash)
        .bind(session.created_at)
        .bind(session.refreshed_at)
        .bind(session.expires_at)
        .bind(session.ended.map(|end| end.at));
    let statement = match session.ended {
        Some(end) => statement.word(&end.reason),
        None => statement.bind(None::<String>),
    };
    let statement = statement.unsigned("version", session.version)?.shown(session.seal());
    statement.unsigned("wallet_epoch", session.wallet_epoch)
}

pub(crate) fn insert_used(used: &UsedRefreshToken) -> Statement {
    Statement::new(
        "INSERT INTO used_refresh_tokens (organization, refresh_hash, session_id, expires_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .shown(used.organization)
    .shown(used.hash)
    .shown(used.session)
    .bind(used.expires_at)
}

pub(crate) fn remove(session: &Sealed<Session>) -> Result<Statement, TooLarge> {
    let row = Statement::new(REMOVE).shown(session.id).shown(session.organization);
    Ok(row.unsigned("version", session.version)?.expecting(Expect::Change(Contested::Version)))
}

/// Used refresh tokens whose sessions would have ended by now anyway.
pub(crate) fn purge_used(now: Timestamp, limit: u32) -> Statement {
    Statement::new(PURGE_USED).bind(now).bind(limit)
}

impl Stored for Session {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let ended_at = row.optional_time("ended_at")?;
        let reason = row.optional_text("end_reason")?.map(|_| row.word("end_reason")).transpose()?;
        let ended = match (ended_at, reason) {
            (Some(at), Some(reason)) => Some(SessionEnd { at, reason }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(row.malformed("end_reason", "an end has a time and a reason"));
            }
        };
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            user: row.parsed("user_id")?,
            wallet_epoch: row.unsigned("wallet_epoch")?,
            refresh_hash: row.parsed("refresh_hash")?,
            created_at: row.time("created_at")?,
            refreshed_at: row.time("refreshed_at")?,
            expires_at: row.time("expires_at")?,
            ended,
            version: row.unsigned("version")?,
        })
    }
}

#[async_trait]
impl SessionReads for Store {
    async fn session(&self, organization: OrganizationId, id: SessionId) -> Result<Option<Sealed<Session>>> {
        self.reads.optional(Statement::new(BY_ID).shown(organization).shown(id)).await
    }

    async fn session_by_refresh_token(
        &self,
        organization: OrganizationId,
        hashes: &[CredentialHash],
    ) -> Result<Option<Sealed<Session>>> {
        for hash in hashes {
            let statement = Statement::new(BY_REFRESH_HASH).shown(organization).shown(hash);
            if let Some(session) = self.reads.optional(statement).await? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    async fn session_of_used_refresh_token(
        &self,
        organization: OrganizationId,
        hashes: &[CredentialHash],
    ) -> Result<Option<SessionId>> {
        for hash in hashes {
            let statement = Statement::new(OF_USED).shown(organization).shown(hash);
            if let Some(row) = self.reads.row(statement).await? {
                return Ok(Some(Fields::new("used_refresh_tokens", &row).parsed("session_id")?));
            }
        }
        Ok(None)
    }

    async fn live_sessions(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Sealed<Session>>> {
        let statement = Statement::new(LIVE).shown(organization).shown(user).bind(now).bind(limit);
        self.reads.list(statement).await
    }

    async fn expired_sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<Sealed<Session>>> {
        self.reads.list(Statement::new(EXPIRED).bind(now).bind(limit)).await
    }

    async fn use_once(&self, guard: ReplayGuard) -> Result<bool> {
        let unit = Unit::housekeeping(vec![guards::use_once(&guard)]);
        Ok(self.writer.submit(unit).await.map_err(Error::from)?.affected == 1)
    }
}
