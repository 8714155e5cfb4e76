use std::time::Duration;

use gateway_domain::{
    changes::{CommitError, Contested, Idempotency, OperatorWrite, ReplayGuard, Write},
    identity::{Principal, User},
    ids::{PermitId, PrincipalId, TransactionId, VoteId},
    operators::Charter,
    policy::{PermitRecord, Policy, PolicyHead},
    ports::{IdentityReads, OperatorReads, TransactionReads},
    transactions::{State, Transaction},
};

use crate::{
    database::{Database, instance, on_both_engines},
    world::{World, address, contested, hash, id, now, past, sample_transaction, sample_vote},
};

on_both_engines!(
    a_stale_version_changes_nothing,
    of_two_charters_at_once_on_two_gateways_one_is_stored,
    each_unique_thing_has_its_own_conflict,
    a_policy_head_moves_one_step_at_a_time,
    a_lost_change_set_leaves_nothing_of_itself,
    an_expired_idempotency_key_may_be_used_again,
    a_number_too_large_for_its_column_is_refused,
);

async fn a_stale_version_changes_nothing(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let moved = world.transaction.moved_to(State::Approved, now());
    world.commit(&store, [Write::UpdateTransaction(world.seal(&moved))]).await.unwrap();

    let late = world.transaction.moved_to(State::Aborted, now());
    let skipping = Transaction { version: 4, ..late.clone() };
    for stale in [late, skipping] {
        let lost = world.commit(&store, [Write::UpdateTransaction(world.seal(&stale))]).await;
        assert_eq!(contested(lost), Contested::Version);
    }
    let stored = store.transaction(world.organization.id, moved.id).await.unwrap().unwrap();
    assert_eq!(*stored, moved);

    let next = Charter { revision: 2, ..world.charter.clone() };
    world
        .commit(
            &store,
            [
                Write::Operators(OperatorWrite::RequireCharter(1)),
                Write::Operators(OperatorWrite::UpdateCharter(world.seal(&next))),
            ],
        )
        .await
        .unwrap();
    let stale = [
        // Who counted approvals by the charter before.
        Write::Operators(OperatorWrite::RequireCharter(1)),
        Write::Operators(OperatorWrite::UpdateCharter(world.seal(&next))),
        Write::UpdateOrganization(world.seal(&world.organization)),
        Write::UpdatePrincipal(world.seal(&world.principal)),
        Write::UpdateUser(world.seal(&world.user)),
        Write::UpdateApiKey(world.seal(&world.api_key)),
        Write::UpdateKey(world.seal(&world.key)),
        Write::UpdateAttempt(world.seal(&world.attempt)),
    ];
    for write in stale {
        assert_eq!(contested(world.commit(&store, [write]).await), Contested::Version);
    }
}

/// So that of two who revoke each other one stays: who loses has to look at the charter again.
async fn of_two_charters_at_once_on_two_gateways_one_is_stored(database: &Database) {
    let stores = [database.store_as(instance(1)).await, database.store_as(instance(2)).await];
    let world = World::decided(&stores[0]).await;
    for revision in 2..22 {
        let next = |approvals_required| Charter { revision, approvals_required, ..world.charter.clone() };
        let write = |next: &Charter| [Write::Operators(OperatorWrite::UpdateCharter(world.seal(next)))];
        let (ann, bob) = tokio::join!(
            world.commit(&stores[0], write(&next(2))),
            world.commit(&stores[1], write(&next(3)))
        );
        let (won, lost) = if ann.is_ok() { (2, bob) } else { (3, ann) };
        assert_eq!(contested(lost), Contested::Version);
        let charter = stores[0].charter().await.unwrap().unwrap();
        assert_eq!((charter.revision, charter.approvals_required), (revision, won));
    }
}

async fn each_unique_thing_has_its_own_conflict(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let organization = world.organization.id;
    let person = Principal { id: id(PrincipalId::from_uuid), ..world.principal.clone() };
    let user = User { id: person.id, ethereum_address: address(), escrow: None, ..world.user.clone() };
    let same_address = User { ethereum_address: world.user.ethereum_address, ..user.clone() };
    let same_escrow = User { escrow: world.user.escrow, ..user.clone() };
    let elsewhere = World::founded(&store).await;
    let another = Principal { id: id(PrincipalId::from_uuid), ..elsewhere.principal.clone() };
    // One vendor serves both organizations.
    let foreign_escrow = User {
        id: another.id,
        ethereum_address: address(),
        escrow: world.user.escrow,
        ..elsewhere.user.clone()
    };
    let same_hash = Transaction {
        request_hash: world.transaction.request_hash,
        ..sample_transaction(&world.user, &world.key, now())
    };
    let same_id = Transaction { request_hash: hash(), ..world.transaction.clone() };
    let same_vote = sample_vote(&world.transaction, world.principal.id, now());
    let same_digest = PermitRecord { id: id(PermitId::from_uuid), ..world.permit.clone() };
    let expires_at = now().plus(Duration::from_mins(1));
    let guard = ReplayGuard { organization, signer: "0x1".into(), signed_hash: hash(), expires_at };
    let idempotency = Idempotency {
        organization,
        principal: world.principal.id,
        operation: "create".into(),
        key: "k".into(),
        body_hash: hash(),
        outcome: "o".into(),
        expires_at,
    };
    let first = [Write::InsertReplayGuard(guard.clone()), Write::InsertIdempotency(idempotency.clone())];
    world.commit(&store, first).await.unwrap();

    let with_person =
        |user: &User| vec![Write::InsertPrincipal(world.seal(&person)), Write::InsertUser(world.seal(user))];
    let cases = [
        (with_person(&same_address), Contested::UserAddress),
        (with_person(&same_escrow), Contested::EscrowAddress),
        (
            vec![
                Write::InsertPrincipal(elsewhere.seal(&another)),
                Write::InsertUser(elsewhere.seal(&foreign_escrow)),
            ],
            Contested::EscrowAddress,
        ),
        (vec![Write::InsertTransaction(world.seal(&same_hash))], Contested::RequestHash),
        (vec![Write::InsertVote(world.seal(&same_vote))], Contested::Vote),
        (vec![Write::InsertPermit(world.seal(&same_digest))], Contested::Permit),
        (vec![Write::InsertReplayGuard(guard)], Contested::Replay),
        (vec![Write::InsertIdempotency(idempotency)], Contested::Idempotency),
        (vec![Write::InsertOrganization(world.seal(&world.organization))], Contested::Duplicate),
        (vec![Write::InsertKey(world.seal(&world.key))], Contested::Duplicate),
        (vec![Write::InsertApiKey(world.seal(&world.api_key))], Contested::Duplicate),
        (vec![Write::InsertPolicy(world.seal(&world.policy))], Contested::Duplicate),
        (vec![Write::InsertTransaction(world.seal(&same_id))], Contested::Duplicate),
    ];
    for (writes, expected) in cases {
        assert_eq!(contested(world.commit(&store, writes).await), expected);
    }
    world.commit(&store, with_person(&user)).await.unwrap();
}

async fn a_policy_head_moves_one_step_at_a_time(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let second = Policy { revision: 2, ..world.policy.clone() };
    let third = Policy { revision: 3, ..world.policy.clone() };
    let head = |revision| {
        Write::MovePolicyHead(world.seal(&PolicyHead { organization: world.organization.id, revision }))
    };
    let insert = |policy: &Policy| Write::InsertPolicy(world.seal(policy));
    assert_eq!(contested(world.commit(&store, [insert(&third), head(3)]).await), Contested::Version);
    assert_eq!(contested(world.commit(&store, [head(1)]).await), Contested::Version);
    world.commit(&store, [insert(&second), head(2)]).await.unwrap();
    assert_eq!(contested(world.commit(&store, [head(2)]).await), Contested::Version);
}

async fn a_lost_change_set_leaves_nothing_of_itself(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let mut intruder = database.intruder().await;
    let entries = intruder.number("SELECT COUNT(*) FROM audit_entries").await;
    let renamed = gateway_domain::identity::Organization {
        name: "new".into(),
        version: 2,
        ..world.organization.clone()
    };
    let lost = [
        Write::UpdateOrganization(world.seal(&renamed)),
        Write::InsertVote(
            world.seal(&gateway_domain::approvals::Vote { id: id(VoteId::from_uuid), ..world.vote.clone() }),
        ),
    ];
    assert_eq!(contested(world.commit(&store, lost).await), Contested::Vote);
    let stored = store.organization(world.organization.id).await.unwrap().unwrap();
    assert_eq!(*stored, world.organization);
    assert_eq!(intruder.number("SELECT COUNT(*) FROM audit_entries").await, entries);
}

async fn an_expired_idempotency_key_may_be_used_again(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let expired = Idempotency {
        organization: world.organization.id,
        principal: world.principal.id,
        operation: "create".into(),
        key: "k".into(),
        body_hash: hash(),
        outcome: "first".into(),
        expires_at: past(),
    };
    let later = Idempotency {
        outcome: "second".into(),
        expires_at: now().plus(Duration::from_mins(1)),
        ..expired.clone()
    };
    world.commit(&store, [Write::InsertIdempotency(expired)]).await.unwrap();
    world.commit(&store, [Write::InsertIdempotency(later.clone())]).await.unwrap();
    let found = store.idempotency(later.organization, later.principal, "create", "k", now()).await.unwrap();
    assert_eq!(found, Some(later));
}

async fn a_number_too_large_for_its_column_is_refused(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let huge = Transaction {
        id: id(TransactionId::from_uuid),
        version: u64::MAX,
        ..sample_transaction(&world.user, &world.key, now())
    };
    let refused = world.commit(&store, [Write::InsertTransaction(world.seal(&huge))]).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
}
