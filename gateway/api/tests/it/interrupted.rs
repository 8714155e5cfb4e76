//! What a crash leaves between a key's reservation and its activation is ended, and the quota given back.

use std::{collections::BTreeSet, future::poll_fn, pin::pin, task::Poll, time::Duration};

use axum::http::Method;
use gateway_api::ApiConfig;
use gateway_domain::{
    OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    ids::KeyId,
    keys::{FinishedKeys, KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, WalletKeys, finish_unfinished_keys},
    ports::Limits,
    quota::Quota,
    sealed::Sealed,
    transactions::Kind,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    sign_in::without_login_rate,
    wallet::Wallet,
    world::{World, limits},
};

/// A reservation, and nothing after it.
async fn reserve(world: &World, purpose: KeyPurpose) -> Sealed<KeyRecord> {
    let services = &world.services;
    let now = services.clock.now();
    let reserved = services.sealer.seal(KeyRecord {
        id: KeyId::from_uuid(Uuid::new_v4()),
        organization: world.organization,
        token_id: "test".to_owned(),
        cka_id: Uuid::new_v4().into_bytes(),
        algorithm: KeyAlgorithm::Secp256k1,
        purpose,
        kinds: BTreeSet::from([Kind::Transaction]),
        public_key: None,
        address: None,
        state: KeyState::Generating,
        self_registered: false,
        frozen: false,
        vault: None,
        version: 1,
        created_at: now,
    });
    let write = match purpose {
        KeyPurpose::Wallet => {
            let quota = Quota { max: 10, self_registered_max: 10 };
            Write::InsertWalletKey(reserved.clone(), quota)
        }
        _ => Write::InsertKey(reserved.clone()),
    };
    let ctx = OpCtx::gateway(world.organization, now);
    let event = AuditEvent::new(&ctx, "key.reserved", format!("key {}", reserved.id), json!({}));
    services.store.commit(ChangeSet::new(event).write(write)).await.unwrap();
    reserved
}

async fn stored(world: &World, key: &KeyRecord) -> KeyRecord {
    let stored = world.services.store.key(world.organization, key.id).await.unwrap();
    stored.unwrap().into_value()
}

/// What `work` answers, unless it waits more often than `waits` times; then it is dropped, as the server drops the
/// request of a client that leaves.
async fn left_after<T>(waits: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), waits);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_escrow_key_is_made_leaves_no_key_without_a_user() {
    let world = World::with(without_login_rate()).await;
    let (services, organization) = (&world.services, world.organization);
    let mut linked = 0;
    for waits in 0.. {
        let wallet = Wallet::numbered(waits);
        let access = world.log_in(&wallet).await.access;
        let request = world.call(Method::PUT, "/settings").json(&json!({})).bearer(&access).send();
        let waits = usize::try_from(waits).unwrap();
        let answered = left_after(waits, request).await.is_some();
        // Whatever was on its way to the database is there before this.
        world.log_in(&wallet).await;
        world.clock.advance(Duration::from_mins(15));
        finish_unfinished_keys(services, services.clock.now(), 100).await.unwrap();
        let user = services.store.user_by_address(organization, wallet.address()).await.unwrap().unwrap();
        linked += u64::from(user.escrow.is_some());
        let in_use = services.store.wallet_keys(organization).await.unwrap();
        assert_eq!(in_use.count, linked, "left after waiting {waits} times");
        if answered {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_keys_are_adopted_or_retired() {
    let world = World::with_limits(ApiConfig::default(), Limits { wallet_keys_max: 2, ..limits() }).await;
    let services = &world.services;
    let (never_made, made) =
        (reserve(&world, KeyPurpose::Wallet).await, reserve(&world, KeyPurpose::Wallet).await);
    let relayer = reserve(&world, KeyPurpose::Relayer).await;
    for held in [&made, &relayer] {
        services.token_keys.generate(held).await.unwrap();
    }
    let enrol = || {
        let body = json!({"ethereumAddress": Wallet::new(1).address()});
        world.post("/users", &body).key(&world, "admin").send()
    };
    enrol().await.expect(429);

    let age = Duration::from_mins(15);
    let looked = async || {
        let before = services.clock.now().minus(age);
        finish_unfinished_keys(services, before, 100).await.unwrap()
    };
    assert_eq!(looked().await, FinishedKeys::default(), "their makers may still be at work");
    world.clock.advance(age + Duration::from_secs(1));
    assert_eq!(looked().await, FinishedKeys { adopted: 1, retired: 2, refused: 0 });

    let (never_made, made, relayer) =
        (stored(&world, &never_made).await, stored(&world, &made).await, stored(&world, &relayer).await);
    assert_eq!((never_made.state, never_made.address), (KeyState::Retired, None));
    assert_eq!(relayer.state, KeyState::Active);
    assert!(relayer.address.is_some() && relayer.public_key.is_some());
    assert_eq!(made.state, KeyState::Retired, "nobody was told its address");
    let address = made.address.unwrap();
    assert!(services.store.address_is_hsm_key(address).await.unwrap(), "nor may anybody claim it");
    let present = services.store.wallet_keys(world.organization).await.unwrap();
    assert_eq!(present, WalletKeys::default(), "the quota is given back");
    enrol().await.expect(201);
    assert_eq!(looked().await, FinishedKeys::default());
}
