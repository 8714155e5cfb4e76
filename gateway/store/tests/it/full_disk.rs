//! T38: a database that may not grow, or a disk that is nearly full. Nothing is half stored, and no permit without its
//! audit entry.

use std::sync::Arc;

use gateway_domain::{
    changes::{CommitError, Write},
    ports::{DecisionReads, IdentityReads},
};
use gateway_store::{Store, StoreConfig};
use tokio::sync::Notify;

use crate::{
    audit::verified_length,
    database::{Database, instance, sealer},
    world::World,
};

async fn open(config: StoreConfig) -> Store {
    Store::open(config, sealer(), instance(1), Arc::new(Notify::new())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_stores_no_permit_and_no_entry() {
    let database = Database::sqlite();
    let store = open(StoreConfig { file_bytes_max: 1 << 20, ..database.config() }).await;
    let mut last = World::founded(&store).await;
    let mut stored = Vec::new();
    let refused = loop {
        let world = World::new();
        match world.commit(&store, world.foundation()).await {
            Ok(()) => stored.push(world.organization.id),
            Err(error) => break error,
        }
        *last = world;
        assert!(stored.len() < 10_000, "the database grows without bound");
    };
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
    let attempt = Write::InsertAttempt(last.seal(&last.attempt));
    let mut entries = verified_length(&store, 1).await;
    let both = [attempt, Write::InsertPermit(last.seal(&last.permit))];
    // It may still fit into a page that is half empty; if so then whole.
    match last.commit(&store, both).await {
        Ok(()) => entries += 1,
        Err(error) => {
            assert!(matches!(error, CommitError::Unavailable(_)), "{error:?}");
            assert!(store.permits(last.organization.id, last.transaction.id).await.unwrap().is_empty());
        }
    }
    assert_eq!(verified_length(&store, 1).await, entries);
    for id in stored {
        assert!(store.organization(id).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_refused_before_the_disk_is_full_and_reads_go_on() {
    let database = Database::sqlite();
    let store = open(database.config()).await;
    let world = World::founded(&store).await;
    store.close().await;
    drop(store);
    let store = open(StoreConfig { free_bytes_min: u64::MAX, ..database.config() }).await;
    let refused = World::new();
    let error = refused.commit(&store, refused.foundation()).await.unwrap_err();
    assert!(matches!(error, CommitError::Unavailable(_)), "{error:?}");
    assert!(store.organization(refused.organization.id).await.unwrap().is_none());
    assert!(store.organization(world.organization.id).await.unwrap().is_some());
    assert_eq!(verified_length(&store, 1).await, 1);
}
