//! OpenPGP keys of users, and calls of the registry contract with the nonces they hold.

use async_trait::async_trait;
use gateway_domain::{
    Error, Result, Timestamp,
    changes::Contested,
    ids::{OrganizationId, PrincipalId, RegistrationId, RelayId},
    openpgp::Fingerprint,
    ports::RegistrationReads,
    quota::UserQuota,
    registrations::{Registration, RegistrationState},
    registry::{Relay, RelayCounts, RelayOutcome, RelayQuota},
    sealed::Sealed,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! registration_columns {
    () => {
        "id, organization, user_id, account, fingerprint, public_key, signature, is_current, relay_id, state, \
         state_facts, version, created_at, updated_at, seal, possession, taken_over_at, self_registered"
    };
}

macro_rules! relay_columns {
    () => {
        "id, organization, key_id, chain, address, registry, call_facts, nonce, pricing, payload, digest, outcome, \
         outcome_facts, outbid, bid_at, version, created_at, seal, user_id"
    };
}

/// Calls in the names of users who enrolled themselves, by the places of organization and time.
macro_rules! self_registered_calls {
    ($organization:literal, $since:literal) => {
        concat!(
            "SELECT COUNT(*) FROM relays r JOIN users u ON u.id = r.user_id AND u.organization = r.organization \
             WHERE r.organization = ",
            $organization,
            " AND r.created_at > ",
            $since,
            " AND u.self_registered = 1"
        )
    };
}

pub(crate) use self_registered_calls;

const BY_ID: &str =
    concat!("SELECT ", registration_columns!(), " FROM registrations WHERE organization = $1 AND id = $2");
const CURRENT: &str = concat!(
    "SELECT ",
    registration_columns!(),
    " FROM registrations WHERE organization = $1 AND user_id = $2 AND is_current = 1"
);
const OF_USER: &str = concat!(
    "SELECT ",
    registration_columns!(),
    " FROM registrations WHERE organization = $1 AND user_id = $2 ORDER BY created_at, id"
);
const BY_FINGERPRINT: &str = concat!(
    "SELECT ",
    registration_columns!(),
    " FROM registrations WHERE organization = $1 AND fingerprint = $2 AND taken_over_at IS NULL"
);
const RELAY: &str = concat!("SELECT ", relay_columns!(), " FROM relays WHERE organization = $1 AND id = $2");

const RELAY_COUNTS: &str = concat!(
    "SELECT (SELECT COUNT(*) FROM relays WHERE organization = $1 AND created_at > $3) AS calls, (",
    self_registered_calls!("$1", "$3"),
    ") AS self_registered_calls, \
     (SELECT COUNT(*) FROM relays WHERE organization = $1 AND user_id = $2 AND created_at > $3) AS user_calls"
);

/// No other call or transaction may hold the nonce.
const TAKE_NONCE: &str = "INSERT INTO nonces (chain, address, nonce, transaction_id) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (chain, address, nonce) DO NOTHING";

/// Frees the nonce of a call that is never signed.
const FREE_NONCE: &str =
    "DELETE FROM nonces WHERE chain = $1 AND address = $2 AND nonce = $3 AND transaction_id = $4";

/// Another bid, or what became of the last one.
pub(crate) const UPDATE_RELAY: &str = "UPDATE relays SET pricing = $4, payload = $5, digest = $6, outcome = $7, \
     outcome_facts = $8, outbid = $9, bid_at = $10, version = $11, seal = $12 \
     WHERE id = $1 AND organization = $2 AND key_id = $3 AND version = $11 - 1";

/// `$2` organization, `$3` user, `$18` whether they enrolled themselves, `$19`, `$20` and `$21` the quota, that share of it
/// and the user's own.
const INSERT: &str = concat!(
    "INSERT INTO registrations (",
    registration_columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 \
     WHERE (SELECT COUNT(*) FROM registrations WHERE organization = $2) < $19 \
     AND ($18 = 0 OR (SELECT COUNT(*) FROM registrations WHERE organization = $2 AND self_registered = 1) < $20) \
     AND (SELECT COUNT(*) FROM registrations WHERE organization = $2 AND user_id = $3) < $21"
);

pub(crate) fn insert(
    registration: &Sealed<Registration>,
    quota: UserQuota,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("registrations", registration.organization);
    let insert = values(Statement::new(INSERT), registration)?
        .bind(registration.self_registered)
        .bind(quota.organization.max)
        .bind(quota.organization.self_registered_max)
        .bind(quota.per_user_max)
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

pub(crate) fn update(registration: &Sealed<Registration>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE registrations SET user_id = $3, account = $4, fingerprint = $5, public_key = $6, \
         signature = $7, is_current = $8, relay_id = $9, state = $10, state_facts = $11, version = $12, \
         created_at = $13, updated_at = $14, seal = $15, possession = $16, taken_over_at = $17 WHERE id = $1 AND organization = $2 AND version = $12 - 1";
    Ok(values(Statement::new(sql), registration)?.expecting(Expect::Change(Contested::Version)))
}

fn values(statement: Statement, registration: &Sealed<Registration>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(registration.id)
        .shown(registration.organization)
        .shown(registration.user)
        .hex(registration.account)
        .shown(registration.fingerprint)
        .bind(registration.public_key.as_str())
        .bind(hex::encode(&registration.signature))
        .bind(registration.current)
        .shown(registration.relay)
        .bind(registration.state.name())
        .json(&registration.state)
        .unsigned("version", registration.version)?
        .bind(registration.created_at)
        .bind(registration.updated_at)
        .shown(registration.seal())
        .bind(registration.possession.clone())
        .bind(registration.taken_over_at))
}

pub(crate) fn insert_relay(
    relay: &Sealed<Relay>,
    quota: RelayQuota,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("relays", relay.organization);
    let take = nonce_values(Statement::new(TAKE_NONCE), relay)?.expecting(Expect::Change(Contested::Nonce));
    let row = Statement::prepared(sql.insert_relay.clone())
        .shown(relay.id)
        .shown(relay.organization)
        .shown(relay.key)
        .shown(relay.chain)
        .hex(relay.address)
        .hex(relay.registry)
        .json(&relay.call)
        .unsigned("nonce", relay.nonce)?
        .json(&relay.pricing)
        .bind(relay.payload.as_slice())
        .bind(relay.digest)
        .bind(relay.outcome.name())
        .json(&relay.outcome)
        .json(&relay.outbid)
        .bind(relay.bid_at)
        .unsigned("version", relay.version)?
        .bind(relay.created_at)
        .shown(relay.seal())
        .shown(relay.user)
        .bind(quota.since)
        .bind(quota.calls.per_user_max)
        .bind(quota.calls.organization.max)
        .bind(quota.self_registered)
        .bind(quota.calls.organization.self_registered_max)
        .expecting(Expect::Change(Contested::Relay));
    Ok(lock.into_iter().chain([take, sql.leased(row)?]).collect())
}

pub(crate) fn update_relay(relay: &Sealed<Relay>, sql: &EngineSql) -> Result<Vec<Statement>, TooLarge> {
    Ok(match relay.outcome {
        // What has happened is stored, whatever else holds.
        RelayOutcome::Recorded { .. } | RelayOutcome::Failed { .. } => {
            vec![relay_values(Statement::new(UPDATE_RELAY), relay)?]
        }
        RelayOutcome::Abandoned => {
            let row = relay_values(Statement::new(UPDATE_RELAY), relay)?;
            vec![row, nonce_values(Statement::new(FREE_NONCE), relay)?]
        }
        RelayOutcome::Prepared | RelayOutcome::Signed { .. } => {
            vec![sql.leased(relay_values(Statement::prepared(sql.update_relay_bid.clone()), relay)?)?]
        }
    })
}

fn nonce_values(statement: Statement, relay: &Relay) -> Result<Statement, TooLarge> {
    Ok(statement.shown(relay.chain).hex(relay.address).unsigned("nonce", relay.nonce)?.shown(relay.id))
}

fn relay_values(statement: Statement, relay: &Sealed<Relay>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(relay.id)
        .shown(relay.organization)
        .shown(relay.key)
        .json(&relay.pricing)
        .bind(relay.payload.as_slice())
        .bind(relay.digest)
        .bind(relay.outcome.name())
        .json(&relay.outcome)
        .json(&relay.outbid)
        .bind(relay.bid_at)
        .unsigned("version", relay.version)?
        .shown(relay.seal())
        .expecting(Expect::Change(Contested::Version)))
}

impl Stored for Registration {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let state: RegistrationState = row.json("state_facts")?;
        row.agree("state", row.text("state")? == state.name())?;
        let signature = hex::decode(row.text("signature")?);
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            user: row.parsed("user_id")?,
            account: row.parsed("account")?,
            fingerprint: row.parsed("fingerprint")?,
            public_key: row.text("public_key")?,
            signature: signature.map_err(|cause| row.malformed("signature", cause))?,
            possession: row.optional_text("possession")?,
            taken_over_at: row.optional_time("taken_over_at")?,
            current: row.flag("is_current")?,
            relay: row.parsed("relay_id")?,
            state,
            self_registered: row.flag("self_registered")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Stored for Relay {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let outcome: RelayOutcome = row.json("outcome_facts")?;
        row.agree("outcome", row.text("outcome")? == outcome.name())?;
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            key: row.parsed("key_id")?,
            user: row.parsed("user_id")?,
            chain: row.parsed("chain")?,
            address: row.parsed("address")?,
            registry: row.parsed("registry")?,
            call: row.json("call_facts")?,
            nonce: row.unsigned("nonce")?,
            pricing: row.json("pricing")?,
            payload: row.bytes("payload")?,
            digest: row.parsed("digest")?,
            outcome,
            outbid: row.json("outbid")?,
            bid_at: row.time("bid_at")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl RegistrationReads for Store {
    async fn registration(
        &self,
        organization: OrganizationId,
        id: RegistrationId,
    ) -> Result<Option<Sealed<Registration>>> {
        self.reads.optional(Statement::new(BY_ID).shown(organization).shown(id)).await
    }

    async fn current_registration(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Option<Sealed<Registration>>> {
        self.reads.optional(Statement::new(CURRENT).shown(organization).shown(user)).await
    }

    async fn registrations(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
    ) -> Result<Vec<Sealed<Registration>>> {
        self.reads.list(Statement::new(OF_USER).shown(organization).shown(user)).await
    }

    async fn registration_by_fingerprint(
        &self,
        organization: OrganizationId,
        fingerprint: Fingerprint,
    ) -> Result<Option<Sealed<Registration>>> {
        self.reads.optional(Statement::new(BY_FINGERPRINT).shown(organization).shown(fingerprint)).await
    }

    async fn relay(&self, organization: OrganizationId, id: RelayId) -> Result<Option<Sealed<Relay>>> {
        self.reads.optional(Statement::new(RELAY).shown(organization).shown(id)).await
    }

    async fn relay_counts(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
        since: Timestamp,
    ) -> Result<RelayCounts> {
        let statement = Statement::new(RELAY_COUNTS).shown(organization).shown(user).bind(since);
        let row = self.reads.row(statement).await?;
        let row = row.ok_or_else(|| Error::inconsistency("counts without a row"))?;
        let fields = Fields::new("relays", &row);
        Ok(RelayCounts {
            organization: fields.unsigned("calls")?,
            self_registered: fields.unsigned("self_registered_calls")?,
            user: fields.unsigned("user_calls")?,
        })
    }
}
