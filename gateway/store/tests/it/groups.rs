use futures::future::join_all;
use gateway_domain::{
    approvals::Vote,
    changes::{CommitError, Contested, Write},
    ids::VoteId,
    ports::{IdentityReads, UnitOfWork},
};

use crate::{
    audit::verified_length,
    database::{Database, instance, on_both_engines},
    world::{World, id},
};

on_both_engines!(
    a_conflict_in_a_group_harms_nobody_else,
    two_rivals_in_one_group_end_with_one_winner,
    concurrent_instances_commit_side_by_side,
);

const UNITS: usize = 24;

async fn a_conflict_in_a_group_harms_nobody_else(database: &Database) {
    let store = database.store().await;
    let settled = World::decided(&store).await;
    let worlds: Vec<World> = (0..UNITS).map(|_| World::new()).collect();
    let twice = Vote { id: id(VoteId::from_uuid), ..settled.vote.clone() };
    let orphan = World::new();

    // The lock makes all but the first of them wait, and so share a group.
    let mut blockade = database.intruder().await;
    blockade.block_writes().await;
    let good = worlds.iter().map(|world| store.commit(world.changes(world.foundation())));
    let losing = store.commit(settled.changes([Write::InsertVote(settled.seal(&twice))]));
    let refused = store.commit(orphan.changes([Write::InsertPrincipal(orphan.seal(&orphan.principal))]));
    let all = async { tokio::join!(join_all(good), losing, refused) };
    let ((good, losing, refused), ()) = tokio::join!(all, blockade.release());

    assert!(good.iter().all(Result::is_ok), "{good:?}");
    assert!(matches!(losing, Err(CommitError::Conflict(Contested::Vote))), "{losing:?}");
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    for world in &worlds {
        assert!(store.organization(world.organization.id).await.unwrap().is_some());
    }
    assert_eq!(verified_length(&store, 1).await, 2 + UNITS as u64);
}

async fn two_rivals_in_one_group_end_with_one_winner(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let rivals: Vec<Vote> =
        (0..UNITS).map(|_| Vote { id: id(VoteId::from_uuid), ..world.vote.clone() }).collect();
    let mut blockade = database.intruder().await;
    blockade.block_writes().await;
    let votes = rivals.iter().map(|vote| store.commit(world.changes([Write::InsertVote(world.seal(vote))])));
    let (outcomes, ()) = tokio::join!(join_all(votes), blockade.release());
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(verified_length(&store, 1).await, 2);
}

async fn concurrent_instances_commit_side_by_side(database: &Database) {
    let mut stores = Vec::new();
    for number in 1..=3 {
        stores.push(database.store_as(instance(number)).await);
    }
    let worlds: Vec<World> = (0..UNITS).map(|_| World::new()).collect();
    let commits = worlds
        .iter()
        .enumerate()
        .map(|(index, world)| stores[index % 3].commit(world.changes(world.foundation())));
    let outcomes = join_all(commits).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    for number in 1..=3 {
        assert_eq!(verified_length(&stores[0], number).await, UNITS as u64 / 3);
    }
}
