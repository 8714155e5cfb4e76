use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gateway_domain::{changes::Write, outbox::OutboxItem, ports::OutboxQueue};
use gateway_store::Store;
use tokio::sync::Notify;

use crate::{
    database::{Database, instance, on_both_engines, sealer},
    world::{World, now, sample_transaction},
};

on_both_engines!(
    a_claimed_item_is_claimed_by_nobody_else_until_its_lease_ends,
    a_stale_claim_completes_and_postpones_nothing,
    a_postponed_item_is_due_after_its_delay,
    scheduling_again_moves_the_item_and_makes_claims_stale,
    concurrent_workers_share_the_items_without_overlap,
    a_commit_with_an_item_wakes_the_worker,
);

const LEASE: Duration = Duration::from_mins(1);

async fn scheduled(database: &Database) -> (Store, Box<World>, OutboxItem) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let item = OutboxItem::advance(world.organization.id, world.transaction.id, now());
    world.commit(&store, [Write::ScheduleOutbox(item.clone())]).await.unwrap();
    (store, world, item)
}

async fn a_claimed_item_is_claimed_by_nobody_else_until_its_lease_ends(database: &Database) {
    let (store, _, item) = scheduled(database).await;
    let first = store.claim(instance(1), LEASE, 10).await.unwrap();
    assert_eq!((first.len(), first[0].item.id, first[0].fencing), (1, item.id, 1));
    assert!(store.claim(instance(2), LEASE, 10).await.unwrap().is_empty());
    let due = store.next_due().await.unwrap().unwrap();
    assert!(due > LEASE / 2 && due <= LEASE, "{due:?}");

    database.intruder().await.execute("UPDATE outbox SET due_at = 0").await.unwrap();
    let second = store.claim(instance(2), LEASE, 10).await.unwrap();
    assert_eq!((second[0].fencing, second[0].tries), (2, 1));
}

async fn a_stale_claim_completes_and_postpones_nothing(database: &Database) {
    let (store, _, item) = scheduled(database).await;
    let stale = store.claim(instance(1), Duration::ZERO, 1).await.unwrap()[0].fencing;
    let fresh = store.claim(instance(2), LEASE, 1).await.unwrap()[0].fencing;
    assert!(fresh > stale);
    store.complete(item.id, stale).await.unwrap();
    store.postpone(item.id, stale, Duration::ZERO).await.unwrap();
    assert!(store.next_due().await.unwrap().unwrap() > LEASE / 2);
    store.complete(item.id, fresh).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), None);
}

async fn a_postponed_item_is_due_after_its_delay(database: &Database) {
    let (store, _, item) = scheduled(database).await;
    let claim = store.claim(instance(1), LEASE, 1).await.unwrap()[0].fencing;
    store.postpone(item.id, claim, Duration::from_mins(10)).await.unwrap();
    assert!(store.claim(instance(1), LEASE, 1).await.unwrap().is_empty());
    assert!(store.next_due().await.unwrap().unwrap() > Duration::from_mins(5));
}

async fn scheduling_again_moves_the_item_and_makes_claims_stale(database: &Database) {
    let (store, world, item) = scheduled(database).await;
    let claim = store.claim(instance(1), LEASE, 1).await.unwrap()[0].fencing;
    let again = OutboxItem { due_at: now(), ..item.clone() };
    world.commit(&store, [Write::ScheduleOutbox(again)]).await.unwrap();
    store.complete(item.id, claim).await.unwrap();
    let second = store.claim(instance(1), LEASE, 1).await.unwrap();
    assert!(second[0].fencing > claim);
}

async fn concurrent_workers_share_the_items_without_overlap(database: &Database) {
    let (store, world, _) = scheduled(database).await;
    for _ in 0..4 {
        let more: Vec<_> = (0..6).map(|_| sample_transaction(&world.user, &world.key, now())).collect();
        let items = more.iter().map(|transaction| {
            Write::ScheduleOutbox(OutboxItem::advance(world.organization.id, transaction.id, now()))
        });
        world.commit(&store, items).await.unwrap();
    }
    let others: Vec<Store> =
        futures::future::join_all((2..4).map(|number| database.store_as(instance(number)))).await;
    let stores: Vec<&Store> = others.iter().chain([&store]).collect();
    let claims = stores.iter().map(|store| store.claim(instance(1), LEASE, 10));
    let claimed: Vec<_> =
        futures::future::join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    let distinct: BTreeSet<_> = claimed.iter().map(|claim| claim.item.id).collect();
    assert_eq!(distinct.len(), claimed.len(), "no item was claimed twice");
    let rest = store.claim(instance(1), LEASE, 100).await.unwrap();
    assert_eq!(claimed.len() + rest.len(), 25);
}

async fn a_commit_with_an_item_wakes_the_worker(database: &Database) {
    let written = Arc::new(Notify::new());
    let store = Store::open(database.config(), sealer(), instance(1), written.clone()).await.unwrap();
    let world = World::founded(&store).await;
    let item = OutboxItem::advance(world.organization.id, world.transaction.id, now());
    world.commit(&store, [Write::ScheduleOutbox(item)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), written.notified()).await.expect("the worker is woken");
}
