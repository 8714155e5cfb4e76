//! What may be received encrypted, and what is kept of it.

use axum::http::StatusCode;
use gateway_api::{ApiConfig, Rate, RateConfig};
use gateway_domain::{
    Address, B256,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    payloads::{EncryptedPayload, PayloadQuota, Submission, publish},
    ports::{Publication, Services, UnitOfWork},
    transactions::{Progress, abort},
    verification::VerificationService,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    encrypted::{body, hash, plaintext},
    openpgp::{BUILT_IN, encrypt},
    races::id_of,
    wallet::Wallet,
    world::{Reply, World},
};

async fn world_of(quota: PayloadQuota) -> World {
    World::changed(|services| {
        let publication = Publication { payloads: quota, ..services.publication.clone() };
        Services { publication, ..services }
    })
    .await
}

/// A message of its own for the built-in service, sent for the user.
async fn sent(world: &World, (wallet, escrow): (&Wallet, Address), number: u8) -> Reply {
    let service = world.services.store.verification_services(world.organization).await.unwrap()[0].id;
    let message = encrypt(&plaintext(escrow, hash(number)).to_string(), BUILT_IN);
    let body = body(wallet, escrow, hash(number), &message, service);
    world.post("/transactions", &body).key(world, "admin").send().await
}

/// A user who enrolled themselves, with a key of this gateway.
async fn stranger(world: &World, wallet: &Wallet) -> Address {
    let access = world.log_in(wallet).await.access;
    world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send().await.expect(201);
    let me = world.get("/auth/me").bearer(&access).send().await.expect(200);
    me["escrowAddress"].as_str().unwrap().parse().unwrap()
}

async fn payload_of(world: &World, made: &Value) -> EncryptedPayload {
    let found = world.services.store.encrypted_payload(world.organization, id_of(made)).await.unwrap();
    found.unwrap().into_value()
}

async fn block_of(world: &World, payload: &EncryptedPayload) -> Option<Vec<u8>> {
    world.services.store.ipfs_block(payload.root).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_a_user_are_so_many_a_day() {
    let quota = PayloadQuota { per_user_max: 2, bytes_max: 1 << 20, self_registered_bytes_max: 1 << 20 };
    let world = world_of(quota).await;
    world.built_in_service().await;
    let (one, other) = (Wallet::new(1), Wallet::new(2));
    let (first, second) = (world.user(&one).await, world.user(&other).await);
    for number in [1, 2] {
        sent(&world, (&one, first), number).await.expect(201);
    }
    let refused = sent(&world, (&one, first), 3).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    sent(&world, (&other, second), 4).await.expect(201);
    world.clock.advance(std::time::Duration::from_hours(24));
    sent(&world, (&one, first), 5).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_a_share_of_the_bytes() {
    let quota = PayloadQuota { per_user_max: 9, bytes_max: 8192, self_registered_bytes_max: 4096 };
    let world = world_of(quota).await;
    world.built_in_service().await;
    let (wallet, vouched) = (Wallet::new(1), Wallet::new(2));
    let (own, escrow) = (stranger(&world, &wallet).await, world.user(&vouched).await);
    sent(&world, (&wallet, own), 1).await.expect(201);
    let refused = sent(&world, (&wallet, own), 2).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    sent(&world, (&vouched, escrow), 3).await.expect(201);
    let refused = sent(&world, (&vouched, escrow), 4).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_be_opened_here_come_at_a_rate_of_their_own() {
    let rates = RateConfig { decryption: Rate { burst: 1, period_ms: 3_600_000 }, ..RateConfig::default() };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    world.built_in_service().await;
    let (one, other) = (Wallet::new(1), Wallet::new(2));
    let (first, second) = (world.user(&one).await, world.user(&other).await);
    sent(&world, (&one, first), 1).await.expect(201);
    let refused = sent(&world, (&one, first), 2).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    sent(&world, (&other, second), 3).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_refused_no_block_is_kept() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt("no request", BUILT_IN);
    let request = body(&wallet, escrow, hash(1), &message, service.id);
    let made = world.post("/transactions", &request).key(&world, "admin").send().await.expect(201);
    assert_eq!(made["status"], "REJECTED");
    let payload = payload_of(&world, &made).await;
    assert_eq!((block_of(&world, &payload).await, payload.submission), (None, Submission::Withheld));
    assert_eq!(payload.message_digest, B256::new(Sha256::digest(&message).into()), "the digest is evidence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_goes_when_its_transaction_ends_refused_before_it_was_on_record() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    world.built_in_service().await;
    // There is no relayer key: nothing is put on record.
    let made = sent(&world, (&wallet, escrow), 1).await.expect(201);
    world.idle().await;
    let payload = payload_of(&world, &made).await;
    assert!(block_of(&world, &payload).await.is_some());
    abort(&world.ctx(), &world.services, id_of(&made)).await.unwrap();
    let progress = publish(&world.services, world.organization, id_of(&made)).await.unwrap();
    assert_eq!(progress, Progress::Done);
    assert_eq!(payload_of(&world, &made).await.submission, Submission::Withheld);
    assert_eq!(block_of(&world, &payload).await, None);
}

/// The registry contract and IPFS speak of one block.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_leaf_is_recorded_and_kept_under_its_own_digest() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(1)).to_string(), BUILT_IN);
    let digest = B256::new(Sha256::digest(&message).into());
    // CIDv1, raw, SHA-256, 32 bytes, in base 16.
    let cid = format!("f01551220{}", hex::encode(digest));
    let mut request = body(&wallet, escrow, hash(1), &message, service.id);
    request["ipfsCid"] = json!(cid);
    let made = world.post("/transactions", &request).key(&world, "admin").send().await.expect(201);
    assert_eq!(made["ipfsCid"], cid);
    let payload = payload_of(&world, &made).await;
    assert_eq!(payload.root, digest);
    assert_eq!(block_of(&world, &payload).await.unwrap(), message.as_bytes());
    request["ipfsCid"] = json!(format!("f01551220{}", hex::encode([1; 32])));
    request["requestHash"] = json!(hash(2));
    world.post("/transactions", &request).key(&world, "admin").send().await.expect(400);
}

/// A client that saw no answer learns what became of its payment.
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_finds_its_transaction_whatever_has_changed_since() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let service = world.built_in_service().await;
    let message = encrypt(&plaintext(escrow, hash(1)).to_string(), BUILT_IN);
    let request = body(&wallet, escrow, hash(1), &message, service.id);
    let send = |body: &Value| {
        world.post("/transactions", body).key(&world, "admin").header("idempotency-key", "first").send()
    };
    let made = send(&request).await.expect(201);
    let disabled = VerificationService { active: false, version: service.version + 1, ..service };
    let event = AuditEvent::new(&world.ctx(), "test.disabled", "service".to_owned(), json!({}));
    let update = Write::UpdateVerificationService(world.services.sealer.seal(disabled));
    let store: &dyn UnitOfWork = world.services.store.as_ref();
    store.commit(ChangeSet::new(event).write(update)).await.unwrap();
    assert_eq!(send(&request).await.expect(201)["id"], made["id"]);
    let mut other = request.clone();
    other["requestHash"] = json!(hash(2));
    send(&other).await.expect(409);
    let unnamed = |body: &Value| world.post("/transactions", body).key(&world, "admin").send();
    assert_eq!(unnamed(&request).await.expect(201)["id"], made["id"], "its requestHash finds it too");
    unnamed(&other).await.expect(400);
}
