//! References to key quorums at Privy.

use gateway_domain::{
    B256, Result, Timestamp,
    changes::Contested,
    ids::{OrganizationId, PrincipalId, QuorumId},
    quorums::{PrivyQuorum, QuorumClaim, QuorumType},
    quota::UserQuota,
    sealed::Sealed,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Reader, Stored},
    statement::{Expect, Statement},
};

macro_rules! columns {
    () => {
        "id, organization, owner, kind, quorum_id, display_name, public_key_pem, authorization_threshold, \
         is_static, message, version, created_at, updated_at, seal"
    };
}

const OF_KIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM privy_quorums WHERE organization = $1 AND owner = $2 AND kind = $3"
);

/// `$2` organization, `$3` user, `$4` whether they enrolled themselves, `$6`, `$7` and `$8` the quota, that share of it and
/// the user's own, of which the arbiter's (`$11`) are counted apart.
const CLAIM: &str = "INSERT INTO privy_quorum_claims (id, organization, user_id, self_registered, created_at, \
     request, may_exist, for_arbiter) SELECT $1, $2, $3, $4, $5, $9, 1, $11 \
     WHERE (SELECT COUNT(*) FROM privy_quorum_claims \
     WHERE organization = $2 AND (may_exist = 1 OR created_at > $10)) < $6 \
     AND ($4 = 0 OR (SELECT COUNT(*) FROM privy_quorum_claims \
     WHERE organization = $2 AND self_registered = 1 AND (may_exist = 1 OR created_at > $10)) < $7) \
     AND (SELECT COUNT(*) FROM privy_quorum_claims \
     WHERE organization = $2 AND user_id = $3 AND for_arbiter = $11 \
     AND (may_exist = 1 OR created_at > $10)) < $8";

const CLAIM_OF: &str = "SELECT id, may_exist FROM privy_quorum_claims WHERE organization = $1 AND user_id = $2 AND request = $3 \
     AND created_at > $4 ORDER BY created_at DESC LIMIT 1";

pub(crate) fn claim(claim: &QuorumClaim, quota: UserQuota, sql: &EngineSql) -> Vec<Statement> {
    let lock = sql.lock_quota("privy-quorums", claim.organization);
    let insert = Statement::new(CLAIM)
        .shown(claim.id)
        .shown(claim.organization)
        .shown(claim.user)
        .bind(claim.self_registered)
        .bind(claim.created_at)
        .bind(quota.organization.max)
        .bind(quota.organization.self_registered_max)
        .bind(quota.per_user_max)
        .bind(claim.request)
        .bind(claim.created_at.minus(QuorumClaim::REFUSED_COUNTS_FOR))
        .bind(claim.for_arbiter)
        .expecting(Expect::Change(Contested::Quota));
    lock.into_iter().chain([insert]).collect()
}

pub(crate) fn mark(id: QuorumId, may_exist: bool) -> Statement {
    Statement::new("UPDATE privy_quorum_claims SET may_exist = $2 WHERE id = $1").shown(id).bind(may_exist)
}

/// The newest claim of the user for this very request that is younger than `since`, and whether its quorum may exist.
pub(crate) async fn claim_of(
    reads: &Reader,
    (organization, user): (OrganizationId, PrincipalId),
    request: B256,
    since: Timestamp,
) -> Result<Option<(QuorumId, bool)>> {
    let statement = Statement::new(CLAIM_OF).shown(organization).shown(user).bind(request).bind(since);
    let row = reads.row(statement).await?;
    let Some(row) = row else { return Ok(None) };
    let fields = Fields::new("privy_quorum_claims", &row);
    Ok(Some((fields.parsed("id")?, fields.flag("may_exist")?)))
}

pub(crate) fn insert(quorum: &Sealed<PrivyQuorum>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO privy_quorums (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    Ok(Statement::new(sql)
        .shown(quorum.id)
        .shown(quorum.organization)
        .shown(quorum.owner)
        .word(&quorum.kind)
        .bind(quorum.quorum_id.as_str())
        .bind(quorum.display_name.as_str())
        .bind(quorum.public_key_pem.clone())
        .bind(quorum.authorization_threshold)
        .bind(quorum.is_static)
        .bind(quorum.message.clone())
        .unsigned("version", quorum.version)?
        .bind(quorum.created_at)
        .bind(quorum.updated_at)
        .shown(quorum.seal()))
}

pub(crate) fn update(quorum: &Sealed<PrivyQuorum>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE privy_quorums SET quorum_id = $3, display_name = $4, public_key_pem = $5, \
         authorization_threshold = $6, is_static = $7, message = $8, version = $9, updated_at = $10, seal = $11 \
         WHERE id = $1 AND organization = $2 AND version = $9 - 1",
    )
    .shown(quorum.id)
    .shown(quorum.organization)
    .bind(quorum.quorum_id.as_str())
    .bind(quorum.display_name.as_str())
    .bind(quorum.public_key_pem.clone())
    .bind(quorum.authorization_threshold)
    .bind(quorum.is_static)
    .bind(quorum.message.clone())
    .unsigned("version", quorum.version)?
    .bind(quorum.updated_at)
    .shown(quorum.seal())
    .expecting(Expect::Change(Contested::Version)))
}

pub(crate) fn delete(quorum: &Sealed<PrivyQuorum>) -> Result<Statement, TooLarge> {
    Ok(Statement::new("DELETE FROM privy_quorums WHERE id = $1 AND organization = $2 AND version = $3")
        .shown(quorum.id)
        .shown(quorum.organization)
        .unsigned("version", quorum.version)?
        .expecting(Expect::Change(Contested::Version)))
}

pub(crate) async fn of_kind(
    reads: &Reader,
    organization: OrganizationId,
    owner: PrincipalId,
    kind: QuorumType,
) -> Result<Option<Sealed<PrivyQuorum>>> {
    reads.optional(Statement::new(OF_KIND).shown(organization).shown(owner).word(&kind)).await
}

impl Stored for PrivyQuorum {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            owner: row.parsed("owner")?,
            kind: row.word("kind")?,
            quorum_id: row.text("quorum_id")?,
            display_name: row.text("display_name")?,
            public_key_pem: row.optional_text("public_key_pem")?,
            authorization_threshold: row.unsigned("authorization_threshold")?,
            is_static: row.flag("is_static")?,
            message: row.optional_text("message")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}
