//! Wallet keys beyond a quota are not stored, whoever asks at the same time; interrupted ones are found.

use std::{sync::Arc, time::Duration};

use gateway_domain::{
    changes::{CommitError, Contested, UserCondition, Write},
    credentials::{ApiKey, Label},
    fireblocks::Integration,
    identity::{Principal, User},
    ids::{CredentialId, IntegrationId, KeyId, PluginRevisionId, PrincipalId, RegistrationId, RelayId},
    keys::{KeyRecord, KeyState, WalletKeys},
    payloads::{EncryptedPayload, PayloadQuota, PayloadRoom, SessionKeyClaim, Submission},
    policy::{PluginRevision, PluginRevocation},
    ports::{CredentialReads, KeyReads, PolicyReads, RegistrationReads, VerificationReads},
    quorums::QuorumClaim,
    quota::{Quota, UserQuota},
    registrations::Registration,
    registry::{Relay, RelayCounts, RelayQuota},
};
use gateway_store::Store;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    database::{Database, on_both_engines},
    world::{
        World, address, contested, hash, id, now,
        published::{fingerprint, relay_quota, sample_room},
        sample_key, sample_quorum_claim,
    },
};

on_both_engines!(
    writers_at_once_do_not_pass_a_quota_together,
    plugin_revisions_at_once_do_not_pass_their_bound_together,
    strangers_stop_at_their_share,
    integrations_at_once_do_not_pass_a_quota_together,
    every_quota_has_its_share_for_strangers_and_its_bound_for_a_user,
    calls_in_one_users_name_are_bounded_over_a_time,
    calls_of_an_organization_are_bounded_and_strangers_have_a_share,
    encrypted_payloads_are_bounded_by_number_and_bytes,
    only_blocks_of_what_is_withheld_are_deleted,
    interrupted_keys_are_listed_by_age,
    keys_of_one_user_at_once_do_not_pass_their_number_together,
    ending_a_users_keys_and_making_one_exclude_each_other,
);

fn another(world: &World, self_registered: bool) -> KeyRecord {
    let (id, cka_id) = (id(KeyId::from_uuid), Uuid::new_v4().into_bytes());
    let reserved = KeyRecord { id, cka_id, self_registered, ..sample_key(world.organization.id, now()) };
    KeyRecord { public_key: None, address: None, state: KeyState::Generating, ..reserved }
}

async fn insert(
    store: &Store,
    world: &World,
    self_registered: bool,
    quota: Quota,
) -> Result<(), CommitError> {
    let key = another(world, self_registered);
    world.commit(store, [Write::InsertWalletKey(world.seal(&key), quota)]).await
}

async fn writers_at_once_do_not_pass_a_quota_together(database: &Database) {
    let first = Arc::new(database.store().await);
    // Two gateways at one database, where the engine allows it.
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let quota = Quota { max: 11, self_registered_max: 0 };
    let mut writers = JoinSet::new();
    for writer in 0..60 {
        let (store, world) = (gateways[writer % 2].clone(), world.clone());
        writers.spawn(async move { insert(&store, &world, false, quota).await });
    }
    let outcomes = writers.join_all().await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused =
        |outcome: &Result<(), CommitError>| matches!(outcome, Err(CommitError::Conflict(Contested::Quota)));
    assert_eq!(stored, 10, "the founder's key is the eleventh");
    assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), 50, "{outcomes:?}");
    let present = gateways[1].wallet_keys(world.organization.id).await.unwrap();
    assert_eq!(present, WalletKeys { count: 11, self_registered: 0 });
}

async fn plugin_revisions_at_once_do_not_pass_their_bound_together(database: &Database) {
    let first = Arc::new(database.store().await);
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let another = |world: &World| {
        let revision = PluginRevision { id: id(PluginRevisionId::from_uuid), ..world.revision.clone() };
        Write::InsertPluginRevision(world.seal(&revision), b"\0asm component".to_vec(), 8)
    };
    let upload = |count: usize| {
        let (gateways, world) = (gateways.clone(), world.clone());
        async move {
            let mut writers = JoinSet::new();
            for writer in 0..count {
                let (store, world) = (gateways[writer % 2].clone(), world.clone());
                writers.spawn(async move { world.commit(&store, [another(&world)]).await });
            }
            let outcomes = writers.join_all().await;
            let refused = |outcome: &Result<(), CommitError>| {
                matches!(outcome, Err(CommitError::Conflict(Contested::Quota)))
            };
            assert!(outcomes.iter().all(|outcome| outcome.is_ok() || refused(outcome)), "{outcomes:?}");
            outcomes.iter().filter(|outcome| outcome.is_ok()).count()
        }
    };
    assert_eq!(upload(30).await, 7, "the founder's is the eighth");
    let organization = world.organization.id;
    assert_eq!(gateways[1].live_plugin_revision_count(organization).await.unwrap(), 8);
    let listed = gateways[0].plugin_revision_list(organization, None, 2).await.unwrap();
    for revision in &listed {
        let ended = PluginRevocation { revision: revision.id, ..world.revocation.clone() };
        world.commit(&gateways[0], [Write::InsertPluginRevocation(world.seal(&ended))]).await.unwrap();
    }
    assert_eq!(upload(10).await, 2, "as many as were revoked");
}

async fn strangers_stop_at_their_share(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let quota = Quota { max: 5, self_registered_max: 2 };
    let mut outcomes = Vec::new();
    for self_registered in [true, true, true, false, false, false] {
        outcomes.push(insert(&store, &world, self_registered, quota).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false, true, true, false]);
    let present = store.wallet_keys(world.organization.id).await.unwrap();
    assert_eq!(present, WalletKeys { count: 5, self_registered: 2 });
}

/// An integration of somebody who is enrolled for it.
fn integrated(world: &World, self_registered: bool, quota: Quota) -> Vec<Write> {
    let person = Principal { id: id(PrincipalId::from_uuid), ..world.principal.clone() };
    let user = User { id: person.id, ethereum_address: address(), escrow: None, ..world.user.clone() };
    let integration = Integration {
        id: id(IntegrationId::from_uuid),
        owner: person.id,
        self_registered,
        ..world.integration.clone()
    };
    vec![
        Write::InsertPrincipal(world.seal(&person)),
        Write::InsertUser(world.seal(&user)),
        Write::InsertIntegration(world.seal(&integration), quota),
    ]
}

async fn integrations_at_once_do_not_pass_a_quota_together(database: &Database) {
    let first = Arc::new(database.store().await);
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let mut writers = JoinSet::new();
    for writer in 0..40 {
        let (store, world) = (gateways[writer % 2].clone(), world.clone());
        let quota = Quota { max: 10, self_registered_max: 3 };
        writers
            .spawn(async move { world.commit(&store, integrated(&world, writer < 20, quota)).await.is_ok() });
    }
    let stored = writers.join_all().await.into_iter().filter(|stored| *stored).count();
    assert_eq!(stored, 10);
    let mut intruder = database.intruder().await;
    let strangers = "SELECT COUNT(*) FROM fireblocks_integrations WHERE self_registered = 1";
    assert!(intruder.number(strangers).await <= 3);
}

async fn every_quota_has_its_share_for_strangers_and_its_bound_for_a_user(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let quota = |max, self_registered_max, per_user_max| UserQuota {
        organization: Quota { max, self_registered_max },
        per_user_max,
    };
    let claim = |self_registered, quota| {
        let claim = QuorumClaim { self_registered, ..sample_quorum_claim(&world.user, now()) };
        vec![Write::ClaimQuorum(claim, quota)]
    };
    let register = |self_registered, quota| {
        let registration = Registration {
            id: id(RegistrationId::from_uuid),
            fingerprint: fingerprint(),
            current: false,
            self_registered,
            ..world.registration.clone()
        };
        vec![Write::InsertRegistration(world.seal(&registration), quota)]
    };
    // The world has one of each, a stranger's.
    let writes: [&dyn Fn(bool, UserQuota) -> Vec<Write>; 2] = [&claim, &register];
    for write in writes {
        for refused in [
            write(false, quota(1, 9, 9)),
            write(true, quota(9, 1, 9)),
            write(false, quota(9, 9, 1)),
            write(true, quota(0, 0, 0)),
        ] {
            assert_eq!(contested(world.commit(&store, refused).await), Contested::Quota);
        }
        world.commit(&store, write(true, quota(2, 2, 2))).await.unwrap();
        world.commit(&store, write(false, quota(3, 0, 3))).await.unwrap();
    }
    let arbiters = |quota| {
        let sample = sample_quorum_claim(&world.user, now());
        vec![Write::ClaimQuorum(QuorumClaim { self_registered: false, for_arbiter: true, ..sample }, quota)]
    };
    world.commit(&store, arbiters(quota(9, 9, 1))).await.unwrap();
    assert_eq!(contested(world.commit(&store, arbiters(quota(9, 9, 1))).await), Contested::Quota);
    let share = Quota { max: 9, self_registered_max: 1 };
    let refused = world.commit(&store, integrated(&world, true, share)).await;
    assert_eq!(contested(refused), Contested::Quota);
    world.commit(&store, integrated(&world, false, share)).await.unwrap();
}

async fn calls_in_one_users_name_are_bounded_over_a_time(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let call = |nonce, created_at, per_user_max, since| {
        let relay = Relay { id: id(RelayId::from_uuid), nonce, created_at, ..world.relay.clone() };
        [Write::InsertRelay(world.seal(&relay), relay_quota(per_user_max, since))]
    };
    let (then, later) = (now(), now().plus(Duration::from_secs(1)));
    world.commit(&store, call(1, then, 1, then.minus(Duration::from_secs(1)))).await.unwrap();
    let refused = world.commit(&store, call(2, later, 1, then.minus(Duration::from_secs(1)))).await;
    assert_eq!(contested(refused), Contested::Relay);
    world.commit(&store, call(2, later, 1, then)).await.unwrap();
    let (organization, user) = (world.organization.id, world.user.id);
    let made = async |since| store.relay_counts(organization, user, since).await.unwrap().user;
    assert_eq!(
        (made(then.minus(Duration::from_secs(1))).await, made(then).await, made(later).await),
        (2, 1, 0)
    );
}

async fn calls_of_an_organization_are_bounded_and_strangers_have_a_share(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let since = now().minus(Duration::from_secs(1));
    let call = |nonce, self_registered, max, self_registered_max| {
        let relay = Relay { id: id(RelayId::from_uuid), nonce, ..world.relay.clone() };
        let calls = UserQuota { organization: Quota { max, self_registered_max }, per_user_max: 9 };
        [Write::InsertRelay(world.seal(&relay), RelayQuota { calls, self_registered, since })]
    };
    // The world's user enrolled themselves.
    world.commit(&store, call(1, true, 9, 1)).await.unwrap();
    for refused in [call(2, true, 9, 1), call(2, false, 1, 9)] {
        assert_eq!(contested(world.commit(&store, refused).await), Contested::Relay);
    }
    world.commit(&store, call(2, false, 2, 1)).await.unwrap();
    let made = store.relay_counts(world.organization.id, id(PrincipalId::from_uuid), since).await.unwrap();
    assert_eq!(made, RelayCounts { organization: 2, self_registered: 2, user: 0 });
}

async fn encrypted_payloads_are_bounded_by_number_and_bytes(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let quota = |per_user_max, bytes_max, self_registered_bytes_max| PayloadQuota {
        per_user_max,
        bytes_max,
        self_registered_bytes_max,
    };
    let vouched = User { self_registered: false, ..world.user.clone() };
    let claim = |user: &User, quota| {
        let claim = SessionKeyClaim { session_key_digest: hash(), ..world.claim };
        [Write::ClaimSessionKey(claim, sample_room(user, quota))]
    };
    world.commit(&store, claim(&world.user, quota(1, 5_000, 5_000))).await.unwrap();
    for refused in [
        claim(&world.user, quota(1, 99_000, 99_000)),
        claim(&world.user, quota(9, 9_999, 99_000)),
        claim(&world.user, quota(9, 99_000, 9_999)),
        claim(&vouched, quota(9, 9_999, 99_000)),
    ] {
        assert_eq!(contested(world.commit(&store, refused).await), Contested::Quota);
    }
    world.commit(&store, claim(&vouched, quota(2, 10_000, 0))).await.unwrap();
    let again = [Write::ClaimSessionKey(world.claim, sample_room(&world.user, quota(3, 15_000, 15_000)))];
    world.commit(&store, again.clone()).await.unwrap();
    assert_eq!(contested(world.commit(&store, again).await), Contested::Quota);
    let tomorrow =
        PayloadRoom::new(quota(1, 5_000, 5_000), &world.user, "m", now().plus(Duration::from_hours(24)));
    let claim = SessionKeyClaim { session_key_digest: hash(), ..world.claim };
    world.commit(&store, [Write::ClaimSessionKey(claim, tomorrow)]).await.unwrap();
}

/// A block goes with the last payload that names it and is not withheld, whoever deletes.
async fn only_blocks_of_what_is_withheld_are_deleted(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let root = world.payload.root;
    world.commit(&store, [Write::InsertIpfsBlock { root, block: b"kept".to_vec() }]).await.unwrap();
    world.commit(&store, [Write::DeleteIpfsBlock(root)]).await.unwrap();
    assert!(store.ipfs_block(root).await.unwrap().is_some());
    let mut intruder = database.intruder().await;
    assert!(intruder.execute("DELETE FROM ipfs_blocks").await.is_err());
    let withheld = EncryptedPayload { submission: Submission::Withheld, version: 2, ..world.payload.clone() };
    let changes = [Write::UpdateEncryptedPayload(world.seal(&withheld)), Write::DeleteIpfsBlock(root)];
    world.commit(&store, changes).await.unwrap();
    assert!(store.ipfs_block(root).await.unwrap().is_none());
}

async fn interrupted_keys_are_listed_by_age(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let old = KeyRecord { created_at: now().plus(Duration::from_secs(1)), ..another(&world, false) };
    let older = KeyRecord { created_at: now(), ..another(&world, true) };
    for key in [&old, &older] {
        world.commit(&store, [Write::InsertKey(world.seal(key))]).await.unwrap();
    }
    let listed = |before, limit| store.unfinished_keys(before, limit);
    let ids = |keys: Vec<gateway_domain::sealed::Sealed<KeyRecord>>| {
        keys.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let later = old.created_at.plus(Duration::from_secs(1));
    assert_eq!(ids(listed(later, 10).await.unwrap()), [older.id, old.id]);
    assert_eq!(ids(listed(later, 1).await.unwrap()), [older.id]);
    assert_eq!(ids(listed(old.created_at, 10).await.unwrap()), [older.id]);
}

fn own_key(world: &World) -> ApiKey {
    let id = id(CredentialId::from_uuid);
    let (public_id, principal) = (format!("own-{id}"), world.user.id);
    let (label, expires_at, revoked_at) = (Label::User, None, None);
    ApiKey { id, public_id, principal, label, expires_at, revoked_at, ..world.api_key.clone() }
}

fn made(world: &World, key: &ApiKey, most: u32) -> [Write; 2] {
    let User { organization, id, version, .. } = world.user;
    [
        Write::RequireUser((organization, id), UserCondition::Version(version)),
        Write::InsertUserApiKey(world.seal(key), most),
    ]
}

async fn keys_of_one_user_at_once_do_not_pass_their_number_together(database: &Database) {
    let first = Arc::new(database.store().await);
    let second = if database.is_postgres { Arc::new(database.store().await) } else { first.clone() };
    let gateways = [first, second];
    let world = Arc::new(World::founded(&gateways[0]).await);
    let mut writers = JoinSet::new();
    for writer in 0..20 {
        let (store, world) = (gateways[writer % 2].clone(), world.clone());
        writers.spawn(async move {
            let committed = world.commit(&store, made(&world, &own_key(&world), 3)).await;
            if committed.is_err() {
                assert_eq!(contested(committed), Contested::Quota);
                return false;
            }
            true
        });
    }
    let stored = writers.join_all().await.into_iter().filter(|stored| *stored).count();
    assert_eq!(stored, 3);
    let expired = ApiKey { expires_at: Some(now()), ..own_key(&world) };
    assert_eq!(contested(world.commit(&gateways[0], made(&world, &expired, 3)).await), Contested::Quota);
    let (organization, user) = (world.organization.id, world.user.id);
    let active = gateways[0].active_user_api_key_count(organization, user, now()).await.unwrap();
    assert_eq!(active, 3);
}

/// Whose wallet was switched has none of the keys from before.
async fn ending_a_users_keys_and_making_one_exclude_each_other(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let key = own_key(&world);
    world.commit(&store, made(&world, &key, 9)).await.unwrap();
    let (organization, user) = (world.organization.id, world.user.id);
    let switched = || Write::UpdateUser(world.seal(&User { version: 2, ..world.user.clone() }));
    let none_left = || Write::RequireUser((organization, user), UserCondition::NoActiveApiKey(now()));
    let unseen = world.commit(&store, [switched(), none_left()]).await;
    assert_eq!(contested(unseen), Contested::Version, "there is a key that the set does not end");
    let ended = ApiKey { revoked_at: Some(now()), version: 2, ..key };
    world.commit(&store, [switched(), Write::UpdateApiKey(world.seal(&ended)), none_left()]).await.unwrap();
    let late = world.commit(&store, made(&world, &own_key(&world), 9)).await;
    assert_eq!(contested(late), Contested::Version);
}
