//! Migrations, embedded, and the rule that binary and database fit each other.

use std::{borrow::Cow, collections::BTreeMap};

use sqlx::{
    AnyConnection, Connection, SqlStr,
    migrate::{Migrate, Migration, MigrationType, Migrator},
};

use crate::{
    config::DatabaseUrl, dialect::Engine, error::StoreError, fields::Fields, file, statement::Statement,
};

/// A migration that the database lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMigration {
    pub version: i64,
    pub name: &'static str,
}

struct Twin {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! twins {
    ($($version:literal $name:literal,)+) => {
        &[$(Twin {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }),+]
    };
}

const TWINS: &[Twin] = twins! {
    1 "0001_foundation",
    2 "0002_write_once",
    3 "0003_sessions",
    4 "0004_fireblocks",
    5 "0005_quorums",
    6 "0006_registrations",
    7 "0007_verification",
    8 "0008_plugin_state",
    9 "0009_instances",
    10 "0010_contract_accounts",
    11 "0011_quorum_claims",
    12 "0012_rates",
    14 "0014_operators",
    15 "0015_plugin_revocations",
    19 "0019_dry_runs",
    20 "0020_vaults",
};

const TABLE: &str = "_sqlx_migrations";

/// Applies what is pending. Creates the file of a SQLite database that does not exist, for its owner alone.
pub async fn migrate(url: &DatabaseUrl) -> Result<(), StoreError> {
    let engine = Engine::of(url)?;
    if let Some(file) = engine.file(url) {
        if engine.driver_url(url, "rwc").contains("mode=rwc") {
            file::create_private(&file).map_err(|cause| StoreError::Connect(cause.into()))?;
        }
        file::require_private(&file)?;
    }
    let mut connection = connect(engine, url, "rwc").await?;
    let outcome = migrator(engine).run(&mut connection).await;
    connection.close().await.map_err(StoreError::Query)?;
    Ok(outcome?)
}

/// What [`migrate`] would apply, oldest first. Changes nothing; a SQLite file that does not exist lacks all.
pub async fn pending_migrations(url: &DatabaseUrl) -> Result<Vec<PendingMigration>, StoreError> {
    let engine = Engine::of(url)?;
    if let Some(file) = engine.file(url) {
        if !file.exists() {
            return Ok(TWINS.iter().map(Twin::pending).collect());
        }
        file::require_private(&file)?;
    }
    let mut connection = connect(engine, url, "rw").await?;
    let pending = pending(engine, &mut connection).await;
    connection.close().await.map_err(StoreError::Query)?;
    pending
}

/// Refuses a database that this binary does not fit.
pub(crate) async fn require_current(
    engine: Engine,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    match pending(engine, connection).await?.len() {
        0 => Ok(()),
        count => Err(StoreError::Older(count)),
    }
}

async fn pending(
    engine: Engine,
    connection: &mut AnyConnection,
) -> Result<Vec<PendingMigration>, StoreError> {
    let applied = applied(engine, connection).await?;
    let newest = TWINS.last().map_or(0, |twin| twin.version);
    if let Some(unknown) = applied.keys().find(|version| **version > newest) {
        return Err(StoreError::Newer(*unknown));
    }
    for migration in migrator(engine).iter() {
        if applied.get(&migration.version).is_some_and(|checksum| *checksum != migration.checksum) {
            return Err(StoreError::MigrationChanged(migration.version));
        }
    }
    Ok(TWINS.iter().filter(|twin| !applied.contains_key(&twin.version)).map(Twin::pending).collect())
}

async fn applied(
    engine: Engine,
    connection: &mut AnyConnection,
) -> Result<BTreeMap<i64, Cow<'static, [u8]>>, StoreError> {
    let exists = Statement::new(engine.table_exists()).bind(TABLE);
    let row = exists.query().fetch_one(&mut *connection).await.map_err(StoreError::Query)?;
    if Fields::new("tables", &row).integer("found")? == 0 {
        return Ok(BTreeMap::new());
    }
    let applied = connection.list_applied_migrations(TABLE).await?;
    Ok(applied.into_iter().map(|migration| (migration.version, migration.checksum)).collect())
}

fn migrator(engine: Engine) -> Migrator {
    let migration = |twin: &Twin| {
        let sql = SqlStr::from_static(match engine {
            Engine::Sqlite => twin.sqlite,
            Engine::Postgres => twin.postgres,
        });
        Migration::new(twin.version, Cow::Borrowed(twin.name), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(TWINS.iter().map(migration).collect())
}

async fn connect(engine: Engine, url: &DatabaseUrl, mode: &str) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&engine.driver_url(url, mode)).await.map_err(StoreError::Connect)
}

impl Twin {
    fn pending(&self) -> PendingMigration {
        PendingMigration { version: self.version, name: self.name }
    }
}
