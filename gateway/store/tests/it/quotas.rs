//! Wallet keys beyond a quota are not stored, whoever asks at the same time; interrupted ones are found.

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    changes::{CommitError, Contested, Write},
    ids::KeyId,
    keys::{KeyQuota, KeyRecord, KeyState, WalletKeys},
    ports::KeyReads,
};
use gateway_store::Store;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    database::{Database, on_both_engines},
    world::{World, id, now, sample_key},
};

on_both_engines!(
    writers_at_once_do_not_pass_a_quota_together,
    strangers_stop_at_their_share,
    interrupted_keys_are_listed_by_age,
);

fn another(world: &World, self_registered: bool) -> KeyRecord {
    let (id, cka_id) = (id(KeyId::from_uuid), Uuid::new_v4().into_bytes());
    let reserved = KeyRecord { id, cka_id, self_registered, ..sample_key(world.organization.id, now()) };
    KeyRecord { public_key: None, address: None, state: KeyState::Generating, ..reserved }
}

async fn insert(
    store: &Store,
    world: &World,
    self_registered: bool,
    quota: KeyQuota,
) -> Result<(), CommitError> {
    let key = another(world, self_registered);
    world.commit(store, [Write::InsertWalletKey(world.seal(&key), quota)]).await
}

async fn writers_at_once_do_not_pass_a_quota_together(database: &Database) {
    let first = Arc::new(database.store().await);
    // Two gateways at one database, where the engine allows it.
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let quota = KeyQuota { keys_max: 11, self_registered_max: 0 };
    let mut writers = JoinSet::new();
    for writer in 0..60 {
        let (store, world) = (gateways[writer % 2].clone(), world.clone());
        writers.spawn(async move { insert(&store, &world, false, quota).await });
    }
    let outcomes = writers.join_all().await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = |outcome: &Result<(), CommitError>| {
        matches!(outcome, Err(CommitError::Conflict(Contested::KeyQuota)))
    };
    assert_eq!(stored, 10, "the founder's key is the eleventh");
    assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), 50, "{outcomes:?}");
    let present = gateways[1].wallet_keys(world.organization.id).await.unwrap();
    assert_eq!(present, WalletKeys { count: 11, self_registered: 0 });
}

async fn strangers_stop_at_their_share(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let quota = KeyQuota { keys_max: 5, self_registered_max: 2 };
    let mut outcomes = Vec::new();
    for self_registered in [true, true, true, false, false, false] {
        outcomes.push(insert(&store, &world, self_registered, quota).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false, true, true, false]);
    let present = store.wallet_keys(world.organization.id).await.unwrap();
    assert_eq!(present, WalletKeys { count: 5, self_registered: 2 });
}

async fn interrupted_keys_are_listed_by_age(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let old = KeyRecord { created_at: now().plus(Duration::from_secs(1)), ..another(&world, false) };
    let older = KeyRecord { created_at: now(), ..another(&world, true) };
    for key in [&old, &older] {
        world.commit(&store, [Write::InsertKey(world.seal(key))]).await.unwrap();
    }
    let listed = |before, limit| store.unfinished_keys(before, limit);
    let ids = |keys: Vec<gateway_domain::sealed::Sealed<KeyRecord>>| {
        keys.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let later = old.created_at.plus(Duration::from_secs(1));
    assert_eq!(ids(listed(later, 10).await.unwrap()), [older.id, old.id]);
    assert_eq!(ids(listed(later, 1).await.unwrap()), [older.id]);
    assert_eq!(ids(listed(old.created_at, 10).await.unwrap()), [older.id]);
}
