//! Who may open the files of a SQLite database.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use gateway_store::{AuditArchive, DatabaseUrl, Store, StoreConfig, StoreError, migrate, pending_migrations};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::database::{instance, sealer};

/// A directory that everybody may enter, and a database in it.
struct Open {
    directory: TempDir,
    url: DatabaseUrl,
}

impl Open {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        set_mode(directory.path(), 0o755);
        let url = DatabaseUrl::new(format!("sqlite://{}/of%20ours.db", directory.path().display()));
        Self { directory, url }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(format!("of ours.db{ending}"))
    }

    async fn open(&self) -> Result<Store, StoreError> {
        let config = StoreConfig { migrate: true, ..StoreConfig::new(self.url.clone()) };
        Store::open(config, sealer(), instance(1), Arc::new(Notify::new())).await
    }

    async fn is_refused(&self, exposed: &Path, mode: u32) {
        let refusals = [
            self.open().await.err(),
            migrate(&self.url).await.err(),
            pending_migrations(&self.url).await.err(),
        ];
        let expected = format!(
            "`{}` is open to other users (mode {mode:04o}); run `chmod 600` on it",
            exposed.display()
        );
        for refusal in refusals {
            assert_eq!(refusal.expect("refused").to_string(), expected);
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_database_is_made_for_its_owner_alone() {
    let database = Open::new();
    let store = database.open().await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        assert_eq!(mode(&database.file(ending)), 0o600, "`{ending}`");
    }
    assert_eq!(mode(&database.file("").with_extension("owner")), 0o600);
    store.close().await;
    drop(store);
    assert_eq!(pending_migrations(&database.url).await.unwrap(), []);
    database.open().await.unwrap().close().await;
}

#[tokio::test]
async fn a_database_that_others_may_open_is_refused() {
    let database = Open::new();
    database.open().await.unwrap().close().await;
    for mode in [0o644, 0o640, 0o620, 0o604, 0o602] {
        set_mode(&database.file(""), mode);
        database.is_refused(&database.file(""), mode).await;
    }
    // An auditor has a copy, of which the gateway knows nothing.
    AuditArchive::open(&database.url).await.unwrap().close().await;

    set_mode(&database.file(""), 0o600);
    for ending in ["-wal", "-shm"] {
        fs::write(database.file(ending), "").unwrap();
        set_mode(&database.file(ending), 0o644);
        database.is_refused(&database.file(ending), 0o644).await;
        fs::remove_file(database.file(ending)).unwrap();
    }
    database.open().await.unwrap().close().await;
}

#[tokio::test]
async fn in_a_directory_of_its_owners_alone_a_database_may_have_any_mode() {
    let database = Open::new();
    database.open().await.unwrap().close().await;
    set_mode(&database.file(""), 0o644);
    set_mode(database.directory.path(), 0o700);
    database.open().await.unwrap().close().await;
    // A link from elsewhere opens nothing.
    let elsewhere = Open::new();
    std::os::unix::fs::symlink(database.file(""), elsewhere.file("")).unwrap();
    elsewhere.open().await.unwrap().close().await;
    set_mode(database.directory.path(), 0o711);
    elsewhere.is_refused(&database.file(""), 0o644).await;
}
