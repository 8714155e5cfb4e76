use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use gateway_store::{DatabaseUrl, Store, StoreConfig, StoreError, migrate, pending_migrations};
use tokio::sync::Notify;

use crate::database::{Database, instance, on_both_engines, sealer};

on_both_engines!(
    an_older_database_is_refused_until_migrated,
    a_newer_database_is_refused,
    an_edited_migration_is_refused,
    both_engines_have_the_same_columns,
);

async fn open(database: &Database) -> Result<Store, StoreError> {
    let config = StoreConfig { migrate: false, ..database.config() };
    Store::open(config, sealer(), instance(1), Arc::new(Notify::new())).await
}

async fn an_older_database_is_refused_until_migrated(database: &Database) {
    let pending = pending_migrations(&database.url).await.unwrap();
    assert_eq!(pending[0].name, "0001_foundation");
    if database.is_postgres {
        assert!(matches!(open(database).await, Err(StoreError::Older(count)) if count == pending.len()));
    } else {
        assert!(matches!(open(database).await, Err(StoreError::Connect(_))), "the file does not exist");
    }
    migrate(&database.url).await.unwrap();
    migrate(&database.url).await.unwrap();
    assert_eq!(pending_migrations(&database.url).await.unwrap(), []);
    open(database).await.unwrap().close().await;
    database.intruder().await.execute("DELETE FROM _sqlx_migrations WHERE version = 2").await.unwrap();
    assert!(matches!(open(database).await, Err(StoreError::Older(1))));
}

async fn a_newer_database_is_refused(database: &Database) {
    migrate(&database.url).await.unwrap();
    let mut intruder = database.intruder().await;
    intruder.execute("UPDATE _sqlx_migrations SET version = 999 WHERE version = 2").await.unwrap();
    assert!(matches!(open(database).await, Err(StoreError::Newer(999))));
    assert!(matches!(pending_migrations(&database.url).await, Err(StoreError::Newer(999))));
    migrate(&database.url).await.unwrap_err();
}

async fn an_edited_migration_is_refused(database: &Database) {
    migrate(&database.url).await.unwrap();
    let mut intruder = database.intruder().await;
    intruder.execute("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 1").await.unwrap();
    assert!(matches!(open(database).await, Err(StoreError::MigrationChanged(1))));
}

async fn both_engines_have_the_same_columns(database: &Database) {
    migrate(&database.url).await.unwrap();
    let sqlite = Database::sqlite();
    migrate(&sqlite.url).await.unwrap();
    let names = |tables: std::collections::BTreeMap<String, Vec<(String, String)>>| -> Vec<String> {
        let columns = tables.into_iter().flat_map(|(table, columns)| {
            columns.into_iter().map(move |(column, _)| format!("{table}.{column}"))
        });
        columns.collect()
    };
    let ours = names(database.intruder().await.columns().await);
    assert_eq!(ours, names(sqlite.intruder().await.columns().await));
}

#[test]
fn twin_folders_hold_the_same_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let files = |engine: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(engine)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(files("sqlite"), files("postgres"));
}

#[tokio::test]
async fn every_file_is_embedded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
    let on_disk: BTreeSet<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let absent = DatabaseUrl::new("sqlite:///nonexistent/store.db");
    let embedded = pending_migrations(&absent).await.unwrap();
    assert_eq!(embedded.iter().map(|pending| pending.name.to_owned()).collect::<BTreeSet<_>>(), on_disk);
    let unknown = migrate(&DatabaseUrl::new("mysql://localhost/x")).await;
    assert!(matches!(unknown, Err(StoreError::UnknownEngine)));
}
