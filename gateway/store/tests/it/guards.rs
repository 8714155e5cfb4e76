use std::time::Duration;

use gateway_domain::{
    Timestamp,
    changes::{Contested, Idempotency, ReplayGuard, Write},
};

use gateway_domain::ports::IdentityReads;

use crate::{
    database::{Database, on_both_engines},
    world::{World, contested, hash, now},
};

on_both_engines!(
    purging_removes_what_expired_within_its_limit,
    a_guard_that_has_not_expired_still_holds,
    what_was_signed_for_one_organization_is_used_up_for_all
);

fn guards(world: &World, expires_at: Timestamp) -> [Write; 2] {
    let organization = world.organization.id;
    let key = hash().to_string();
    [
        Write::InsertReplayGuard(ReplayGuard {
            organization,
            signer: "0x1".into(),
            signed_hash: hash(),
            expires_at,
        }),
        Write::InsertIdempotency(Idempotency {
            organization,
            principal: world.principal.id,
            operation: "create".into(),
            key,
            body_hash: hash(),
            outcome: "o".into(),
            expires_at,
        }),
    ]
}

async fn purging_removes_what_expired_within_its_limit(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let (past, future) = (now(), now().plus(Duration::from_mins(10)));
    for expiry in [past, past, past, future] {
        world.commit(&store, guards(&world, expiry)).await.unwrap();
    }
    assert_eq!(store.purge(past, 2).await.unwrap().rows, 4);
    assert_eq!(store.purge(past, 2).await.unwrap().rows, 2);
    assert_eq!(store.purge(past, 2).await.unwrap().rows, 0);
    let mut intruder = database.intruder().await;
    assert_eq!(intruder.number("SELECT COUNT(*) FROM replay_guards").await, 1);
    assert_eq!(intruder.number("SELECT COUNT(*) FROM idempotency_keys").await, 1);
}

async fn a_guard_that_has_not_expired_still_holds(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let [guard, idempotency] = guards(&world, now().plus(Duration::from_mins(10)));
    world.commit(&store, [guard.clone(), idempotency.clone()]).await.unwrap();
    store.purge(now(), 100).await.unwrap();
    assert_eq!(contested(world.commit(&store, [guard]).await), Contested::Replay);
    assert_eq!(contested(world.commit(&store, [idempotency]).await), Contested::Idempotency);
}

async fn what_was_signed_for_one_organization_is_used_up_for_all(database: &Database) {
    let store = database.store().await;
    let (ours, theirs) = (World::founded(&store).await, World::founded(&store).await);
    let guard = ReplayGuard {
        organization: ours.organization.id,
        signer: "0x1".into(),
        signed_hash: hash(),
        expires_at: now().plus(Duration::from_mins(10)),
    };
    ours.commit(&store, [Write::InsertReplayGuard(guard.clone())]).await.unwrap();
    let elsewhere = ReplayGuard { organization: theirs.organization.id, ..guard.clone() };
    assert!(store.was_replayed(&elsewhere).await.unwrap());
    let again = theirs.commit(&store, [Write::InsertReplayGuard(elsewhere)]).await;
    assert_eq!(contested(again), Contested::Replay);
    let other_signer = ReplayGuard { signer: "0x2".into(), ..guard };
    assert!(!store.was_replayed(&other_signer).await.unwrap());
}
