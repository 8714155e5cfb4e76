//! A public key is public: whoever has the key gets it back from whoever named it first.

use pgp::{
    composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey},
    crypto::hash::HashAlgorithm,
    types::Password,
};
use rand_08::rngs::OsRng;
use serde_json::{Value, json};

use super::{make_relayer, stored};
use crate::{
    registrations::CURVE_SECRET,
    wallet::{Wallet, hex},
    world::{ORIGIN, Reply, TENANT_ORIGIN, World},
};

/// The certificate of [`CURVE_SECRET`].
const KEY: &str = include_str!("../../../../openpgp/tests/it/fixtures/gpg-curve.asc");
const FINGERPRINT: &str = "194FE4FFB2AC4F3C951CF99E7F76390F6F8E2029";
const OTHER_KEY: &str = super::RSA;

fn text(origin: &str, wallet: &Wallet) -> String {
    format!("gateway-core-openpgp-v1 {origin} {} {FINGERPRINT}", wallet.address().to_checksum(None))
}

/// By the OpenPGP key.
fn sign(text: &str) -> String {
    let (secret, _) = SignedSecretKey::from_string(CURVE_SECRET).unwrap();
    let (key, password) = (&secret.primary_key, Password::empty());
    let data = text.as_bytes();
    let signature =
        DetachedSignature::sign_binary_data(OsRng, key, &password, HashAlgorithm::Sha256, data).unwrap();
    signature.to_armored_string(ArmorOptions::default()).unwrap()
}

/// Somebody's session.
struct Person<'w> {
    world: &'w World,
    wallet: Wallet,
    access: String,
}

impl<'w> Person<'w> {
    async fn new(world: &'w World, seed: u8) -> Self {
        let wallet = Wallet::new(seed);
        world.user(&wallet).await;
        let access = world.log_in(&wallet).await.access;
        Self { world, wallet, access }
    }

    async fn register(&self, key: &str, signature: Option<String>) -> Reply {
        let mut body = json!({"pgpPublicKey": key, "signature": hex(&self.wallet.sign_text(key))});
        if let Some(signature) = signature {
            body["pgpSignature"] = json!(signature);
        }
        self.world.post("/user-api-keys/register", &body).bearer(&self.access).send().await
    }

    fn proof(&self) -> String {
        sign(&text(ORIGIN, &self.wallet))
    }

    async fn profile(&self) -> Value {
        self.world.get("/user-api-keys/profile").bearer(&self.access).send().await.expect(200)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_key_takes_it_over_from_whoever_named_it_first_and_keeps_it() {
    let world = World::new().await;
    let (squatter, owner, other) =
        (Person::new(&world, 1).await, Person::new(&world, 2).await, Person::new(&world, 3).await);
    squatter.register(KEY, None).await.expect(201);
    let refused = owner.register(KEY, None).await;
    refused.expect(409);
    assert!(refused.message().contains("pgpSignature shows whose it is"), "{}", refused.message());

    let made = owner.register(KEY, Some(owner.proof())).await.expect(201);
    assert_eq!(made["pgpFingerprint"], FINGERPRINT);
    assert_eq!(owner.profile().await["pgpFingerprint"], FINGERPRINT);
    assert!(squatter.profile().await.get("pgpFingerprint").is_none(), "they have no key now");
    assert_eq!(owner.register(KEY, None).await.expect(201), made, "it stays theirs");

    // Nobody else gets it any more, a second holder of the key neither.
    squatter.register(KEY, None).await.expect(409);
    let second = other.register(KEY, Some(other.proof())).await;
    second.expect(409);
    assert_eq!(second.message(), "pgpPublicKey is registered by another user");
    squatter.register(OTHER_KEY, None).await.expect(201);
    assert_eq!(squatter.profile().await["pgpPublicKey"], OTHER_KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_shows_later_that_the_key_is_theirs() {
    let world = World::new().await;
    let (owner, other) = (Person::new(&world, 1).await, Person::new(&world, 2).await);
    let made = owner.register(KEY, None).await.expect(201);
    assert_eq!(owner.register(KEY, Some(owner.proof())).await.expect(201), made);
    other.register(KEY, Some(other.proof())).await.expect(409);
}

/// A signature is good for one wallet at one deployment's organization.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_for_somebody_else_shows_nothing() {
    let world = World::new().await;
    let (squatter, owner) = (Person::new(&world, 1).await, Person::new(&world, 2).await);
    owner.register(KEY, None).await.expect(201);
    let address = squatter.wallet.address();
    for (signature, rule) in [
        (sign(&text(ORIGIN, &owner.wallet)), "is no signature of what is to be signed by the key"),
        (sign(&text(TENANT_ORIGIN, &squatter.wallet)), "is no signature of what is to be signed by the key"),
        (sign(KEY), "is no signature of what is to be signed by the key"),
        ("nonsense".to_owned(), "must be one ASCII-armored block `PGP SIGNATURE` and nothing else"),
    ] {
        let refused = squatter.register(KEY, Some(signature)).await;
        refused.expect(400);
        let told = format!("pgpSignature {rule}: `gateway-core-openpgp-v1 {ORIGIN} {address} {FINGERPRINT}`");
        assert_eq!(refused.message(), told);
    }
    assert_eq!(owner.profile().await["pgpFingerprint"], FINGERPRINT);
}

/// The nonce that the first record holds is used up all the same, so nothing waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_under_way_goes_on_when_its_key_is_taken_over() {
    let world = World::new().await;
    make_relayer(&world).await;
    let (squatter, owner) = (Person::new(&world, 1).await, Person::new(&world, 2).await);
    squatter.register(KEY, None).await.expect(201);
    world.idle().await;
    owner.register(KEY, Some(owner.proof())).await.expect(201);
    world.node.mine(true);
    world.work_until(async || owner.profile().await["registered"] == true).await;
    let store = &world.services.store;
    let user = store.user_by_address(world.organization, squatter.wallet.address()).await.unwrap().unwrap();
    let rows = store.registrations(world.organization, user.id).await.unwrap();
    assert_eq!(rows.len(), 1, "the history keeps it");
    world.work_until(async || stored(&world, &rows[0]).await.state.name() == "registered").await;
    let taken = stored(&world, &rows[0]).await;
    assert!(taken.taken_over_at.is_some() && !taken.current, "{taken:?}");
}
