//! All that differs between SQLite and PostgreSQL.

use std::{path::PathBuf, str::FromStr as _, sync::Arc, time::Duration};

use gateway_domain::{
    Timestamp,
    changes::{CommitError, Contested},
    ids::OrganizationId,
};
use sqlx::{SqlStr, error::ErrorKind, sqlite::SqliteConnectOptions};

use crate::{
    config::{DatabaseUrl, StoreConfig},
    error::{StoreError, TooLarge},
    lease::Lease,
    registrations::{UPDATE_RELAY, self_registered_calls},
    statement::{Statement, shared_text},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
    /// Counting what may be forgotten when the server crashes.
    Count,
}

/// Statements whose text depends on the engine.
#[derive(Debug)]
pub(crate) struct EngineSql {
    pub(crate) begin: &'static str,
    /// Makes others that hold `$1` against the quota of organization `$2` wait until this transaction ends.
    lock_quota: Option<&'static str>,
    /// Makes others that want `$1` for themselves wait until this connection ends.
    pub(crate) lock_alone: Option<&'static str>,
    pub(crate) insert_relay: SqlStr,
    /// Stores a bid that will be signed, or its signature.
    pub(crate) update_relay_bid: SqlStr,
    pub(crate) require_authority: SqlStr,
    pub(crate) insert_permit: SqlStr,
    pub(crate) renew_permit: SqlStr,
    pub(crate) insert_idempotency: SqlStr,
    pub(crate) claim_outbox: SqlStr,
    pub(crate) postpone_outbox: SqlStr,
    pub(crate) next_outbox: SqlStr,
    pub(crate) renew_lease: SqlStr,
    pub(crate) forget_lapsed: SqlStr,
    /// Absent where this process alone has the database.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// What a failed write means for its unit and its group.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The unit lost; the rest of the group is unharmed.
    Contested(Contested),
    /// The unit cannot be stored; the rest of the group is unharmed.
    Refused(sqlx::Error),
    /// Nothing was applied and the same group may succeed if it is applied again.
    Transient(sqlx::Error),
    /// The database is away, full or too busy.
    Unavailable(sqlx::Error),
}

impl Engine {
    pub(crate) fn of(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url.as_str().split_once(':') {
            Some(("sqlite", _)) => Ok(Self::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres),
            _ => Err(StoreError::UnknownEngine),
        }
    }

    /// The URL as the driver wants it: SQLite is told whether it may create or change the file.
    pub(crate) fn driver_url(self, url: &DatabaseUrl, mode: &str) -> String {
        match self {
            Self::Sqlite if !url.as_str().contains("mode=") => {
                let joint = if url.as_str().contains('?') { '&' } else { '?' };
                format!("{}{joint}mode={mode}", url.as_str())
            }
            Self::Sqlite | Self::Postgres => url.as_str().to_owned(),
        }
    }

    /// The file of a SQLite database, as the driver understands the URL.
    pub(crate) fn file(self, url: &DatabaseUrl) -> Option<PathBuf> {
        match self {
            Self::Sqlite => {
                Some(SqliteConnectOptions::from_str(url.as_str()).ok()?.get_filename().to_owned())
            }
            Self::Postgres => None,
        }
    }

    /// Statements that every new connection runs first.
    pub(crate) fn on_connect(self, access: Access, config: &StoreConfig) -> Vec<SqlStr> {
        let text = match self {
            Self::Sqlite => {
                let mut setup = vec![
                    format!("PRAGMA busy_timeout = {}", config.busy_timeout.as_millis()),
                    "PRAGMA foreign_keys = ON".into(),
                ];
                match access {
                    Access::Write => {
                        setup.push(format!("PRAGMA max_page_count = {}", config.pages_max()));
                        setup
                            .extend(["PRAGMA journal_mode = WAL".into(), "PRAGMA synchronous = FULL".into()]);
                    }
                    Access::Read | Access::Count => setup.push("PRAGMA query_only = ON".into()),
                }
                setup
            }
            Self::Postgres => {
                let (timeout, read_only, synchronous) = match access {
                    Access::Write => (config.commit_timeout, "off", "on"),
                    Access::Read => (config.read_timeout, "on", "on"),
                    Access::Count => (config.read_timeout, "off", "off"),
                };
                let mut setup = vec![
                    format!("SET statement_timeout = {}", timeout.as_millis()),
                    format!("SET default_transaction_read_only = {read_only}"),
                    "SET default_transaction_isolation = 'read committed'".into(),
                    format!("SET synchronous_commit = {synchronous}"),
                ];
                if let Access::Write = access {
                    // A process that stands still in a transaction, or is cut off, holds its rows no longer than it
                    // would itself.
                    setup.push(format!("SET idle_in_transaction_session_timeout = {}", timeout.as_millis()));
                }
                setup
            }
        };
        text.into_iter().map(shared_text).collect()
    }

    /// Counts tables of the given name that this connection sees.
    pub(crate) fn table_exists(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) AS found FROM sqlite_master WHERE type = 'table' AND name = $1",
            Self::Postgres => {
                "SELECT COUNT(*) AS found FROM information_schema.tables \
                 WHERE table_schema = CURRENT_SCHEMA AND table_name = $1"
            }
        }
    }

    /// Statements after which a connection sees one state of the database, for as long as it takes.
    pub(crate) fn begin_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &["BEGIN"],
            Self::Postgres => {
                &["SET statement_timeout = 0", "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"]
            }
        }
    }

    /// What to add to [`Engine::now`] so that it is not before an instant that a finer clock has already seen.
    fn resolution(self) -> &'static str {
        match self {
            Self::Sqlite => "+ 999",
            Self::Postgres => "",
        }
    }

    /// Makes others that want `$1` for themselves wait until this connection ends.
    fn lock_alone(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT CAST(pg_advisory_lock(hashtextextended($1, 0)) AS TEXT)"),
        }
    }

    /// What to add to a subquery so that it passes over rows which others are changing.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// Microseconds since 1970 by the database's clock; SQLite's counts whole milliseconds.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }
}

/// The conditions of a permit as rows that must exist; [`LEASE_HOLDS`] is added where the database is shared. `$2`
/// organization, `$3` transaction, `$5` key, `$8` policy revision, `$9` transaction version, `$11` expiry, `$14` the
/// standing of organization and owner.
const PERMIT_HOLDS: &str = "policy_heads h, standings s, user_standings u, transactions t, organizations o, keys k \
     WHERE h.organization = $2 AND h.revision = $8 \
     AND t.id = $3 AND t.organization = $2 AND t.version = $9 \
     AND s.organization = $2 AND u.organization = $2 AND u.principal = t.owner AND s.revision + u.revision = $14 \
     AND o.id = $2 AND o.frozen = 0 \
     AND k.id = $5 AND k.organization = $2 AND k.state = 'active' AND k.frozen = 0 \
     AND (k.vault IS NULL OR EXISTS \
     (SELECT 1 FROM vaults v WHERE v.id = k.vault AND v.organization = $2 AND v.frozen = 0))";

/// The conditions of an approval that no permit follows, as rows that must exist: `$1` organization, `$3` policy revision,
/// `$4` the standing of organization and owner.
const APPROVAL_HOLDS: &str = "policy_heads h, standings s, organizations o WHERE h.organization = $1 AND h.revision = $3 \
     AND s.organization = $1 AND s.revision + user_standings.revision = $4 AND o.id = $1 AND o.frozen = 0";

/// Writes nothing: the owner `$2` is there, and under conditions that follow.
const REQUIRE_OWNER: &str =
    "UPDATE user_standings SET revision = revision WHERE organization = $1 AND principal = $2 AND EXISTS";

/// The conditions of a registry call that will be signed: `$2` organization, `$3` key.
const RELAY_HOLDS: &str = "organizations o, keys k WHERE o.id = $2 AND o.frozen = 0 \
     AND k.id = $3 AND k.organization = $2 AND k.state = 'active' AND k.frozen = 0";

/// `$15` instance, `$16` the fencing number it prepared the permit with.
const LEASE_HOLDS: &str = "i.id = $15 AND i.fencing = $16";

impl EngineSql {
    /// `owned_since`: permits issued before it were never used and never will be, because no other process has the
    /// database. Where it is shared, their issuer may be alive until they expire.
    pub(crate) fn new(engine: Engine, owned_since: Option<Timestamp>, lease: Option<Arc<Lease>>) -> Self {
        let (now, resolution) = (engine.now(), engine.resolution());
        let abandoned = match owned_since {
            Some(since) => format!("(expires_at < {now} OR issued_at < {})", since.unix_micros()),
            None => format!("expires_at < {now}"),
        };
        // PostgreSQL judges a statement by the snapshot it began with. Locking the rows that the conditions rest
        // on makes a concurrent move of the policy head, or a freeze, wait for us or us for it. A vault's freeze moves the
        // standing, which is among them.
        let skip = engine.skip_locked();
        let (begin, share) = match engine {
            Engine::Sqlite => ("BEGIN IMMEDIATE", ""),
            Engine::Postgres => ("BEGIN", "FOR SHARE"),
        };
        let holds = match &lease {
            Some(_) => format!("FROM instances i, {PERMIT_HOLDS} AND {LEASE_HOLDS} AND i.live_until > {now}"),
            None => format!("FROM {PERMIT_HOLDS}"),
        };
        let lock_quota = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                Some("SELECT CAST(pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0)) AS TEXT)")
            }
        };
        let (insert_relay, update_relay_bid) = relay_sql(lease.is_some(), now, share);
        Self {
            begin,
            lock_quota,
            lock_alone: engine.lock_alone(),
            insert_relay,
            update_relay_bid,
            lease,
            renew_lease: shared_text(format!(
                "INSERT INTO instances (id, fencing, live_until) VALUES ($1, {now}, {now} + $2) \
                 ON CONFLICT (id) DO UPDATE SET live_until = excluded.live_until, \
                 fencing = CASE WHEN instances.live_until > {now} THEN instances.fencing \
                 ELSE instances.fencing + 1 END RETURNING fencing"
            )),
            forget_lapsed: shared_text(format!(
                "DELETE FROM instances WHERE live_until <= {now} AND id <> $1"
            )),
            require_authority: shared_text(format!(
                "{REQUIRE_OWNER} (SELECT 1 FROM {APPROVAL_HOLDS} {share})"
            )),
            insert_permit: shared_text(format!(
                "INSERT INTO permits (id, organization, transaction_id, attempt_id, key_id, digest, intent_hash, \
                 policy_revision, transaction_version, issued_at, expires_at, version, seal, standing_revision) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 \
                 {holds} AND $11 > {now} {share}"
            )),
            renew_permit: shared_text(format!(
                "UPDATE permits SET attempt_id = $4, policy_revision = $8, transaction_version = $9, \
                 issued_at = $10, expires_at = $11, version = $12, seal = $13, standing_revision = $14 \
                 WHERE id = $1 AND organization = $2 AND transaction_id = $3 AND key_id = $5 AND digest = $6 \
                 AND intent_hash = $7 AND version = $12 - 1 AND {abandoned} AND $11 > {now} \
                 AND EXISTS (SELECT 1 {holds} {share})"
            )),
            insert_idempotency: shared_text(format!(
                "INSERT INTO idempotency_keys (organization, principal, operation, idempotency_key, body_hash, \
                 outcome, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                 ON CONFLICT (organization, principal, operation, idempotency_key) DO UPDATE \
                 SET body_hash = excluded.body_hash, outcome = excluded.outcome, expires_at = excluded.expires_at \
                 WHERE idempotency_keys.expires_at <= {now}"
            )),
            claim_outbox: shared_text(format!(
                "WITH due AS MATERIALIZED (SELECT id FROM outbox WHERE due_at <= {now} {resolution} ORDER BY due_at LIMIT $3 {skip}) \
                 UPDATE outbox SET holder = $1, fencing = fencing + 1, due_at = {now} + $2 \
                 WHERE id IN (SELECT id FROM due) RETURNING id, organization, job, due_at, fencing"
            )),
            postpone_outbox: shared_text(format!(
                "UPDATE outbox SET holder = NULL, due_at = {now} + $2 WHERE id = $1 AND fencing = $3"
            )),
            next_outbox: shared_text(format!("SELECT MIN(due_at) - {now} AS delay FROM outbox")),
        }
    }
}

impl EngineSql {
    /// Binds under which lease something is prepared that will be signed; the last two places of its statement.
    pub(crate) fn leased(&self, statement: Statement) -> Result<Statement, TooLarge> {
        match &self.lease {
            Some(lease) => statement.shown(lease.instance).unsigned("fencing", lease.fencing()),
            None => Ok(statement),
        }
    }

    /// To be put before a statement that counts and inserts, where a statement judges by what was committed when it began.
    pub(crate) fn lock_quota(&self, what: &'static str, organization: OrganizationId) -> Option<Statement> {
        self.lock_quota.map(|lock| Statement::new(lock).bind(what).shown(organization))
    }
}

/// How a registry call is begun, and how a bid of one is stored that will be signed, or its signature.
fn relay_sql(is_leased: bool, now: &str, share: &str) -> (SqlStr, SqlStr) {
    let holds = |instance: &str, fencing: &str| {
        if is_leased {
            format!(
                "FROM instances i, {RELAY_HOLDS} AND i.id = {instance} AND i.fencing = {fencing} \
                 AND i.live_until > {now}"
            )
        } else {
            format!("FROM {RELAY_HOLDS}")
        }
    };
    let insert = format!(
        "INSERT INTO relays (id, organization, key_id, chain, address, registry, call_facts, nonce, pricing, \
         payload, digest, outcome, outcome_facts, outbid, bid_at, version, created_at, seal, user_id) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19 {} \
         AND (SELECT COUNT(*) FROM relays WHERE organization = $2 AND user_id = $19 AND created_at > $20) < $21 \
         AND (SELECT COUNT(*) FROM relays WHERE organization = $2 AND created_at > $20) < $22 \
         AND ($23 = 0 OR ({}) < $24) \
         {share}",
        holds("$25", "$26"),
        self_registered_calls!("$2", "$20")
    );
    let update = format!("{UPDATE_RELAY} AND EXISTS (SELECT 1 {} {share})", holds("$13", "$14"));
    (shared_text(insert), shared_text(update))
}

/// Unique constraints: their name on PostgreSQL, their columns on SQLite, and what two writers wanted. A
/// constraint that is not listed is [`Contested::Duplicate`].
const UNIQUE: &[(&str, &str, Contested)] = &[
    ("users_ethereum_address", "users.organization, users.ethereum_address", Contested::UserAddress),
    ("users_escrow_address", "users.escrow_address", Contested::EscrowAddress),
    ("policy_heads_pkey", "policy_heads.organization", Contested::Version),
    (
        "transactions_request_hash",
        "transactions.organization, transactions.request_hash",
        Contested::RequestHash,
    ),
    (
        "votes_principal",
        "votes.organization, votes.transaction_id, votes.principal, votes.ordinal",
        Contested::Vote,
    ),
    ("permits_digest", "permits.transaction_id, permits.key_id, permits.digest", Contested::Permit),
    ("permits_pkey", "permits.id", Contested::Permit),
    (
        "plugin_state_pkey",
        "plugin_state.organization, plugin_state.lineage, plugin_state.name",
        Contested::PluginState,
    ),
    (
        "session_key_claims_pkey",
        "session_key_claims.service_key, session_key_claims.session_key_digest",
        Contested::SessionKey,
    ),
    (
        "encrypted_payloads_session_key",
        "encrypted_payloads.service_key, encrypted_payloads.session_key_digest",
        Contested::SessionKey,
    ),
    ("vaults_name", "vaults.organization, vaults.name", Contested::VaultName),
    ("replay_guards_pkey", "replay_guards.signer, replay_guards.signed_hash", Contested::Replay),
];

impl Failure {
    pub(crate) fn of(error: sqlx::Error) -> Self {
        if is_connection_lost(&error) {
            return Self::Transient(error);
        }
        let sqlx::Error::Database(database) = &error else { return Self::Refused(error) };
        if database.kind() == ErrorKind::UniqueViolation {
            return Self::Contested(contested(database.constraint(), database.message()));
        }
        match database.code().as_deref().unwrap_or_default() {
            // Serialization failure, deadlock.
            "40001" | "40P01" => Self::Transient(error),
            code if is_unavailable(code) => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }

    /// Whether the database undid everything because transactions got in each other's way.
    pub(crate) fn is_serialization(&self) -> bool {
        let Self::Transient(cause) = self else { return false };
        cause.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40001"))
    }

    pub(crate) fn into_commit_error(self) -> CommitError {
        match self {
            Self::Contested(contested) => CommitError::Conflict(contested),
            Self::Refused(cause) => CommitError::Refused(Box::new(cause)),
            Self::Transient(cause) | Self::Unavailable(cause) => CommitError::Unavailable(Box::new(cause)),
        }
    }
}

/// Whether the connection is to blame: broken, or ended by the server.
pub(crate) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            matches!(&*code, "57P01" | "57P02" | "57P03") || (code.len() == 5 && code.starts_with("08"))
        }
        _ => false,
    }
}

fn contested(constraint: Option<&str>, message: &str) -> Contested {
    let columns = message.rsplit_once("constraint failed: ").map(|(_, columns)| columns);
    UNIQUE
        .iter()
        .find(|(name, listed, _)| constraint == Some(*name) || columns == Some(*listed))
        .map_or(Contested::Duplicate, |(_, _, contested)| *contested)
}

/// `SQLite` primary codes 5 busy, 6 locked, 8 read-only, 10 I/O, 11 corrupt, 13 full, 14 cannot open; PostgreSQL classes
/// 25 read-only transaction, 53 resources, 55 not in state, 57 intervention.
fn is_unavailable(code: &str) -> bool {
    match code.len() {
        5 => ["25", "53", "55", "57"].iter().any(|class| code.starts_with(class)),
        _ => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 11 | 13 | 14)),
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2)
}
