//! OpenPGP keys of users: what is stored, what a second key does to the first, and the user's profile.

use gateway_domain::{
    Error, OpCtx,
    identity::require_user,
    registrations::{RegisterKey, Registration, RegistrationState, register_key},
};

use serde_json::json;

use crate::{
    wallet::{Wallet, hex},
    world::World,
};

const RSA: &str = include_str!("../../../openpgp/tests/it/fixtures/gpg-rsa.asc");
const CURVE: &str = include_str!("../../../openpgp/tests/it/fixtures/js-curve.asc");

async fn register(world: &World, wallet: &Wallet, key: &str) -> Result<Registration, Error> {
    let user = require_user(&world.services, world.organization, wallet.address()).await.unwrap();
    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    let request = RegisterKey { user, public_key: key.to_owned(), signature: vec![1; 65] };
    register_key(&ctx, &world.services, &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_takes_the_place_of_the_first_which_stays_in_the_history() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    let store = &world.services.store;
    let first = register(&world, &wallet, RSA).await.unwrap();
    assert_eq!(first.state, RegistrationState::Pending);
    assert_eq!(register(&world, &wallet, RSA).await.unwrap(), first, "the same key changes nothing");

    let second = register(&world, &wallet, CURVE).await.unwrap();
    let current = store.current_registration(world.organization, first.user).await.unwrap().unwrap();
    assert_eq!(*current, second);
    let earlier = store.registration(world.organization, first.id).await.unwrap().unwrap();
    assert!(!earlier.current);

    let back = register(&world, &wallet, RSA).await.unwrap();
    assert_eq!((back.id, back.current), (first.id, true));
    assert_ne!(back.relay, first.relay, "it is put on record again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_user() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    world.user(&wallet).await;
    world.user(&other).await;
    register(&world, &wallet, RSA).await.unwrap();
    let taken = register(&world, &other, RSA).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict("pgpPublicKey is registered by another user")), "{taken}");
    let refused = register(&world, &other, "no key").await.unwrap_err();
    assert!(refused.to_string().starts_with("pgpPublicKey must be one ASCII-armored block"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_contract_nothing_is_registered() {
    let world = World::without_registry().await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    assert!(matches!(register(&world, &wallet, RSA).await, Err(Error::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_no_longer_than_allowed_for_the_record_and_the_profile_tells_of_it() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    let access = world.log_in(&wallet).await.access;
    let profile = || world.get("/user-api-keys/profile").bearer(&access).send();
    let before = profile().await.expect(200);
    assert_eq!((&before["registered"], &before["apiKeys"]), (&json!(false), &json!([])));
    assert!(before.get("pgpPublicKey").is_none() && before.get("pgpFingerprint").is_none(), "{before}");

    let register = |signer: &Wallet, key: &str| {
        let body = json!({"pgpPublicKey": key, "signature": hex(&signer.sign_text(key))});
        world.post("/user-api-keys/register", &body).bearer(&access).send()
    };
    let foreign = register(&Wallet::new(2), RSA).await;
    foreign.expect(400);
    assert_eq!(foreign.message(), "signature must be the user's personal_sign of pgpPublicKey");
    // The registry of these tests is never waited for.
    let made = register(&wallet, RSA).await.expect(201);
    assert!(made.get("registrationTxHash").is_none(), "{made}");
    world.idle().await;
    let after = profile().await.expect(200);
    assert_eq!(after["pgpFingerprint"], made["pgpFingerprint"]);
    assert_eq!((&after["pgpPublicKey"], &after["registered"]), (&json!(RSA), &json!(false)));
    assert_eq!(register(&wallet, RSA).await.expect(201), made, "the same key changes nothing");
}
