//! OpenPGP keys of users: what is stored, what a second key does to the first, and the user's profile.

use std::{collections::BTreeSet, time::Duration};

use gateway_domain::{
    Address, Error, OpCtx, Timestamp,
    identity::{require_user, set_organization_frozen},
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, generate_key, retire_key},
    ports::{Publication, Services},
    quota::{Quota, UserQuota},
    registrations::{RegisterKey, Registration, RegistrationState, carry_registration, register_key},
    registry::{RegistryTarget, Relay, RelayOutcome},
    transactions::Progress,
};

use serde_json::json;

use crate::{
    wallet::{Wallet, hex},
    world::World,
};

mod possession;

const RSA: &str = include_str!("../../../openpgp/tests/it/fixtures/gpg-rsa.asc");
const SECOND_RSA: &str = include_str!("../../../openpgp/tests/it/fixtures/js-rsa.asc");
/// Of `gpg-curve.asc`.
const CURVE_SECRET: &str = include_str!("../../../openpgp/tests/it/fixtures/gpg-secret.asc");
const CURVE: &str = include_str!("../../../openpgp/tests/it/fixtures/js-curve.asc");

async fn register(world: &World, wallet: &Wallet, key: &str) -> Result<Registration, Error> {
    let user = require_user(&world.services, world.organization, wallet.address()).await.unwrap();
    let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
    let request = RegisterKey { user, public_key: key.to_owned(), signature: vec![1; 65], possession: None };
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
    assert_eq!(back.relay, first.relay, "one key is put on record once");
}

/// Works off what is due for the registration.
async fn carry(services: &Services, registration: &Registration) -> Progress {
    carry_registration(services, registration.organization, registration.id).await.unwrap()
}

async fn stored(world: &World, registration: &Registration) -> Registration {
    let found = world.services.store.registration(world.organization, registration.id).await.unwrap();
    found.unwrap().into_value()
}

async fn relay_of(world: &World, registration: &Registration) -> Option<Relay> {
    let found = world.services.store.relay(world.organization, registration.relay).await.unwrap();
    found.map(gateway_domain::sealed::Sealed::into_value)
}

async fn make_relayer(world: &World) {
    let wanted = GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Relayer,
        kinds: BTreeSet::new(),
        vault: None,
    };
    generate_key(&world.ctx(), &world.services, wanted, None).await.unwrap();
}

/// A world whose organization has a relayer key and whose user has asked for the record of a key.
async fn asked(world: &World) -> Registration {
    make_relayer(world).await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    register(world, &wallet, RSA).await.unwrap()
}

/// Keys in turn: each has one call, whose nonce it keeps, so that nothing waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_back_waits_for_the_call_it_has() {
    let world = World::new().await;
    let first = asked(&world).await;
    carry(&world.services, &first).await;
    let wallet = Wallet::new(1);
    let second = register(&world, &wallet, CURVE).await.unwrap();
    let back = register(&world, &wallet, RSA).await.unwrap();
    carry(&world.services, &second).await;
    assert_eq!(relay_of(&world, &back).await.unwrap().nonce, 0);
    assert_eq!(relay_of(&world, &second).await.unwrap().nonce, 1);
    world.node.mine(true);
    for registration in [&back, &second] {
        carry(&world.services, registration).await;
        let ended = stored(&world, registration).await.state;
        assert!(matches!(ended, RegistrationState::Registered { .. }), "{ended:?}");
    }
    let again = register(&world, &wallet, CURVE).await.unwrap();
    assert!(again.current && matches!(again.state, RegistrationState::Registered { .. }), "{again:?}");
    assert_eq!(
        world
            .services
            .store
            .relay_counts(world.organization, first.user, Timestamp::from_unix_micros(0))
            .await
            .unwrap()
            .user,
        2
    );
}

/// The contract keeps the key that was put on record last.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_back_is_the_last_on_record() {
    for second_is_recorded_first in [true, false] {
        let world = World::new().await;
        let first = asked(&world).await;
        world.node.mine(true);
        recorded(&world, &first).await;
        let wallet = Wallet::new(1);
        let second = register(&world, &wallet, CURVE).await.unwrap();
        if second_is_recorded_first {
            recorded(&world, &second).await;
        }
        let back = register(&world, &wallet, RSA).await.unwrap();
        assert_eq!(back.relay != first.relay, second_is_recorded_first, "{back:?}");
        if !second_is_recorded_first {
            recorded(&world, &second).await;
            let again = stored(&world, &back).await;
            assert_eq!((again.state, again.relay != first.relay), (RegistrationState::Pending, true));
        }
        recorded(&world, &back).await;
        let last = relay_of(&world, &stored(&world, &back).await).await.unwrap();
        assert_eq!(last.nonce, 2, "after the second's");
        let now = stored(&world, &back).await;
        assert_eq!(register(&world, &wallet, RSA).await.unwrap(), now, "and that is all");
    }
}

/// Nobody knows which of two records in one block came last.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_shares_its_block_with_another_goes_on_record_again() {
    let world = World::new().await;
    let first = asked(&world).await;
    world.node.mine(true);
    let second = register(&world, &Wallet::new(1), CURVE).await.unwrap();
    assert_eq!(carry(&world.services, &first).await, Progress::Done);
    assert_eq!(carry(&world.services, &second).await, Progress::Again(Duration::ZERO));
    let again = stored(&world, &second).await;
    assert_eq!((again.state, again.relay != second.relay), (RegistrationState::Pending, true));
    recorded(&world, &second).await;
    assert_eq!(relay_of(&world, &stored(&world, &second).await).await.unwrap().nonce, 2);
}

/// Works off what is due until the registration is on record, in a block of its own.
async fn recorded(world: &World, registration: &Registration) {
    world.node.next_block();
    for _ in 0..8 {
        if carry(&world.services, registration).await == Progress::Done {
            break;
        }
    }
    let state = stored(world, registration).await.state;
    assert!(matches!(state, RegistrationState::Registered { .. }), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_puts_so_many_keys_on_record_and_no_more() {
    let quota = |max, self_registered_max, per_user_max| UserQuota {
        organization: Quota { max, self_registered_max },
        per_user_max,
    };
    for keys in [quota(9, 9, 1), quota(1, 9, 9)] {
        let world = World::with_registry(|target| RegistryTarget { keys, ..target }).await;
        let wallet = Wallet::new(1);
        world.user(&wallet).await;
        register(&world, &wallet, RSA).await.unwrap();
        let refused = register(&world, &wallet, CURVE).await.unwrap_err();
        assert!(matches!(refused, Error::Exhausted { .. }), "{refused}");
        register(&world, &wallet, RSA).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_one_users_name_are_so_many_a_day_and_no_more() {
    let world = World::with_registry(|target| RegistryTarget {
        calls: UserQuota { per_user_max: 1, ..target.calls },
        ..target
    })
    .await;
    let first = asked(&world).await;
    let second = register(&world, &Wallet::new(1), CURVE).await.unwrap();
    carry(&world.services, &first).await;
    assert!(relay_of(&world, &first).await.is_some());
    assert_eq!(carry(&world.services, &second).await, Progress::Again(Duration::from_hours(1)));
    assert!(relay_of(&world, &second).await.is_none(), "the second waits for tomorrow");
    world.clock.advance(Duration::from_hours(24));
    carry(&world.services, &second).await;
    assert!(relay_of(&world, &second).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_an_organization_are_so_many_a_day_and_strangers_have_a_share() {
    for (max, self_registered_max, enrols_itself) in [(1, 9, false), (9, 1, true)] {
        let quota = Quota { max, self_registered_max };
        let world = World::with_registry(|target| RegistryTarget {
            calls: UserQuota { organization: quota, ..target.calls },
            ..target
        })
        .await;
        let wallets = [Wallet::new(2), Wallet::new(3)];
        for wallet in &wallets {
            if enrols_itself {
                world.log_in(wallet).await;
            } else {
                world.user(wallet).await;
            }
        }
        make_relayer(&world).await;
        let first = register(&world, &wallets[0], RSA).await.unwrap();
        let second = register(&world, &wallets[1], CURVE).await.unwrap();
        carry(&world.services, &first).await;
        assert!(relay_of(&world, &first).await.is_some());
        assert_eq!(carry(&world.services, &second).await, Progress::Again(Duration::from_hours(1)));
        let refused = register(&world, &wallets[1], SECOND_RSA).await.unwrap_err();
        assert!(matches!(refused, Error::Exhausted { .. }), "{refused}");
        if enrols_itself {
            let vouched = Wallet::new(1);
            world.user(&vouched).await;
            let third = register(&world, &vouched, SECOND_RSA).await.unwrap();
            carry(&world.services, &third).await;
            assert!(relay_of(&world, &third).await.is_some(), "strangers have used up their share only");
        }
    }
}

/// What was prepared for another contract is never signed; its nonce serves the call that takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_a_contract_that_is_no_longer_configured_gives_way_to_another() {
    let world = World::new().await;
    let registration = asked(&world).await;
    world.token.go_away(true);
    carry(&world.services, &registration).await;
    let stranded = relay_of(&world, &registration).await.unwrap();
    assert_eq!(stranded.outcome, RelayOutcome::Prepared);
    world.token.go_away(false);

    let elsewhere = Address::repeat_byte(0x77);
    let registry =
        world.services.publication.registry.map(|target| RegistryTarget { address: elsewhere, ..target });
    let publication = Publication { registry, ..world.services.publication.clone() };
    let services = Services { publication, ..world.services.clone() };
    assert_eq!(carry(&services, &registration).await, Progress::Again(Duration::ZERO));
    carry(&services, &registration).await;
    let again = stored(&world, &registration).await;
    assert_eq!(relay_of(&world, &registration).await.unwrap().outcome, RelayOutcome::Abandoned);
    let relay = relay_of(&world, &again).await.unwrap();
    assert_eq!((relay.registry, relay.nonce), (elsewhere, stranded.nonce));
    world.node.mine(true);
    carry(&services, &again).await;
    assert!(matches!(stored(&world, &again).await.state, RegistrationState::Registered { .. }));
}

/// Lower ceilings and a retired relayer key are no end either.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_no_longer_be_signed_gives_way_to_another() {
    let world = World::new().await;
    let registration = asked(&world).await;
    world.token.go_away(true);
    carry(&world.services, &registration).await;
    let stranded = relay_of(&world, &registration).await.unwrap();
    world.token.go_away(false);
    let registry =
        world.services.publication.registry.map(|target| RegistryTarget { gas_max: 20_000, ..target });
    let publication = Publication { registry, ..world.services.publication.clone() };
    let poor = Services { publication, ..world.services.clone() };
    carry(&poor, &registration).await;
    let again = stored(&world, &registration).await;
    assert_ne!(again.relay, stranded.id);
    carry(&poor, &again).await;
    assert!(relay_of(&world, &again).await.is_none(), "it waits for ceilings that the market allows");

    world.token.go_away(true);
    carry(&world.services, &again).await;
    world.token.go_away(false);
    let prepared = relay_of(&world, &again).await.unwrap();
    retire_key(&world.ctx(), &world.services, prepared.key).await.unwrap();
    carry(&world.services, &again).await;
    assert_eq!(relay_of(&world, &again).await.unwrap().outcome, RelayOutcome::Abandoned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_organization_puts_nothing_on_record() {
    let world = World::new().await;
    let registration = asked(&world).await;
    let freeze = async |frozen| {
        set_organization_frozen(&world.ctx(), &world.services, frozen).await.unwrap();
    };
    freeze(true).await;
    carry(&world.services, &registration).await;
    assert!(relay_of(&world, &registration).await.is_none());
    freeze(false).await;
    world.token.go_away(true);
    carry(&world.services, &registration).await;
    world.token.go_away(false);
    freeze(true).await;
    carry(&world.services, &registration).await;
    assert_eq!(relay_of(&world, &registration).await.unwrap().outcome, RelayOutcome::Prepared);
    freeze(false).await;
    carry(&world.services, &registration).await;
    let signed = relay_of(&world, &registration).await.unwrap().outcome;
    assert!(matches!(signed, RelayOutcome::Signed { .. }), "{signed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_user() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    world.user(&wallet).await;
    world.user(&other).await;
    register(&world, &wallet, RSA).await.unwrap();
    let taken = register(&world, &other, RSA).await.unwrap_err().to_string();
    assert!(taken.starts_with("pgpPublicKey is registered by another user, who has not shown"), "{taken}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_failed_is_told_apart_from_one_that_is_awaited() {
    let world = World::new().await;
    make_relayer(&world).await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    let access = world.log_in(&wallet).await.access;
    let body = json!({"pgpPublicKey": RSA, "signature": hex(&wallet.sign_text(RSA))});
    let register = || world.post("/user-api-keys/register", &body).bearer(&access).send();
    let profile = || world.get("/user-api-keys/profile").bearer(&access).send();
    let before = profile().await.expect(200);
    assert!(before.get("registrationStatus").is_none(), "{before}");
    world.node.mine(false);
    let made = register().await.expect(201);
    assert_eq!((&made["status"], made.get("failureReason")), (&json!("pending"), None), "{made}");
    world.work_until(async || profile().await.expect(200)["registrationStatus"] == "failed").await;
    let failed = profile().await.expect(200);
    assert_eq!(failed["registrationFailureReason"], "reverted", "{failed}");
    assert_eq!(failed["registered"], false);

    // The same key again begins another record.
    world.node.mine(true);
    assert_eq!(register().await.expect(201)["status"], "pending");
    world.work_until(async || profile().await.expect(200)["registered"] == true).await;
    let recorded = profile().await.expect(200);
    assert_eq!(recorded["registrationStatus"], "registered");
    assert!(recorded.get("registrationFailureReason").is_none(), "{recorded}");
    let again = register().await.expect(201);
    assert_eq!(again["status"], "registered");
    assert_eq!(again["registrationTxHash"], recorded["registrationTxHash"]);
}
