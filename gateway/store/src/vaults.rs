//! Vaults, and which keys lie in them.

use async_trait::async_trait;
use gateway_domain::{
    Result,
    changes::{Contested, VaultWrite},
    ids::{OrganizationId, VaultId},
    keys::KeyRecord,
    ports::VaultReads,
    sealed::Sealed,
    vaults::Vault,
};

use crate::{
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, name, frozen, version, created_at, seal"
    };
}

const VAULT: &str = concat!("SELECT ", columns!(), " FROM vaults WHERE organization = $1 AND id = $2");
const BY_NAME: &str = concat!("SELECT ", columns!(), " FROM vaults WHERE organization = $1 AND name = $2");
const NEWEST: &str =
    concat!("SELECT ", columns!(), " FROM vaults WHERE organization = $1 ORDER BY id DESC LIMIT $2");
const BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM vaults WHERE organization = $1 AND id < $3 ORDER BY id DESC LIMIT $2"
);
const COUNT: &str = "SELECT COUNT(*) AS vaults FROM vaults WHERE organization = $1";
/// `$8` how many there may be.
const INSERT: &str = concat!(
    "INSERT INTO vaults (",
    columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM vaults WHERE organization = $2) < $8"
);
const REQUIRE: &str =
    "UPDATE vaults SET version = version WHERE id = $1 AND organization = $2 AND version = $3";
const MOVE_KEY: &str = "UPDATE keys SET vault = $3, version = $4, seal = $5 \
     WHERE id = $1 AND organization = $2 AND version = $4 - 1";

pub(crate) fn compile(write: &VaultWrite, sql: &EngineSql) -> Result<Vec<Statement>, TooLarge> {
    match write {
        VaultWrite::Insert(vault, vaults_max) => insert(vault, *vaults_max, sql),
        VaultWrite::Update(vault) => Ok(vec![update(vault)?]),
        VaultWrite::Require { organization, vault, version } => {
            let statement = Statement::new(REQUIRE).shown(vault).shown(organization);
            let statement = statement.unsigned("version", *version)?;
            Ok(vec![statement.expecting(Expect::Change(Contested::Version))])
        }
        VaultWrite::MoveKey(key) => Ok(vec![move_key(key)?]),
    }
}

/// Counts and inserts in one statement, as for wallet keys.
fn insert(vault: &Sealed<Vault>, vaults_max: u32, sql: &EngineSql) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("vaults", vault.organization);
    let insert = Statement::new(INSERT)
        .shown(vault.id)
        .shown(vault.organization)
        .bind(vault.name.as_str())
        .bind(vault.frozen)
        .unsigned("version", vault.version)?
        .bind(vault.created_at)
        .shown(vault.seal())
        .bind(vaults_max)
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

/// Only its freeze changes.
fn update(vault: &Sealed<Vault>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE vaults SET frozen = $3, version = $4, seal = $5 \
         WHERE id = $1 AND organization = $2 AND version = $4 - 1",
    )
    .shown(vault.id)
    .shown(vault.organization)
    .bind(vault.frozen)
    .unsigned("version", vault.version)?
    .shown(vault.seal())
    .expecting(Expect::Change(Contested::Version)))
}

fn move_key(key: &Sealed<KeyRecord>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(MOVE_KEY)
        .shown(key.id)
        .shown(key.organization)
        .bind(key.vault.map(|vault| vault.to_string()))
        .unsigned("version", key.version)?
        .shown(key.seal())
        .expecting(Expect::Change(Contested::Version)))
}

impl Stored for Vault {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            name: row.text("name")?,
            frozen: row.flag("frozen")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl VaultReads for Store {
    async fn vault(&self, organization: OrganizationId, id: VaultId) -> Result<Option<Sealed<Vault>>> {
        self.reads.known_optional(Statement::new(VAULT).shown(organization).shown(id)).await
    }

    async fn vault_by_name(&self, organization: OrganizationId, name: &str) -> Result<Option<Sealed<Vault>>> {
        self.reads.optional(Statement::new(BY_NAME).shown(organization).bind(name)).await
    }

    async fn vault_list(
        &self,
        organization: OrganizationId,
        before: Option<VaultId>,
        limit: u32,
    ) -> Result<Vec<Sealed<Vault>>> {
        let statement = match before {
            None => Statement::new(NEWEST).shown(organization).bind(limit),
            Some(before) => Statement::new(BEFORE).shown(organization).bind(limit).shown(before),
        };
        self.reads.list(statement).await
    }

    async fn vault_count(&self, organization: OrganizationId) -> Result<u64> {
        let row = self.reads.row(Statement::new(COUNT).shown(organization)).await?;
        let count = row.map(|row| Fields::new("vaults", &row).unsigned("vaults")).transpose()?;
        Ok(count.unwrap_or(0))
    }
}
