//! Several processes on one database: who stood still longer than its lease gets no permit (T19).

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    changes::{Contested, Write},
    policy::PermitRecord,
    ports::DecisionReads,
    registry::{Relay, RelayOutcome},
};
use gateway_store::{Store, StoreConfig};
use tokio::sync::Notify;

use crate::{
    database::{Database, instance, on_both_engines, sealer},
    world::{World, contested, hash, now, past, published::relay_quota},
};

on_both_engines!(
    no_permit_once_the_lease_has_run_out,
    no_registry_call_once_the_lease_has_run_out,
    no_permit_under_the_fencing_number_of_an_earlier_life,
    another_process_lease_is_no_help,
    a_renewed_lease_gives_a_new_number_only_after_a_lapse,
    a_start_forgets_leases_that_ran_out_and_who_comes_back_has_another_number,
);

/// A store that renews so seldom that the test sees none of it.
async fn slow(database: &Database, number: u128) -> Store {
    let config = StoreConfig { lease: Duration::from_hours(1), ..database.config() };
    let store = Store::open(config, sealer(), instance(number), Arc::new(Notify::new())).await.unwrap();
    store.set_log_fault(None);
    store
}

async fn ready(database: &Database) -> (Store, Box<World>) {
    let store = slow(database, 1).await;
    let world = World::founded(&store).await;
    world.commit(&store, [Write::InsertAttempt(world.seal(&world.attempt))]).await.unwrap();
    (store, world)
}

/// The permit's insert and its renewal are refused.
async fn refused(store: &Store, world: &World) {
    let insert = Write::InsertPermit(world.seal(&world.permit));
    assert_eq!(contested(world.commit(store, [insert]).await), Contested::Permit);
    assert!(store.permits(world.organization.id, world.transaction.id).await.unwrap().is_empty());
}

async fn no_permit_once_the_lease_has_run_out(database: &Database) {
    let (store, world) = ready(database).await;
    let mut intruder = database.intruder().await;
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    refused(&store, &world).await;
}

async fn no_registry_call_once_the_lease_has_run_out(database: &Database) {
    let (store, world) = ready(database).await;
    let quota = relay_quota(9, now());
    let insert = || Write::InsertRelay(world.seal(&world.relay), quota);
    let mut intruder = database.intruder().await;
    intruder.execute("UPDATE instances SET fencing = fencing + 1").await.unwrap();
    assert_eq!(contested(world.commit(&store, [insert()]).await), Contested::Relay);
    intruder.execute("UPDATE instances SET fencing = fencing - 1").await.unwrap();
    world.commit(&store, [insert()]).await.unwrap();
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    let signed = RelayOutcome::Signed { raw: vec![1], hash: hash() };
    let signed = Relay { outcome: signed, version: 2, ..world.relay.clone() };
    let signed = world.commit(&store, [Write::UpdateRelay(world.seal(&signed))]).await;
    assert_eq!(contested(signed), Contested::Version);
}

async fn no_permit_under_the_fencing_number_of_an_earlier_life(database: &Database) {
    let (store, world) = ready(database).await;
    let insert = Write::InsertPermit(world.seal(&world.permit));
    world.commit(&store, [insert]).await.unwrap();
    let mut intruder = database.intruder().await;
    let expired = past().unix_micros();
    intruder.execute(format!("UPDATE permits SET expires_at = {expired}")).await.unwrap();
    intruder.execute("UPDATE instances SET fencing = fencing + 1").await.unwrap();
    let renewal = PermitRecord { version: 2, ..world.permit.clone() };
    let renew = Write::RenewPermit(world.seal(&renewal));
    assert_eq!(contested(world.commit(&store, [renew]).await), Contested::Permit);
    intruder.execute("UPDATE instances SET fencing = fencing - 1").await.unwrap();
    world.commit(&store, [Write::RenewPermit(world.seal(&renewal))]).await.unwrap();
}

async fn another_process_lease_is_no_help(database: &Database) {
    let (store, world) = ready(database).await;
    let _other = slow(database, 2).await;
    let mut intruder = database.intruder().await;
    intruder.execute(format!("DELETE FROM instances WHERE id = '{}'", instance(1))).await.unwrap();
    refused(&store, &world).await;
}

async fn a_renewed_lease_gives_a_new_number_only_after_a_lapse(database: &Database) {
    let mut intruder = {
        let _first = slow(database, 1).await;
        database.intruder().await
    };
    let number = "SELECT fencing FROM instances";
    let first = intruder.number(number).await;
    drop(slow(database, 1).await);
    assert_eq!(intruder.number(number).await, first);
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    let (store, world) = ready(database).await;
    assert_eq!(intruder.number(number).await, first + 1);
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
}

async fn a_start_forgets_leases_that_ran_out_and_who_comes_back_has_another_number(database: &Database) {
    let (paused, world) = ready(database).await;
    let mut intruder = database.intruder().await;
    let count = "SELECT count(*) FROM instances";
    let number = format!("SELECT fencing FROM instances WHERE id = '{}'", instance(1));
    let before = intruder.number(&number).await;
    let _live = slow(database, 2).await;
    assert_eq!(intruder.number(count).await, 2, "a live lease is kept");
    let ended = format!("UPDATE instances SET live_until = 0 WHERE id = '{}'", instance(1));
    intruder.execute(ended).await.unwrap();
    let _next = slow(database, 3).await;
    assert_eq!(intruder.number(count).await, 2, "the lease that ran out is forgotten");
    refused(&paused, &world).await;
    drop(slow(database, 1).await);
    assert!(intruder.number(&number).await > before);
    refused(&paused, &world).await;
}
