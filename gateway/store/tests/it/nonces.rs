use gateway_domain::{
    changes::{Contested, Write},
    ids::TransactionId,
    ports::DecisionReads,
    transactions::{AttemptOutcome, Transaction},
};

use crate::{
    database::{Database, on_both_engines},
    world::{World, chain, contested, hash, now, sample_attempt, sample_transaction},
};

on_both_engines!(
    two_transactions_never_hold_one_nonce,
    replacements_share_the_nonce_of_their_transaction,
    a_released_nonce_is_free_and_a_signed_one_never,
    held_nonces_are_listed_from_a_bound,
    a_nonce_that_must_be_held_is_a_condition_of_its_change_set,
);

fn signed() -> AttemptOutcome {
    AttemptOutcome::Signed { raw: vec![1], hash: hash() }
}

async fn rival(world: &World, store: &gateway_store::Store) -> Transaction {
    let rival = sample_transaction(&world.user, &world.key, now());
    world.commit(store, [Write::InsertTransaction(world.seal(&rival))]).await.unwrap();
    rival
}

async fn two_transactions_never_hold_one_nonce(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let rival = rival(&world, &store).await;
    let insert = |nonce| Write::InsertAttempt(world.seal(&sample_attempt(&rival, nonce, now())));
    assert_eq!(contested(world.commit(&store, [insert(7)]).await), Contested::Nonce);
    world.commit(&store, [insert(8)]).await.unwrap();
}

async fn replacements_share_the_nonce_of_their_transaction(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let replacement = sample_attempt(&world.transaction, 7, now());
    world.commit(&store, [Write::InsertAttempt(world.seal(&replacement))]).await.unwrap();

    // One of two live attempts goes; the nonce stays held.
    let released = replacement.with_outcome(AttemptOutcome::Released);
    world.commit(&store, [Write::UpdateAttempt(world.seal(&released))]).await.unwrap();
    let held = store.held_nonces(chain(), world.attempt.address, 0).await.unwrap();
    assert_eq!(held, [7]);
    let rival = rival(&world, &store).await;
    let insert = Write::InsertAttempt(world.seal(&sample_attempt(&rival, 7, now())));
    assert_eq!(contested(world.commit(&store, [insert]).await), Contested::Nonce);
}

async fn a_released_nonce_is_free_and_a_signed_one_never(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let rival = rival(&world, &store).await;
    let release = Write::UpdateAttempt(world.seal(&world.attempt.with_outcome(AttemptOutcome::Released)));
    world.commit(&store, [release]).await.unwrap();
    let attempt = sample_attempt(&rival, 7, now());
    world.commit(&store, [Write::InsertAttempt(world.seal(&attempt))]).await.unwrap();

    let kept = attempt.with_outcome(signed());
    world.commit(&store, [Write::UpdateAttempt(world.seal(&kept))]).await.unwrap();
    for regret in [AttemptOutcome::Released, AttemptOutcome::Prepared, signed()] {
        let undone = Write::UpdateAttempt(world.seal(&kept.with_outcome(regret)));
        world.commit(&store, [undone]).await.unwrap_err();
    }
    assert_eq!(*store.attempts(rival.organization, rival.id).await.unwrap()[0], kept);
    assert_eq!(store.held_nonces(chain(), attempt.address, 0).await.unwrap(), [7]);
}

async fn held_nonces_are_listed_from_a_bound(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let later: Vec<TransactionId> = {
        let mut ids = Vec::new();
        for nonce in [9, 8, 12] {
            let rival = rival(&world, &store).await;
            world
                .commit(&store, [Write::InsertAttempt(world.seal(&sample_attempt(&rival, nonce, now())))])
                .await
                .unwrap();
            ids.push(rival.id);
        }
        ids
    };
    assert_eq!(later.len(), 3);
    let held = async |from| store.held_nonces(chain(), world.attempt.address, from).await.unwrap();
    assert_eq!(held(0).await, [7, 8, 9, 12]);
    assert_eq!(held(9).await, [9, 12]);
    assert!(held(u64::MAX).await.is_empty());
    assert!(store.held_nonces(chain(), crate::world::address(), 0).await.unwrap().is_empty());
}

async fn a_nonce_that_must_be_held_is_a_condition_of_its_change_set(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let rival = rival(&world, &store).await;
    let follow = |nonce| {
        let attempt = sample_attempt(&rival, nonce, now());
        let (chain, address) = (attempt.chain, attempt.address);
        let required = Write::RequireNonce { chain, address, nonce: nonce - 1 };
        [required, Write::InsertAttempt(world.seal(&attempt))]
    };
    assert_eq!(contested(world.commit(&store, follow(9)).await), Contested::Nonce);
    assert_eq!(store.held_nonces(chain(), world.attempt.address, 0).await.unwrap(), [7]);
    world.commit(&store, follow(8)).await.unwrap();
    world.commit(&store, follow(9)).await.unwrap();
}
