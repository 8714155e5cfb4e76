//! Permits: inserted or renewed only while every condition holds, in one statement.

use gateway_domain::{
    Result,
    changes::Contested,
    ids::{OrganizationId, TransactionId},
    policy::PermitRecord,
    sealed::Sealed,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Reader, Stored},
    statement::{Expect, Statement},
};

const OF_TRANSACTION: &str = "SELECT id, organization, transaction_id, attempt_id, key_id, digest, intent_hash, \
     policy_revision, standing_revision, transaction_version, issued_at, expires_at, version, seal \
     FROM permits WHERE organization = $1 AND transaction_id = $2 ORDER BY issued_at, id";

pub(crate) fn insert(permit: &Sealed<PermitRecord>, sql: &EngineSql) -> Result<Statement, TooLarge> {
    sql.leased(values(Statement::prepared(sql.insert_permit.clone()), permit)?)
}

pub(crate) fn renew(permit: &Sealed<PermitRecord>, sql: &EngineSql) -> Result<Statement, TooLarge> {
    sql.leased(values(Statement::prepared(sql.renew_permit.clone()), permit)?)
}

/// Only what ends it changes.
const RETURN: &str = "UPDATE permits SET expires_at = $3, version = $4, seal = $5 \
     WHERE id = $1 AND organization = $2 AND version = $4 - 1 AND expires_at > $3";

pub(crate) fn give_back(permit: &Sealed<PermitRecord>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(RETURN)
        .shown(permit.id)
        .shown(permit.organization)
        .bind(permit.expires_at)
        .unsigned("version", permit.version)?
        .shown(permit.seal())
        .expecting(Expect::Change(Contested::Permit)))
}

fn values(statement: Statement, permit: &Sealed<PermitRecord>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(permit.id)
        .shown(permit.organization)
        .shown(permit.transaction)
        .shown(permit.attempt)
        .shown(permit.key)
        .bind(permit.digest)
        .bind(permit.intent_hash)
        .unsigned("policy_revision", permit.policy_revision)?
        .unsigned("transaction_version", permit.transaction_version)?
        .bind(permit.issued_at)
        .bind(permit.expires_at)
        .unsigned("version", permit.version)?
        .shown(permit.seal())
        .unsigned("standing_revision", permit.standing_revision)?
        .expecting(Expect::Change(Contested::Permit)))
}

pub(crate) async fn of_transaction(
    reads: &Reader,
    organization: OrganizationId,
    transaction: TransactionId,
) -> Result<Vec<Sealed<PermitRecord>>> {
    reads.list(Statement::new(OF_TRANSACTION).shown(organization).shown(transaction)).await
}

impl Stored for PermitRecord {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            transaction: row.parsed("transaction_id")?,
            attempt: row.parsed("attempt_id")?,
            key: row.parsed("key_id")?,
            digest: row.parsed("digest")?,
            intent_hash: row.parsed("intent_hash")?,
            policy_revision: row.unsigned("policy_revision")?,
            standing_revision: row.unsigned("standing_revision")?,
            transaction_version: row.unsigned("transaction_version")?,
            issued_at: row.time("issued_at")?,
            expires_at: row.time("expires_at")?,
            version: row.unsigned("version")?,
        })
    }
}
