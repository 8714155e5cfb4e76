//! API keys.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_domain::{
    Error, Result, Timestamp,
    changes::Contested,
    credentials::{ApiKey, Label},
    ids::{CredentialId, OrganizationId, PrincipalId},
    ports::CredentialReads,
    sealed::Sealed,
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{IDS_MAX, Stored, placeholders},
    statement::{Expect, Statement},
    store::Store,
    unit::Unit,
};

macro_rules! columns {
    () => {
        "id, organization, principal, public_id, name, label, scopes, secret_hash, dev_only, expires_at, \
         revoked_at, version, created_at, verification_service, seal, self_registered"
    };
}

const BY_PUBLIC_ID: &str = concat!("SELECT ", columns!(), " FROM api_keys WHERE public_id = $1");
const BY_IDS: &str =
    concat!("SELECT ", columns!(), " FROM api_keys WHERE organization = $1 AND id IN ", placeholders!());
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM api_keys WHERE organization = $1 ORDER BY created_at, id");
const ROLE_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_keys WHERE organization = $1 AND label IN ($2, $3, $4) AND revoked_at IS NULL \
     ORDER BY created_at, id"
);

const OWN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_keys WHERE organization = $1 AND principal = $2 AND label = $3 \
     ORDER BY created_at DESC, id DESC LIMIT $4"
);
const ACTIVE_OWN_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_keys WHERE organization = $1 AND principal = $2 AND label = $3 AND revoked_at IS NULL \
     AND (expires_at IS NULL OR expires_at > $4) ORDER BY created_at, id"
);
const ACTIVE_OWN: &str = "SELECT COUNT(*) AS active FROM api_keys WHERE organization = $1 AND principal = $2 \
     AND label = $3 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)";
const NOTE_USE: &str = "INSERT INTO api_key_uses (organization, credential, last_used_at) VALUES ($1, $2, $3) \
     ON CONFLICT (organization, credential) DO UPDATE SET last_used_at = excluded.last_used_at \
     WHERE api_key_uses.last_used_at < excluded.last_used_at";
const USES: &str = concat!(
    "SELECT credential, last_used_at FROM api_key_uses WHERE organization = $1 AND credential IN ",
    placeholders!()
);

pub(crate) fn insert(key: &Sealed<ApiKey>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO api_keys (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    );
    values(Statement::new(sql), key)
}

/// `$2` organization, `$3` owner, `$6` label, `$13` the time, `$17` how many there may be.
const INSERT_OWN: &str = concat!(
    "INSERT INTO api_keys (",
    columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 \
     WHERE (SELECT COUNT(*) FROM api_keys WHERE organization = $2 AND principal = $3 AND label = $6 \
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $13)) < $17"
);

/// Counts and inserts in one statement. A change set that holds the owner's row makes others for the same owner wait: on
/// PostgreSQL a statement judges by what was committed when it began.
pub(crate) fn insert_own(key: &Sealed<ApiKey>, most: u32) -> Result<Statement, TooLarge> {
    let statement = values(Statement::new(INSERT_OWN), key)?.bind(most);
    Ok(statement.expecting(Expect::Change(Contested::Quota)))
}

pub(crate) fn update(key: &Sealed<ApiKey>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE api_keys SET principal = $3, public_id = $4, name = $5, label = $6, scopes = $7, \
         secret_hash = $8, dev_only = $9, expires_at = $10, revoked_at = $11, version = $12, created_at = $13, \
         verification_service = $14, seal = $15, self_registered = $16 WHERE id = $1 AND organization = $2 AND version = $12 - 1";
    Ok(values(Statement::new(sql), key)?.expecting(Expect::Change(Contested::Version)))
}

fn values(statement: Statement, key: &Sealed<ApiKey>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(key.id)
        .shown(key.organization)
        .shown(key.principal)
        .bind(key.public_id.as_str())
        .bind(key.name.as_str())
        .word(&key.label)
        .json(&key.scopes)
        .word(&key.secret_hash)
        .bind(key.dev_only)
        .bind(key.expires_at)
        .bind(key.revoked_at)
        .unsigned("version", key.version)?
        .bind(key.created_at)
        .bind(key.verification_service)
        .shown(key.seal())
        .bind(key.self_registered))
}

impl Stored for ApiKey {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            principal: row.parsed("principal")?,
            public_id: row.text("public_id")?,
            name: row.text("name")?,
            label: row.word("label")?,
            scopes: row.json("scopes")?,
            secret_hash: row.word("secret_hash")?,
            verification_service: row.optional_unsigned("verification_service")?,
            dev_only: row.flag("dev_only")?,
            self_registered: row.flag("self_registered")?,
            expires_at: row.optional_time("expires_at")?,
            revoked_at: row.optional_time("revoked_at")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl CredentialReads for Store {
    async fn api_key_by_public_id(&self, public_id: &str) -> Result<Option<Sealed<ApiKey>>> {
        self.reads.known_optional(Statement::new(BY_PUBLIC_ID).bind(public_id)).await
    }

    async fn api_keys(
        &self,
        organization: OrganizationId,
        ids: &[CredentialId],
    ) -> Result<Vec<Sealed<ApiKey>>> {
        self.reads.list_by_ids(BY_IDS, organization, ids).await
    }

    async fn api_key_list(&self, organization: OrganizationId) -> Result<Vec<Sealed<ApiKey>>> {
        self.reads.list(Statement::new(LIST).shown(organization)).await
    }

    async fn user_api_keys(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        limit: u32,
    ) -> Result<Vec<Sealed<ApiKey>>> {
        let statement = Statement::new(OWN).shown(organization).shown(principal);
        self.reads.list(statement.word(&Label::User).bind(limit)).await
    }

    async fn active_user_api_keys(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<Vec<Sealed<ApiKey>>> {
        let statement = Statement::new(ACTIVE_OWN_KEYS).shown(organization).shown(principal);
        self.reads.list(statement.word(&Label::User).bind(now)).await
    }

    async fn active_user_api_key_count(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<u64> {
        let statement = Statement::new(ACTIVE_OWN).shown(organization).shown(principal);
        let row = self.reads.row(statement.word(&Label::User).bind(now)).await?;
        let row = row.ok_or_else(|| Error::inconsistency("a count without a row"))?;
        Ok(Fields::new("api_keys", &row).unsigned("active")?)
    }

    async fn note_api_key_use(
        &self,
        organization: OrganizationId,
        key: CredentialId,
        at: Timestamp,
    ) -> Result<()> {
        let statement = Statement::new(NOTE_USE).shown(organization).shown(key).bind(at);
        self.writer.submit(Unit::housekeeping(vec![statement])).await?;
        Ok(())
    }

    async fn api_key_uses(
        &self,
        organization: OrganizationId,
        keys: &[CredentialId],
    ) -> Result<BTreeMap<CredentialId, Timestamp>> {
        let mut uses = BTreeMap::new();
        for keys in keys.chunks(IDS_MAX) {
            let last = keys[keys.len() - 1];
            let padded = keys.iter().copied().chain(std::iter::repeat(last)).take(IDS_MAX);
            let statement = padded.fold(Statement::new(USES).shown(organization), Statement::shown);
            for row in self.reads.rows(statement).await? {
                let row = Fields::new("api_key_uses", &row);
                uses.insert(row.parsed("credential")?, row.time("last_used_at")?);
            }
        }
        Ok(uses)
    }

    async fn role_keys(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Sealed<ApiKey>>> {
        let labels = [Label::Agent, Label::Arbiter, Label::Orion];
        let statement = Statement::new(ROLE_KEYS).shown(organization);
        let mut keys: Vec<Sealed<ApiKey>> =
            self.reads.known_list(labels.iter().fold(statement, Statement::word)).await?;
        keys.retain(|key| key.is_active(now));
        Ok(keys)
    }
}
