//! API keys.

use async_trait::async_trait;
use gateway_domain::{
    Result, Timestamp,
    changes::Contested,
    credentials::{ApiKey, Label},
    ids::{CredentialId, OrganizationId},
    ports::CredentialReads,
    sealed::Sealed,
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Stored, placeholders},
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, principal, public_id, name, label, scopes, secret_hash, dev_only, expires_at, \
         revoked_at, version, created_at, seal"
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

pub(crate) fn insert(key: &Sealed<ApiKey>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO api_keys (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    values(Statement::new(sql), key)
}

pub(crate) fn update(key: &Sealed<ApiKey>) -> Result<Statement, TooLarge> {
    let sql = "UPDATE api_keys SET principal = $3, public_id = $4, name = $5, label = $6, scopes = $7, \
         secret_hash = $8, dev_only = $9, expires_at = $10, revoked_at = $11, version = $12, created_at = $13, \
         seal = $14 WHERE id = $1 AND organization = $2 AND version = $12 - 1";
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
        .shown(key.seal()))
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
            dev_only: row.flag("dev_only")?,
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

    async fn role_keys(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Sealed<ApiKey>>> {
        let labels = [Label::Agent, Label::Arbiter, Label::Orion];
        let statement = Statement::new(ROLE_KEYS).shown(organization);
        let mut keys: Vec<Sealed<ApiKey>> =
            self.reads.known_list(labels.iter().fold(statement, Statement::word)).await?;
        keys.retain(|key| key.is_active(now));
        Ok(keys)
    }
}
