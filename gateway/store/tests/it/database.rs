//! A fresh database for every test, on either engine.

use std::{collections::BTreeMap, sync::Arc};

use gateway_domain::{
    ids::InstanceId,
    mac::{MacKey, MacKeys},
    sealed::Sealer,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row, any::AnyRow};
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

/// Runs each case on both engines.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let database = crate::database::Database::sqlite();
                super::$case(&database).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(database) = crate::database::Database::postgres(stringify!($case)).await {
                    super::$case(&database).await;
                    database.remove().await;
                }
            })+
        }
    };
}
pub(crate) use on_both_engines;

pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    pub(crate) is_postgres: bool,
    /// Where a PostgreSQL database is created and dropped from.
    server: Option<(String, String)>,
    _directory: Option<TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("store.db").display());
        Self { url: DatabaseUrl::new(url), is_postgres: false, server: None, _directory: Some(directory) }
    }

    #[expect(clippy::disallowed_methods, reason = "a test binary has no configuration but its environment")]
    #[expect(clippy::print_stderr, reason = "a skipped case says so")]
    pub(crate) async fn postgres(case: &str) -> Option<Self> {
        let Ok(server) = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL") else {
            let required = std::env::var("COUNTERSIGN_TEST_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
            assert!(!required, "COUNTERSIGN_TEST_POSTGRES_URL is not set");
            eprintln!("skipped: `{case}` on PostgreSQL, for COUNTERSIGN_TEST_POSTGRES_URL is not set");
            return None;
        };
        let name = format!("store_{}", Uuid::new_v4().simple());
        administer(&server, format!("CREATE DATABASE {name}")).await;
        let (base, query) =
            server.split_once('?').map_or((server.as_str(), None), |(base, query)| (base, Some(query)));
        let (base, _) = base.rsplit_once('/').expect("the url names a database");
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let url = DatabaseUrl::new(format!("{base}/{name}{query}"));
        Some(Self { url, is_postgres: true, server: Some((server, name)), _directory: None })
    }

    pub(crate) async fn remove(self) {
        if let Some((server, name)) = self.server {
            administer(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig {
            migrate: true,
            shared: true,
            read_connections_max: 2,
            ..StoreConfig::new(self.url.clone())
        }
    }

    pub(crate) async fn store(&self) -> Store {
        self.store_as(instance(1)).await
    }

    pub(crate) async fn store_as(&self, instance: InstanceId) -> Store {
        let store = Store::open(self.config(), sealer(), instance, Arc::new(Notify::new())).await.unwrap();
        store.set_log_fault(None);
        store
    }

    /// A connection of somebody who can write the database without the gateway.
    pub(crate) async fn intruder(&self) -> Intruder {
        sqlx::any::install_default_drivers();
        Intruder {
            connection: AnyConnection::connect(self.url.as_str()).await.unwrap(),
            is_postgres: self.is_postgres,
        }
    }
}

pub(crate) struct Intruder {
    connection: AnyConnection,
    is_postgres: bool,
}

impl Intruder {
    pub(crate) async fn execute(&mut self, sql: impl Into<String>) -> Result<u64, sqlx::Error> {
        Ok(self.connection.execute(AssertSqlSafe(sql.into())).await?.rows_affected())
    }

    pub(crate) async fn rows(&mut self, sql: impl Into<String>) -> Vec<AnyRow> {
        sqlx::query(AssertSqlSafe(sql.into())).fetch_all(&mut self.connection).await.unwrap()
    }

    pub(crate) async fn number(&mut self, sql: impl Into<String>) -> i64 {
        self.rows(sql).await[0].get::<i64, _>(0)
    }

    /// Makes the gateway's writes wait until [`Intruder::release`].
    pub(crate) async fn block_writes(&mut self) {
        let (begin, lock) = if self.is_postgres {
            ("BEGIN", "LOCK TABLE organizations, votes, principals IN SHARE MODE")
        } else {
            ("BEGIN IMMEDIATE", "SELECT 1")
        };
        self.execute(begin).await.unwrap();
        self.execute(lock).await.unwrap();
    }

    /// Makes PostgreSQL's reads of organizations wait until [`Intruder::release`].
    pub(crate) async fn block_reads(&mut self) {
        self.execute("BEGIN").await.unwrap();
        self.execute("LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    }

    pub(crate) async fn release(&mut self) {
        self.execute("ROLLBACK").await.unwrap();
    }

    /// Takes away what the schema itself holds against edits: triggers, foreign keys and unique indexes.
    pub(crate) async fn disarm(&mut self) {
        let sql = if self.is_postgres {
            "SELECT indexname, 'INDEX' FROM pg_indexes WHERE schemaname = CURRENT_SCHEMA AND indexdef LIKE '%UNIQUE%' \
             AND indexname NOT LIKE '%pkey'"
        } else {
            "SELECT name, upper(type) FROM sqlite_master WHERE type = 'trigger' \
             OR (type = 'index' AND sql LIKE '%UNIQUE%')"
        };
        // PostgreSQL's catalogue speaks `name`, which the portable driver cannot read.
        let sql = if self.is_postgres {
            sql.replace("indexname, 'INDEX'", "indexname::text, 'INDEX'::text")
        } else {
            sql.into()
        };
        for row in self.rows(sql).await {
            let (name, kind): (String, String) = (row.get(0), row.get(1));
            self.execute(format!("DROP {kind} {name}")).await.unwrap();
        }
        let unchecked = if self.is_postgres {
            "SET session_replication_role = replica"
        } else {
            "PRAGMA foreign_keys = OFF"
        };
        self.execute(unchecked).await.unwrap();
    }

    /// Tables and their columns with portable types, in order.
    pub(crate) async fn columns(&mut self) -> BTreeMap<String, Vec<(String, String)>> {
        let sql = if self.is_postgres {
            "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = CURRENT_SCHEMA ORDER BY table_name, ordinal_position"
        } else {
            "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' ORDER BY m.name, c.cid"
        };
        let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for row in self.rows(sql).await {
            tables.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
        }
        tables.remove("_sqlx_migrations");
        tables
    }
}

/// The store of [`instance`] 1, in a database that is migrated already.
pub(crate) async fn store_at(url: &DatabaseUrl) -> Store {
    Store::open(StoreConfig::new(url.clone()), sealer(), instance(1), Arc::new(Notify::new())).await.unwrap()
}

pub(crate) fn instance(number: u128) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn sealer() -> Arc<Sealer> {
    Arc::new(Sealer::new(MacKeys::new(BTreeMap::from([(1, MacKey::new([7; 32]))]), 1)))
}

async fn administer(server: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}
