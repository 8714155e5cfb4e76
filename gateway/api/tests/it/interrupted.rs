//! What a crash leaves between a key's reservation and its activation is ended, and the quota given back.

use std::{collections::BTreeSet, time::Duration};

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

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_keys_are_adopted_or_retired() {
    let world = World::with_limits(ApiConfig::default(), Limits { wallet_keys_max: 2, ..limits() }).await;
    let services = &world.services;
    let (never_made, made) =
        (reserve(&world, KeyPurpose::Wallet).await, reserve(&world, KeyPurpose::Wallet).await);
    let relayer = reserve(&world, KeyPurpose::Relayer).await;
    for held in [&made, &relayer] {
        services.vault.generate(held).await.unwrap();
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
