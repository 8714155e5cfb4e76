//! What plugins may ask about earlier transactions: scoped, bounded, and never cut in silence.

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    Address, Timestamp, U256,
    changes::Write,
    history::{HistoryView, Past, Selection, Stage},
    ports::{HistoryLimits, TransactionReads},
    transactions::{Intent, State, Transaction},
};
use gateway_store::Store;

use crate::{
    database::{Database, on_both_engines},
    world::{World, address, hash, now, sample_transaction},
};

on_both_engines!(
    earlier_transactions_are_told_apart_by_stage_key_recipient_and_age,
    nothing_of_another_organization_chain_or_kind_counts,
    a_question_that_needs_more_rows_than_allowed_has_no_answer,
    no_more_transactions_are_named_than_allowed,
    a_question_that_goes_back_too_far_has_no_answer,
);

const LIMITS: HistoryLimits =
    HistoryLimits { rows_max: 10, named_max: 2, window_max: Duration::from_hours(24) };

const OPEN: Selection =
    Selection { stage: Stage::Open, same_key: false, recipient: None, window: Duration::from_hours(1) };

fn view(store: &Arc<Store>, intent: &Intent, at: Timestamp) -> HistoryView {
    HistoryView::new(store.clone(), LIMITS, intent.clone(), at)
}

/// Stores transactions of the world's key, one a minute after its own; each is changed before it is sealed.
async fn add<const N: usize>(
    world: &World,
    store: &Store,
    changes: [&dyn Fn(&mut Transaction); N],
) -> Vec<Transaction> {
    let mut at = world.transaction.created_at;
    let made: Vec<_> = changes
        .into_iter()
        .map(|change| {
            at = at.plus(Duration::from_mins(1));
            let mut made = sample_transaction(&world.user, &world.key, at);
            made.intent.value = U256::from(7);
            made.intent.to = Some(Address::repeat_byte(0xbb));
            change(&mut made);
            made.intent_hash = made.intent.hash();
            made
        })
        .collect();
    world.commit(store, made.iter().map(|made| Write::InsertTransaction(world.seal(made)))).await.unwrap();
    made
}

async fn past(view: &HistoryView, selection: Selection) -> Past {
    view.select(&selection).await.unwrap().unwrap()
}

async fn earlier_transactions_are_told_apart_by_stage_key_recipient_and_age(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::founded(&store).await;
    let (other_key, other_recipient) =
        (gateway_domain::ids::KeyId::from_uuid(uuid::Uuid::from_u128(9)), address());
    let executed = || State::Executed { attempt: world.attempt.id, hash: hash(), block: 9, reverted: false };
    let made = add(
        &world,
        &store,
        [
            &|made| made.state = executed(),
            &|made| {
                made.state = executed();
                made.intent.to = Some(other_recipient);
                made.intent.value = U256::from(5);
            },
            &|made| {
                made.state = executed();
                made.intent.key = other_key;
            },
            &|made| made.state = State::Aborted,
            &|_| {},
        ],
    )
    .await;
    let last = made.last().unwrap().created_at;
    let view = view(&store, &world.transaction.intent, last.plus(Duration::from_mins(1)));
    let released = Selection { stage: Stage::Released, ..OPEN };

    let all = past(&view, released).await;
    assert_eq!((all.count(), all.sum(), all.distinct_recipients()), (3, U256::from(19), 2));
    let own = past(&view, Selection { same_key: true, ..released }).await;
    assert_eq!((own.count(), own.sum()), (2, U256::from(12)));
    let to_other = past(&view, Selection { recipient: Some(other_recipient), ..released }).await;
    assert_eq!((to_other.count(), to_other.sum()), (1, U256::from(5)));
    assert_eq!(past(&view, OPEN).await.count(), 1, "the transaction that is judged is not its own past");
    assert_eq!(past(&view, Selection { stage: Stage::Ended, ..OPEN }).await.count(), 1);
    let recent = Selection { window: Duration::from_mins(4), ..released };
    assert_eq!(past(&view, recent).await.count(), 1, "the third alone was made within four minutes");

    let named = view.last(&released, 2).await.unwrap().unwrap();
    assert_eq!(named.iter().map(|found| found.id).collect::<Vec<_>>(), [made[2].id, made[1].id]);
}

async fn nothing_of_another_organization_chain_or_kind_counts(database: &Database) {
    let store = Arc::new(database.store().await);
    let (world, theirs) = (World::founded(&store).await, World::founded(&store).await);
    add(&theirs, &store, [&|_| {}, &|_| {}]).await;
    let chain = gateway_domain::chain::ChainId::eip155(1).unwrap();
    add(
        &world,
        &store,
        [&|made| made.intent.chain = chain, &|made| {
            made.intent.kind = gateway_domain::transactions::Kind::Encrypted;
        }],
    )
    .await;
    let at = now().plus(Duration::from_mins(5));
    assert_eq!(past(&view(&store, &world.transaction.intent, at), OPEN).await.count(), 0);
    assert!(store.transaction(theirs.organization.id, theirs.transaction.id).await.unwrap().is_some());
}

async fn a_question_that_needs_more_rows_than_allowed_has_no_answer(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::founded(&store).await;
    let aborted: &dyn Fn(&mut Transaction) = &|made| made.state = State::Aborted;
    add(&world, &store, [aborted; 10]).await;
    let view = view(&store, &world.transaction.intent, now().plus(Duration::from_mins(15)));
    assert_eq!(past(&view, OPEN).await.count(), 0);
    add(&world, &store, [aborted]).await;
    let exceeded = view.select(&OPEN).await.unwrap().unwrap_err().to_string();
    assert_eq!(exceeded, "more than 10 transactions would have to be read for the answer");
}

async fn no_more_transactions_are_named_than_allowed(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::founded(&store).await;
    let view = view(&store, &world.transaction.intent, now());
    assert!(view.last(&OPEN, 2).await.unwrap().is_ok());
    let exceeded = view.last(&OPEN, 3).await.unwrap().unwrap_err().to_string();
    assert_eq!(exceeded, "history names 2 transactions and no more");
}

async fn a_question_that_goes_back_too_far_has_no_answer(database: &Database) {
    let store = Arc::new(database.store().await);
    let world = World::founded(&store).await;
    let view = view(&store, &world.transaction.intent, now());
    let day = Selection { window: LIMITS.window_max, ..OPEN };
    assert!(view.select(&day).await.unwrap().is_ok());
    let longer = Selection { window: LIMITS.window_max + Duration::from_secs(1), ..OPEN };
    let exceeded = view.select(&longer).await.unwrap().unwrap_err().to_string();
    assert_eq!(exceeded, "history goes back 86400 seconds and no further");
}
