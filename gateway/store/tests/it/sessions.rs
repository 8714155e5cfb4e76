use std::time::Duration;

use gateway_domain::{
    changes::{Contested, ReplayGuard, Write},
    ports::SessionReads,
    sessions::{EndReason, Session, SessionEnd, UsedRefreshToken},
};

use crate::{
    database::{Database, on_both_engines},
    world::{World, contested, hash, now, refresh_hash, sample_session},
};

on_both_engines!(
    sessions_read_back_and_the_live_ones_are_listed,
    a_session_changes_under_its_version_only,
    a_used_refresh_token_leads_to_its_session,
    what_may_be_used_once_is_used_once,
    ended_sessions_go_when_they_would_have_expired,
);

fn alive(world: &World) -> Session {
    Session { ended: None, ..sample_session(world.organization.id, world.user.id, now()) }
}

async fn sessions_read_back_and_the_live_ones_are_listed(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let (organization, user) = (world.organization.id, world.user.id);
    let (first, second) = (alive(&world), alive(&world));
    let expired = Session { expires_at: now(), ..alive(&world) };
    for session in [&first, &second, &expired] {
        world.commit(&store, [Write::InsertSession(world.seal(session))]).await.unwrap();
    }
    assert_eq!(*store.session(organization, world.session.id).await.unwrap().unwrap(), world.session);
    let hashes = [refresh_hash(), first.refresh_hash];
    let found = store.session_by_refresh_token(organization, &hashes).await.unwrap();
    assert_eq!(*found.unwrap(), first);
    let ids = |sessions: Vec<gateway_domain::sealed::Sealed<Session>>| {
        sessions.iter().map(|session| session.id).collect::<Vec<_>>()
    };
    let live = store.live_sessions(organization, user, now(), 10).await.unwrap();
    assert_eq!(ids(live), [first.id, second.id]);
    let live = store.live_sessions(organization, user, now(), 1).await.unwrap();
    assert_eq!(ids(live), [first.id]);
    let other = gateway_domain::ids::OrganizationId::from_uuid(uuid::Uuid::new_v4());
    assert!(store.session(other, first.id).await.unwrap().is_none());
    assert!(store.session_by_refresh_token(other, &[first.refresh_hash]).await.unwrap().is_none());
}

async fn a_session_changes_under_its_version_only(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let session = alive(&world);
    world.commit(&store, [Write::InsertSession(world.seal(&session))]).await.unwrap();
    let ended = Some(SessionEnd { at: now(), reason: EndReason::TokenReused });
    let next = Session { ended, version: 2, ..session.clone() };
    world.commit(&store, [Write::UpdateSession(world.seal(&next))]).await.unwrap();
    assert_eq!(*store.session(world.organization.id, session.id).await.unwrap().unwrap(), next);
    let late = world.commit(&store, [Write::UpdateSession(world.seal(&next))]).await;
    assert_eq!(contested(late), Contested::Version);
}

async fn a_used_refresh_token_leads_to_its_session(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let organization = world.organization.id;
    let used = UsedRefreshToken {
        organization,
        hash: refresh_hash(),
        session: world.session.id,
        expires_at: now().plus(Duration::from_hours(1)),
    };
    world.commit(&store, [Write::InsertUsedRefreshToken(used.clone())]).await.unwrap();
    let found = store.session_of_used_refresh_token(organization, &[refresh_hash(), used.hash]).await;
    assert_eq!(found.unwrap(), Some(world.session.id));
    assert_eq!(store.session_of_used_refresh_token(organization, &[refresh_hash()]).await.unwrap(), None);
    let again = world.commit(&store, [Write::InsertUsedRefreshToken(used)]).await;
    assert_eq!(contested(again), Contested::Duplicate);
}

async fn what_may_be_used_once_is_used_once(database: &Database) {
    let store = database.store().await;
    let guard = ReplayGuard {
        organization: World::new().organization.id,
        signer: "login-nonce".into(),
        signed_hash: hash(),
        expires_at: now().plus(Duration::from_mins(5)),
    };
    let tries = [guard.clone(), guard.clone(), guard.clone(), guard.clone()];
    let outcomes = futures::future::join_all(tries.map(|guard| store.use_once(guard))).await;
    assert_eq!(outcomes.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 1);
    assert!(!store.use_once(guard).await.unwrap());
    let mut intruder = database.intruder().await;
    assert_eq!(intruder.number("SELECT COUNT(*) FROM audit_entries").await, 0);
}

async fn ended_sessions_go_when_they_would_have_expired(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let past = Session { expires_at: now(), ..alive(&world) };
    let used = UsedRefreshToken {
        organization: world.organization.id,
        hash: refresh_hash(),
        session: past.id,
        expires_at: now(),
    };
    let writes = [Write::InsertSession(world.seal(&past)), Write::InsertUsedRefreshToken(used)];
    world.commit(&store, writes).await.unwrap();
    assert_eq!(store.purge(now(), 100).await.unwrap().rows, 1);
    let expired = store.expired_sessions(now(), 100).await.unwrap();
    assert_eq!(expired.iter().map(|session| session.id).collect::<Vec<_>>(), [past.id]);
    let removals = || expired.iter().cloned().map(Write::RemoveSession);
    world.commit(&store, removals()).await.unwrap();
    assert_eq!(contested(world.commit(&store, removals()).await), Contested::Version);
    assert!(store.session(world.organization.id, past.id).await.unwrap().is_none());
    assert!(store.session(world.organization.id, world.session.id).await.unwrap().is_some());
}
