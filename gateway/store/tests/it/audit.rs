use std::collections::BTreeMap;

use gateway_domain::{
    audit::{Checkpoint, LaneVerifier, SignedCheckpoint},
    changes::{Contested, Write},
    identity::Organization,
    keys::PublicKey,
    ports::{AuditReads, UnitOfWork},
};
use gateway_store::{AuditArchive, Store};

use crate::{
    database::{Database, instance, on_both_engines},
    world::{World, contested, now},
};

on_both_engines!(
    every_commit_extends_the_lane_by_its_events,
    lanes_of_several_instances_stand_side_by_side,
    checkpoints_are_numbered_once_and_read_back,
    an_auditor_reads_the_log_without_keys,
    many_events_of_one_change_set_are_chained_in_order,
);

pub(crate) async fn verified_length(store: &Store, number: u128) -> u64 {
    let mut verifier = LaneVerifier::new(instance(number), &[]);
    let mut last = 0;
    loop {
        let entries = store.lane_entries(instance(number), last, 100).await.unwrap();
        let Some(end) = entries.last() else { break };
        last = end.sequence;
        for entry in &entries {
            verifier.entry(entry, entry.hash()).unwrap();
        }
    }
    let head = verifier.finish().unwrap();
    assert_eq!(store.lane_heads().await.unwrap().get(&instance(number)).copied(), head);
    head.map_or(0, |head| head.sequence)
}

async fn every_commit_extends_the_lane_by_its_events(database: &Database) {
    let store = database.store().await;
    assert_eq!(verified_length(&store, 1).await, 0);
    let world = World::decided(&store).await;
    store.commit(world.changes([]).event(world.event())).await.unwrap();
    assert_eq!(verified_length(&store, 1).await, 4);
    let entry = &store.lane_entries(instance(1), 3, 10).await.unwrap()[0];
    assert_eq!((entry.sequence, entry.organization), (4, world.organization.id));
    assert_eq!((entry.action.as_str(), entry.detail.as_str()), ("test.changed", "{\"note\":\"ü\"}"));
}

async fn lanes_of_several_instances_stand_side_by_side(database: &Database) {
    let (first, second) = (database.store_as(instance(1)).await, database.store_as(instance(2)).await);
    World::founded(&first).await;
    World::founded(&second).await;
    World::founded(&first).await;
    assert_eq!(verified_length(&first, 1).await, 2);
    assert_eq!(verified_length(&first, 2).await, 1);
}

async fn checkpoints_are_numbered_once_and_read_back(database: &Database) {
    let store = database.store().await;
    World::founded(&store).await;
    assert_eq!(store.last_checkpoint().await.unwrap(), None);
    let checkpoint = Checkpoint {
        number: 1,
        previous: gateway_domain::B256::ZERO,
        at: now(),
        heads: store.lane_heads().await.unwrap(),
    };
    let signed = SignedCheckpoint { checkpoint, public_key: PublicKey(vec![4; 65]), signature: vec![7; 64] };
    store.insert_checkpoint(&signed).await.unwrap();
    assert_eq!(contested(store.insert_checkpoint(&signed).await), Contested::Duplicate);
    let next = SignedCheckpoint {
        checkpoint: Checkpoint { number: 2, heads: BTreeMap::new(), ..signed.checkpoint.clone() },
        ..signed.clone()
    };
    store.insert_checkpoint(&next).await.unwrap();
    assert_eq!(store.last_checkpoint().await.unwrap(), Some(next.clone()));

    let archive = AuditArchive::open(&database.url).await.unwrap();
    assert_eq!(archive.checkpoints(0, 10).await.unwrap(), [signed, next.clone()]);
    assert_eq!(archive.checkpoints(1, 10).await.unwrap(), [next]);
}

async fn an_auditor_reads_the_log_without_keys(database: &Database) {
    let store = database.store().await;
    for _ in 0..5 {
        World::founded(&store).await;
    }
    let heads = store.lane_heads().await.unwrap();
    store.close().await;

    let archive = AuditArchive::open(&database.url).await.unwrap();
    assert_eq!(archive.lanes().await.unwrap(), heads);
    assert_eq!(archive.entry_count(instance(1)).await.unwrap(), 5);
    let mut verifier = LaneVerifier::new(instance(1), &[]);
    for after in [0, 2, 4] {
        for entry in archive.entries(instance(1), after, 2).await.unwrap() {
            verifier.entry(&entry, entry.hash()).unwrap();
        }
    }
    assert_eq!(verifier.finish().unwrap(), heads.get(&instance(1)).copied());
    archive.close().await;
}

/// More than any one insert statement takes.
async fn many_events_of_one_change_set_are_chained_in_order(database: &Database) {
    let store = database.store().await;
    let world = World::new();
    let changes = world
        .changes([Write::InsertOrganization(world.seal(&Organization { ..world.organization.clone() }))]);
    let changes = (0..78).fold(changes, |changes, _| changes.event(world.event()));
    store.commit(changes).await.unwrap();
    assert_eq!(verified_length(&store, 1).await, 79);
}
