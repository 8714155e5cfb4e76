//! Rows that make a repeat harmless: replay guards and idempotency keys. They expire and are purged.

use gateway_domain::{
    Result, Timestamp,
    changes::{Contested, Idempotency, ReplayGuard},
    ids::{OrganizationId, PrincipalId},
};

use crate::{
    dialect::EngineSql,
    error::Malformed,
    fields::Fields,
    reader::Reader,
    statement::{Expect, Statement},
};

const INSERT_REPLAY_GUARD: &str =
    "INSERT INTO replay_guards (organization, signer, signed_hash, expires_at) VALUES ($1, $2, $3, $4)";
const USE_ONCE: &str = "INSERT INTO replay_guards (organization, signer, signed_hash, expires_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (signer, signed_hash) DO NOTHING";
const REPLAYED: &str = "SELECT 1 AS found FROM replay_guards WHERE signer = $1 AND signed_hash = $2";
const IDEMPOTENCY: &str = "SELECT organization, principal, operation, idempotency_key, body_hash, outcome, expires_at \
     FROM idempotency_keys WHERE organization = $1 AND principal = $2 AND operation = $3 AND idempotency_key = $4 \
     AND expires_at > $5";
const PURGE_REPLAY_GUARDS: &str = "DELETE FROM replay_guards WHERE (signer, signed_hash) IN \
     (SELECT signer, signed_hash FROM replay_guards WHERE expires_at <= $1 \
     ORDER BY expires_at LIMIT $2)";
const PURGE_IDEMPOTENCY: &str = "DELETE FROM idempotency_keys \
     WHERE (organization, principal, operation, idempotency_key) IN \
     (SELECT organization, principal, operation, idempotency_key FROM idempotency_keys WHERE expires_at <= $1 \
     ORDER BY expires_at LIMIT $2)";

pub(crate) fn insert_replay_guard(guard: &ReplayGuard) -> Statement {
    Statement::new(INSERT_REPLAY_GUARD)
        .shown(guard.organization)
        .bind(guard.signer.as_str())
        .bind(guard.signed_hash)
        .bind(guard.expires_at)
}

/// Changes nothing where the guard is there already, so that a stranger who repeats himself disturbs no group.
pub(crate) fn use_once(guard: &ReplayGuard) -> Statement {
    Statement::new(USE_ONCE)
        .shown(guard.organization)
        .bind(guard.signer.as_str())
        .bind(guard.signed_hash)
        .bind(guard.expires_at)
}

pub(crate) async fn was_replayed(reads: &Reader, guard: &ReplayGuard) -> Result<bool> {
    let statement = Statement::new(REPLAYED).bind(guard.signer.as_str()).bind(guard.signed_hash);
    Ok(reads.row(statement).await?.is_some())
}

/// An expired row of the same key is taken over, for purging may lag.
pub(crate) fn insert_idempotency(idempotency: &Idempotency, sql: &EngineSql) -> Statement {
    Statement::prepared(sql.insert_idempotency.clone())
        .shown(idempotency.organization)
        .shown(idempotency.principal)
        .bind(idempotency.operation.as_ref())
        .bind(idempotency.key.as_str())
        .bind(idempotency.body_hash)
        .bind(idempotency.outcome.as_str())
        .bind(idempotency.expires_at)
        .expecting(Expect::Change(Contested::Idempotency))
}

pub(crate) fn purge_replay_guards(now: Timestamp, limit: u32) -> Statement {
    Statement::new(PURGE_REPLAY_GUARDS).bind(now).bind(limit)
}

pub(crate) fn purge_idempotency(now: Timestamp, limit: u32) -> Statement {
    Statement::new(PURGE_IDEMPOTENCY).bind(now).bind(limit)
}

/// `used` is operation and key.
pub(crate) async fn idempotency(
    reads: &Reader,
    (organization, principal): (OrganizationId, PrincipalId),
    used: (&str, &str),
    now: Timestamp,
) -> Result<Option<Idempotency>> {
    let statement =
        Statement::new(IDEMPOTENCY).shown(organization).shown(principal).bind(used.0).bind(used.1).bind(now);
    let Some(row) = reads.row(statement).await? else { return Ok(None) };
    Ok(Some(read_idempotency(&Fields::new("idempotency_keys", &row))?))
}

fn read_idempotency(row: &Fields<'_>) -> Result<Idempotency, Malformed> {
    Ok(Idempotency {
        organization: row.parsed("organization")?,
        principal: row.parsed("principal")?,
        operation: row.text("operation")?.into(),
        key: row.text("idempotency_key")?,
        body_hash: row.parsed("body_hash")?,
        outcome: row.text("outcome")?,
        expires_at: row.time("expires_at")?,
    })
}
