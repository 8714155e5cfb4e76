//! What plugins remember: conditional on what was read, bounded, and T17 on two gateways.

use std::sync::Arc;

use gateway_domain::{
    U256,
    changes::{CommitError, Contested, Write},
    ids::BindingId,
    plugin_state::{CounterName, Entry, PluginState, StateChange, StateChanges, StateUse, StateView},
    ports::{PluginStateReads, StateLimits, UnitOfWork},
    transactions::{FailureReason, State, Transaction},
};
use gateway_store::Store;
use tokio::task::JoinSet;

use crate::{
    database::{Database, instance, on_both_engines, sealer},
    world::{World, contested, hash, id, now, sample_transaction},
};

on_both_engines!(
    a_use_rests_on_every_row_that_was_read,
    what_was_inserted_removed_or_put_back_meanwhile_is_noticed,
    a_full_lineage_takes_no_more_rows,
    a_reservation_follows_the_fate_of_its_transaction,
    bindings_do_not_see_each_others_state,
    of_64_at_once_on_two_gateways_exactly_the_limit_is_reserved,
);

const LIMITS: StateLimits = StateLimits { rows_max: 4, reservations_max: 100 };

fn value(world: &World, name: &str, bytes: &[u8], version: u64) -> PluginState {
    PluginState {
        organization: world.organization.id,
        lineage: world.state.lineage,
        name: name.to_owned(),
        entry: Entry::Value(bytes.to_vec()),
        version,
        updated_at: now(),
    }
}

fn using(world: &World) -> StateUse {
    StateUse { changed: Vec::new(), ..world.insertion(&world.state) }
}

async fn apply(world: &World, store: &Store, state: StateUse) -> Result<(), CommitError> {
    world.commit(store, [Write::UseState(state)]).await
}

async fn a_use_rests_on_every_row_that_was_read(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let (first, second) = (value(&world, "value/a", b"1", 1), value(&world, "value/a", b"2", 2));
    apply(&world, &store, world.insertion(&first)).await.unwrap();
    let (before, after) = (world.seal(&first), world.seal(&second));
    let read = |seal| StateUse { unchanged: vec![("value/a".to_owned(), seal)], ..using(&world) };
    apply(&world, &store, read(Some(before.seal()))).await.unwrap();
    assert_eq!(contested(apply(&world, &store, read(None)).await), Contested::PluginState);

    let change = StateChange { name: first.name.clone(), before: Some(before.clone()), after: Some(after) };
    let writing = StateUse { changed: vec![change], ..using(&world) };
    apply(&world, &store, writing.clone()).await.unwrap();
    assert_eq!(contested(apply(&world, &store, writing).await), Contested::PluginState);
    assert_eq!(contested(apply(&world, &store, read(Some(before.seal()))).await), Contested::PluginState);
    let stored = store.plugin_state(world.organization.id, second.lineage, "value/a").await.unwrap();
    assert_eq!(*stored.unwrap(), second);
}

async fn what_was_inserted_removed_or_put_back_meanwhile_is_noticed(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let row = value(&world, "value/a", b"1", 1);
    let absent = StateUse { unchanged: vec![(row.name.clone(), None)], ..using(&world) };
    apply(&world, &store, absent.clone()).await.unwrap();
    apply(&world, &store, world.insertion(&row)).await.unwrap();
    assert_eq!(contested(apply(&world, &store, absent).await), Contested::PluginState);
    assert_eq!(contested(apply(&world, &store, world.insertion(&row)).await), Contested::PluginState);

    let change = StateChange { name: row.name.clone(), before: Some(world.seal(&row)), after: None };
    let removal = StateUse { changed: vec![change], ..using(&world) };
    apply(&world, &store, removal.clone()).await.unwrap();
    assert_eq!(contested(apply(&world, &store, removal.clone()).await), Contested::PluginState);
    apply(&world, &store, world.insertion(&value(&world, "value/a", b"other", 1))).await.unwrap();
    assert_eq!(contested(apply(&world, &store, removal).await), Contested::PluginState);
}

async fn a_full_lineage_takes_no_more_rows(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::decided(&store).await;
    let most = StateUse { rows_max: 2, ..world.insertion(&value(&world, "value/a", b"", 1)) };
    apply(&world, &store, most.clone()).await.unwrap();
    let one_more = StateUse { rows_max: 2, ..world.insertion(&value(&world, "value/b", b"", 1)) };
    assert_eq!(contested(apply(&world, &store, one_more).await), Contested::PluginState);

    let limits = StateLimits { rows_max: 2, ..LIMITS };
    let view = StateView::new(store.clone(), limits, world.state.lineage, &world.transaction, now());
    let write = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
    let beyond = StateChanges { values: vec![write("b", Some(b""))], ..StateChanges::default() };
    let exceeded = view.used(&sealer(), &beyond).await.unwrap().unwrap_err();
    assert_eq!(exceeded.to_string(), "more than 2 keys and counters in the state of one binding");
    let moved =
        StateChanges { values: vec![write("a", None), write("b", Some(b""))], ..StateChanges::default() };
    let state = view.used(&sealer(), &moved).await.unwrap().unwrap().unwrap();
    apply(&world, &store, state).await.unwrap();
}

fn counter() -> CounterName {
    CounterName { name: "spent".to_owned(), window_seconds: 3600 }
}

fn another(world: &World) -> Transaction {
    Transaction { request_hash: hash(), ..sample_transaction(&world.user, &world.key, now()) }
}

async fn counted(store: &Arc<Store>, world: &World, lineage: BindingId) -> u64 {
    let view = StateView::new(store.clone(), LIMITS, lineage, &another(world), now());
    view.counted(&counter()).await.unwrap().others.to()
}

async fn reserve(store: &Arc<Store>, world: &World, amount: u64) -> Transaction {
    let transaction = another(world);
    let view = StateView::new(store.clone(), LIMITS, world.state.lineage, &transaction, now());
    let changes =
        StateChanges { reservations: vec![(counter(), U256::from(amount))], ..StateChanges::default() };
    let state = view.used(&sealer(), &changes).await.unwrap().unwrap().unwrap();
    let writes = [Write::InsertTransaction(world.seal(&transaction)), Write::UseState(state)];
    world.commit(store, writes).await.unwrap();
    transaction
}

async fn a_reservation_follows_the_fate_of_its_transaction(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::decided(&store).await;
    let lineage = world.state.lineage;
    let (rejected, failed) = (reserve(&store, &world, 1).await, reserve(&store, &world, 2).await);
    let (open, signed) = (reserve(&store, &world, 4).await, reserve(&store, &world, 8).await);
    assert_eq!(counted(&store, &world, lineage).await, 15);
    let moves = [
        rejected.moved_to(State::Aborted, now()),
        failed.moved_to(State::Failed { reason: FailureReason::InsufficientFunds }, now()),
        open.moved_to(State::Approved, now()),
        signed.moved_to(State::Signed { attempt: world.attempt.id }, now()),
    ];
    let moves = moves.map(|moved| Write::UpdateTransaction(world.seal(&moved)));
    world.commit(&store, moves).await.unwrap();
    assert_eq!(counted(&store, &world, lineage).await, 12);

    // Once somebody writes, the row holds only what still counts.
    reserve(&store, &world, 16).await;
    let row =
        store.plugin_state(world.organization.id, lineage, "counter/3600/spent").await.unwrap().unwrap();
    let Entry::Counter(content) = &row.entry else { panic!("{:?}", row.entry) };
    assert_eq!((content.held.len(), content.signed.len()), (2, 1));
    assert_eq!(counted(&store, &world, lineage).await, 28);
}

async fn bindings_do_not_see_each_others_state(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::decided(&store).await;
    reserve(&store, &world, 5).await;
    assert_eq!(counted(&store, &world, world.state.lineage).await, 5);
    assert_eq!(counted(&store, &world, id(BindingId::from_uuid)).await, 0);
}

/// Evaluates and commits until nothing changed in between; whether one more fitted.
async fn take_one_of(
    limit: u64,
    store: Arc<Store>,
    lineage: BindingId,
    (transaction, event): (Transaction, gateway_domain::changes::ChangeSet),
) -> bool {
    loop {
        let view = StateView::new(store.clone(), LIMITS, lineage, &transaction, now());
        let fits = view.counted(&counter()).await.unwrap().others < U256::from(limit);
        let reservations = if fits { vec![(counter(), U256::from(1))] } else { Vec::new() };
        let changes = StateChanges { reservations, ..StateChanges::default() };
        let state = view.used(&sealer(), &changes).await.unwrap().unwrap().unwrap();
        match store.commit(event.clone().write(Write::UseState(state))).await {
            Ok(()) => return fits,
            Err(CommitError::Conflict(Contested::PluginState)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn of_64_at_once_on_two_gateways_exactly_the_limit_is_reserved(database: &Database) {
    let gateways =
        [Arc::new(database.store_as(instance(1)).await), Arc::new(database.store_as(instance(2)).await)];
    let world = World::decided(&gateways[0]).await;
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let transaction = another(&world);
        let event = world.changes([Write::InsertTransaction(world.seal(&transaction))]);
        let store = gateways[number % 2].clone();
        tasks.spawn(take_one_of(10, store, world.state.lineage, (transaction, event)));
    }
    let granted = tasks.join_all().await.into_iter().filter(|granted| *granted).count();
    assert_eq!(granted, 10);
    assert_eq!(counted(&gateways[1], &world, world.state.lineage).await, 10);
}
