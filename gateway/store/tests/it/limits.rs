//! Every bound of the configuration, met.

use std::{error::Error as _, sync::Arc, time::Duration};

use futures::future::join_all;
use gateway_domain::{
    Error,
    changes::CommitError,
    ports::{IdentityReads, UnitOfWork},
};
use gateway_store::{DatabaseUrl, Store, StoreConfig, StoreError};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    audit::verified_length,
    database::{Database, instance, on_both_engines, sealer},
    world::World,
};

on_both_engines!(
    a_full_queue_refuses_at_once,
    a_change_set_that_waited_too_long_is_refused_unapplied,
    a_commit_that_takes_too_long_is_unavailable_and_the_store_recovers,
    a_group_is_no_larger_than_allowed,
    a_lost_connection_is_replaced_within_the_retries,
    a_read_that_takes_too_long_is_unavailable,
    the_database_says_whether_it_is_healthy,
    a_closed_store_refuses_commits,
);

async fn open(config: StoreConfig) -> Store {
    Store::open(config, sealer(), instance(1), Arc::new(Notify::new())).await.unwrap()
}

fn cause(outcome: Result<(), CommitError>) -> String {
    match outcome {
        Err(error @ CommitError::Unavailable(_)) => error.source().unwrap().to_string(),
        other => panic!("expected the database to be unavailable, got {other:?}"),
    }
}

#[tokio::test]
async fn an_owned_database_lets_no_second_process_in() {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::new(format!("sqlite://{}", directory.path().join("owned.db").display()));
    let config = || StoreConfig { migrate: true, ..StoreConfig::new(url.clone()) };
    let first = open(config()).await;
    let refused = Store::open(config(), sealer(), instance(2), Arc::new(Notify::new())).await;
    assert!(matches!(refused.err(), Some(StoreError::InUse(_))));
    first.close().await;
    drop(first);
    open(config()).await;
}

async fn a_full_queue_refuses_at_once(database: &Database) {
    let config = StoreConfig { commit_queue_max: 1, commit_group_max: 1, ..database.config() };
    let store = Arc::new(open(config).await);
    let mut blockade = database.intruder().await;
    blockade.block_writes().await;
    let mut commits = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        commits.spawn(async move {
            let world = World::new();
            store.commit(world.changes(world.foundation())).await
        });
    }
    // One is being applied, one waits; nobody else has a place.
    for _ in 0..6 {
        let refused = commits.join_next().await.unwrap().unwrap();
        assert_eq!(cause(refused), "the commit queue is full");
    }
    blockade.release().await;
    while let Some(outcome) = commits.join_next().await {
        outcome.unwrap().unwrap_or_else(|error| assert!(matches!(error, CommitError::Unavailable(_))));
    }
    World::founded(&store).await;
}

async fn a_change_set_that_waited_too_long_is_refused_unapplied(database: &Database) {
    let store = open(StoreConfig { commit_wait_max: Duration::ZERO, ..database.config() }).await;
    let world = World::new();
    let refused = world.commit(&store, world.foundation()).await;
    assert_eq!(cause(refused), "the change set waited too long in the commit queue");
    assert!(store.organization(world.organization.id).await.unwrap().is_none());
}

async fn a_commit_that_takes_too_long_is_unavailable_and_the_store_recovers(database: &Database) {
    let brief = Duration::from_millis(50);
    for (commit_timeout, busy_timeout) in [(brief, Duration::from_secs(1)), (Duration::from_secs(5), brief)] {
        // PostgreSQL has no busy time-out; its locks are bounded by the commit's.
        let commit_timeout = if database.is_postgres { brief } else { commit_timeout };
        let store = open(StoreConfig { commit_timeout, busy_timeout, ..database.config() }).await;
        let before = verified_length(&store, 1).await;
        let mut blockade = database.intruder().await;
        blockade.block_writes().await;
        let mut tried = vec![World::new()];
        cause(tried[0].commit(&store, tried[0].foundation()).await);
        blockade.release().await;
        // The abandoned connection may hold SQLite's lock for the rest of its own wait, and on a busy machine a commit may
        // take longer than it is given here: whether that one took effect is unknown.
        let recovered = async {
            loop {
                let world = World::new();
                let outcome = world.commit(&store, world.foundation()).await;
                tried.push(world);
                match outcome {
                    Ok(()) => break,
                    Err(error) => assert!(matches!(error, CommitError::Unavailable(_)), "{error:?}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), recovered).await.expect("the store recovers");
        let mut applied = Vec::new();
        for world in &tried {
            applied.push(store.organization(world.organization.id).await.unwrap().is_some());
        }
        assert_eq!(applied.last(), Some(&true), "what was confirmed is there");
        let count = applied.iter().filter(|applied| **applied).count();
        assert_eq!(
            verified_length(&store, 1).await,
            before + count as u64,
            "each whole, once, or not at all"
        );
    }
}

async fn a_group_is_no_larger_than_allowed(database: &Database) {
    let store = open(StoreConfig { commit_group_max: 4, ..database.config() }).await;
    let worlds: Vec<World> = (0..12).map(|_| World::new()).collect();
    let mut blockade = database.intruder().await;
    blockade.block_writes().await;
    let commits = worlds.iter().map(|world| store.commit(world.changes(world.foundation())));
    let (outcomes, ()) = tokio::join!(join_all(commits), blockade.release());
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    if database.is_postgres {
        let groups =
            "SELECT MAX(members) FROM (SELECT COUNT(*) AS members FROM audit_entries GROUP BY xmin::text) g";
        assert!(database.intruder().await.number(groups).await <= 4);
    }
}

async fn a_lost_connection_is_replaced_within_the_retries(database: &Database) {
    if !database.is_postgres {
        return;
    }
    let hang_up = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = CURRENT_DATABASE() AND pid <> pg_backend_pid()";
    let store = open(database.config()).await;
    World::founded(&store).await;
    assert!(database.intruder().await.number(hang_up).await > 0);
    World::founded(&store).await;
    assert_eq!(verified_length(&store, 1).await, 2);
    store.close().await;

    // The renewal of the lease would find out first.
    let lease = Duration::from_hours(1);
    let store = open(StoreConfig { commit_retries_max: 0, lease, ..database.config() }).await;
    World::founded(&store).await;
    database.intruder().await.number(hang_up).await;
    let world = World::new();
    cause(world.commit(&store, world.foundation()).await);
    world.commit(&store, world.foundation()).await.unwrap();
}

async fn a_read_that_takes_too_long_is_unavailable(database: &Database) {
    if !database.is_postgres {
        return; // In WAL mode nothing makes a read wait.
    }
    let config = StoreConfig { read_timeout: Duration::from_millis(200), ..database.config() };
    let store = open(StoreConfig { read_connections_max: 1, ..config }).await;
    let world = World::founded(&store).await;
    let mut blockade = database.intruder().await;
    blockade.block_reads().await;
    let id = world.organization.id;
    let (first, second, health) =
        tokio::join!(store.organization(id), store.organization(id), store.health(Duration::from_millis(20)));
    assert!(matches!(health, Err(StoreError::TimedOut)), "{health:?}");
    assert!(matches!(first, Err(Error::Unavailable { .. })), "waited for the lock");
    assert!(matches!(second, Err(Error::Unavailable { .. })), "waited for the connection or the lock");
    blockade.release().await;
    while store.organization(id).await.is_err() {}
}

async fn the_database_says_whether_it_is_healthy(database: &Database) {
    let store = database.store().await;
    store.health(Duration::from_secs(5)).await.unwrap();
    store.publish_metrics();
    store.close().await;
    assert!(matches!(store.health(Duration::from_secs(5)).await, Err(StoreError::Query(_))));
}

async fn a_closed_store_refuses_commits(database: &Database) {
    let store = database.store().await;
    store.close().await;
    let world = World::new();
    assert_eq!(cause(world.commit(&store, world.foundation()).await), "the writer has stopped");
}

#[test]
fn a_database_url_does_not_print_its_password() {
    let url = DatabaseUrl::new("postgres://countersign:hunter2@db/countersign");
    assert_eq!(format!("{url:?}"), "DatabaseUrl(postgres:..)");
}
