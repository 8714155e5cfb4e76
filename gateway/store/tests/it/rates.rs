//! Rates that all gateways of a database keep together.

use std::{sync::Arc, time::Duration};

use gateway_domain::changes::ReplayGuard;
use gateway_domain::{
    ports::{RateCounts, SessionReads},
    rates::{Allowance, RateBucket},
};
use gateway_store::Store;
use tokio::task::JoinSet;

use crate::{
    database::{Database, instance, on_both_engines},
    world::{World, hash, now},
};

on_both_engines!(
    of_many_at_once_on_two_gateways_exactly_the_burst_is_granted,
    an_allowance_is_not_restored_by_a_new_start,
    what_is_taken_comes_back_one_by_one,
    places_and_rates_are_told_apart,
    places_that_are_whole_again_are_purged,
    of_many_uses_at_once_on_two_gateways_one_counts,
);

const HOUR: Duration = Duration::from_hours(1);

fn bucket(burst: u32, period: Duration) -> RateBucket {
    RateBucket { rate: "login", place: 7, burst, period }
}

async fn granted(store: &Store, bucket: RateBucket) -> bool {
    store.take(&bucket).await.unwrap() == Allowance::Granted
}

async fn two(database: &Database) -> [Arc<Store>; 2] {
    [Arc::new(database.store().await), Arc::new(database.store_as(instance(2)).await)]
}

async fn of_many_at_once_on_two_gateways_exactly_the_burst_is_granted(database: &Database) {
    let stores = two(database).await;
    let mut asked = JoinSet::new();
    for number in 0..60 {
        let store = stores[number % 2].clone();
        asked.spawn(async move { granted(&store, bucket(20, HOUR)).await });
    }
    let granted = asked.join_all().await.into_iter().filter(|granted| *granted).count();
    assert_eq!(granted, 20);
}

async fn an_allowance_is_not_restored_by_a_new_start(database: &Database) {
    let store = database.store().await;
    assert!(granted(&store, bucket(2, HOUR)).await);
    assert!(granted(&store, bucket(2, HOUR)).await);
    drop(store);
    let store = database.store_as(instance(2)).await;
    let Allowance::Exhausted(wait) = store.take(&bucket(2, HOUR)).await.unwrap() else {
        panic!("the third of two was granted");
    };
    assert!(wait > Duration::from_mins(29) && wait <= Duration::from_mins(30), "{wait:?}");
    // A refusal takes nothing.
    let Allowance::Exhausted(again) = store.take(&bucket(2, HOUR)).await.unwrap() else {
        panic!("the fourth of two was granted");
    };
    assert!(again <= wait);
}

async fn what_is_taken_comes_back_one_by_one(database: &Database) {
    let store = database.store().await;
    let quick = bucket(2, Duration::from_millis(400));
    assert!(granted(&store, quick).await);
    assert!(granted(&store, quick).await);
    let back = async { while !granted(&store, quick).await {} };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("one comes back");
}

async fn places_and_rates_are_told_apart(database: &Database) {
    let store = database.store().await;
    let one = bucket(1, HOUR);
    assert!(granted(&store, one).await);
    assert!(!granted(&store, one).await);
    assert!(granted(&store, RateBucket { place: u32::MAX, ..one }).await);
    assert!(granted(&store, RateBucket { rate: "failures", ..one }).await);
}

async fn places_that_are_whole_again_are_purged(database: &Database) {
    let store = database.store().await;
    for place in 0..3 {
        assert!(granted(&store, RateBucket { place, ..bucket(1, Duration::from_millis(1)) }).await);
    }
    assert!(granted(&store, RateBucket { place: 9, ..bucket(1, HOUR) }).await);
    let mut intruder = database.intruder().await;
    let purged = async {
        while intruder.number("SELECT COUNT(*) FROM rate_places").await > 1 {
            assert!(store.purge(now(), 2).await.unwrap().rows <= 2);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), purged).await.expect("what is whole again goes");
    assert!(!granted(&store, RateBucket { place: 9, ..bucket(1, HOUR) }).await);
}

async fn of_many_uses_at_once_on_two_gateways_one_counts(database: &Database) {
    let stores = two(database).await;
    let world = World::founded(&stores[0]).await;
    let guard = ReplayGuard {
        organization: world.organization.id,
        signer: "0x1".into(),
        signed_hash: hash(),
        expires_at: now().plus(HOUR),
    };
    let mut used = JoinSet::new();
    for number in 0..40 {
        let (store, guard) = (stores[number % 2].clone(), guard.clone());
        used.spawn(async move { store.use_once(guard).await.unwrap() });
    }
    assert_eq!(used.join_all().await.into_iter().filter(|first| *first).count(), 1);
}
