//! Ethereum signatures: what they must cover, and that each has one effect.

use std::time::Duration;

use axum::http::Method;
use gateway_api::{ApiConfig, EthSignatureConfig, Rate, RateConfig};
use gateway_chains::evm::eip712::{Approval, Request, approval_signing_hash, request_signing_hash};
use gateway_domain::B256;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    wallet::Wallet,
    world::{CHAIN, Call, ORIGIN, World},
};

/// The second signature that verifies over the same digest.
fn malleated(signature: &[u8; 65]) -> [u8; 65] {
    let parsed = k256::ecdsa::Signature::from_slice(&signature[..64]).unwrap();
    let high =
        k256::ecdsa::Signature::from_scalars(parsed.r().to_bytes(), (-*parsed.s()).to_bytes()).unwrap();
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&high.to_bytes());
    bytes[64] = 27 + (1 - (signature[64] - 27));
    bytes
}

fn timed<'a>(call: Call<'a>, wallet: &Wallet, signature: &[u8], timestamp: u64) -> Call<'a> {
    call.signature(wallet, signature).header("x-ethereum-timestamp", &timestamp.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_fits_one_request_at_one_time_on_one_gateway() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    let (path, now) = (format!("/users/{}", wallet.address()), world.seconds());
    let elsewhere = "https://elsewhere.example";
    for (status, lines, body, timestamp) in [
        (200, [ORIGIN, "GET", &path], &b""[..], now),
        (200, [ORIGIN, "GET", &path], b"", now - 290),
        (401, [ORIGIN, "GET", &path], b"", now - 301),
        (401, [ORIGIN, "GET", &path], b"", now + 310),
        (401, [elsewhere, "GET", &path], b"", now),
        (401, [ORIGIN, "POST", &path], b"", now),
        (401, [ORIGIN, "GET", "/users"], b"", now),
        (401, [ORIGIN, "GET", &path], b"{}", now),
    ] {
        let signature = wallet.sign_request(lines, body, Some(timestamp));
        let reply = timed(world.get(&path), &wallet, &signature, timestamp).send().await;
        assert_eq!(reply.status.as_u16(), status, "{lines:?} {timestamp}: {}", reply.text);
    }
    // Signed for one time, sent with another.
    let signature = wallet.sign_request([ORIGIN, "GET", &path], b"", Some(now - 1));
    timed(world.get(&path), &wallet, &signature, now).send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_requests_are_accepted_for_the_first_chain_only() {
    let world = World::new().await;
    let wallet = Wallet::new(3);
    let body = serde_json::to_vec(&json!({"ethereumAddress": wallet.address()})).unwrap();
    let request = Request {
        origin: ORIGIN,
        method: "POST",
        path: "/users",
        body_hash: B256::new(Sha256::digest(&body).into()),
        timestamp: world.seconds(),
    };
    for (chain, status) in [(CHAIN + 1, 401), (CHAIN, 201)] {
        let signature = wallet.sign(request_signing_hash(&request, chain));
        let call = world.call(Method::POST, "/users").raw(body.clone());
        timed(call, &wallet, &signature, request.timestamp).send().await.expect(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_or_malleated_signature_has_no_second_effect() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let body = serde_json::to_vec(&json!({"ethereumAddress": wallet.address()})).unwrap();
    let timestamp = world.seconds();
    let signature = wallet.sign_request([ORIGIN, "POST", "/users"], &body, Some(timestamp));
    let post = |signature: [u8; 65]| {
        let call = world.call(Method::POST, "/users").raw(body.clone());
        timed(call, &wallet, &signature, timestamp).send()
    };
    post(malleated(&signature)).await.expect(401);
    post(signature).await.expect(201);
    let mut low_v = signature;
    low_v[64] -= 27;
    for replayed in [signature, low_v, malleated(&signature)] {
        let status = post(replayed).await.status.as_u16();
        assert!(status == 401 || status == 409, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_to_read_is_answered_once() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let proposed = world.propose(escrow, 5_000).await;
    let timestamp = world.seconds();
    for path in [
        format!("/users/{}", wallet.address()),
        format!("/transactions/users/{}", wallet.address()),
        format!("/transactions/{}/approval-status", proposed["requestHash"].as_str().unwrap()),
    ] {
        let read =
            |signature: [u8; 65], timestamp| timed(world.get(&path), &wallet, &signature, timestamp).send();
        let signature = wallet.sign_request([ORIGIN, "GET", &path], b"", Some(timestamp));
        read(signature, timestamp).await.expect(200);
        let mut low_v = signature;
        low_v[64] -= 27;
        for replayed in [signature, low_v] {
            read(replayed, timestamp).await.expect(401);
        }
        let later = wallet.sign_request([ORIGIN, "GET", &path], b"", Some(timestamp + 1));
        read(later, timestamp + 1).await.expect(200);
    }
    // What the window no longer lets in need not be remembered, whichever gateway's clock is asked.
    let path = format!("/users/{}", wallet.address());
    let signature = wallet.sign_request([ORIGIN, "GET", &path], b"", Some(timestamp + 5));
    timed(world.get(&path), &wallet, &signature, timestamp + 5).send().await.expect(200);
    world.clock.advance(Duration::from_secs(305));
    world.purge().await;
    timed(world.get(&path), &wallet, &signature, timestamp + 5).send().await.expect(401);
    world.clock.advance(Duration::from_secs(61));
    assert!(world.purge().await > 0);
    timed(world.get(&path), &wallet, &signature, timestamp + 5).send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_sign_are_shown_nothing_and_leave_nothing() {
    let world = World::new().await;
    let stranger = Wallet::new(9);
    let path = format!("/users/{}", stranger.address());
    for _ in 0..3 {
        world.get(&path).signed(&stranger).send().await.expect(404);
    }
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(world.purge().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_reads_at_a_rate_of_its_own() {
    let rates = RateConfig { wallet: Rate { burst: 2, period_ms: 3_600_000 }, ..RateConfig::default() };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let read =
        async |wallet: &Wallet| world.get(format!("/users/{}", wallet.address())).signed(wallet).send().await;
    for wallet in [&wallet, &other] {
        world.user(wallet).await;
    }
    for status in [200, 200, 429] {
        let reply = read(&wallet).await;
        reply.expect(status);
        assert_eq!(reply.headers.contains_key("retry-after"), status == 429);
    }
    read(&other).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_headers_are_named() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let (path, address) = (format!("/users/{}", wallet.address()), wallet.address().to_string());
    let good = "0x".to_owned() + &"11".repeat(64) + "1b";
    let now = world.seconds().to_string();
    for (headers, fault) in [
        (vec![("x-ethereum-address", "0x1234"), ("x-ethereum-signature", &good)], "x-ethereum-address"),
        (vec![("x-ethereum-address", &*address), ("x-ethereum-signature", "0x12")], "x-ethereum-signature"),
        (vec![("x-ethereum-address", &*address)], "x-ethereum-signature is required"),
        (vec![("x-ethereum-signature", &*good)], "x-ethereum-address is required"),
        (
            vec![
                ("x-ethereum-address", &*address),
                ("x-ethereum-address", &*address),
                ("x-ethereum-signature", &good),
            ],
            "given twice",
        ),
        (
            vec![
                ("x-ethereum-address", &*address),
                ("x-ethereum-signature", &good),
                ("x-ethereum-timestamp", "1.5"),
            ],
            "x-ethereum-timestamp",
        ),
        (
            vec![
                ("x-ethereum-address", &*address),
                ("x-ethereum-signature", &good),
                ("x-ethereum-timestamp", &now),
                ("x-ethereum-expires", &now),
            ],
            "exclude each other",
        ),
        (
            vec![("x-ethereum-address", &*address), ("x-ethereum-signature", &good)],
            "x-ethereum-timestamp is required",
        ),
    ] {
        let call = headers.into_iter().fold(world.get(&path), |call, (name, value)| call.header(name, value));
        let reply = call.send().await;
        reply.expect(400);
        assert!(reply.message().contains(fault), "{fault}: {}", reply.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn untimed_signatures_read_and_vote_where_allowed_and_never_create() {
    let eth_signature = EthSignatureConfig { allow_untimed: true, ..EthSignatureConfig::default() };
    let world = World::with(ApiConfig { eth_signature, ..ApiConfig::default() }).await;
    let wallet = Wallet::new(1);
    let body = serde_json::to_vec(&json!({"ethereumAddress": wallet.address()})).unwrap();
    let signature = wallet.sign_request([ORIGIN, "POST", "/users"], &body, None);
    world.call(Method::POST, "/users").raw(body).signature(&wallet, &signature).send().await.expect(400);

    let escrow = world.user(&wallet).await;
    let path = format!("/users/{}", wallet.address());
    let signature = wallet.sign_request([ORIGIN, "GET", &path], b"", None);
    world.get(&path).signature(&wallet, &signature).send().await.expect(200);

    let proposed = world.propose(escrow, 5_000).await;
    let path = format!("/transactions/{}/approvals", proposed["requestHash"].as_str().unwrap());
    let body = br#"{"approved":true}"#;
    let signature = wallet.sign_request([ORIGIN, "POST", &path], body, None);
    world.call(Method::POST, &path).raw(body).signature(&wallet, &signature).send().await.expect(201);
}

/// The vote itself, as form 3 signs it.
pub(crate) struct SignedVote {
    pub(crate) origin: String,
    /// Of `approval-status`.
    pub(crate) status: Value,
    pub(crate) approved: bool,
    pub(crate) expires: u64,
}

impl SignedVote {
    pub(crate) fn sign(&self, wallet: &Wallet) -> [u8; 65] {
        let text = |name: &str| self.status[name].as_str().unwrap();
        let approval = Approval {
            origin: &self.origin,
            organization: text("organization"),
            transaction_id: text("transactionId"),
            request_hash: text("requestHash").parse().unwrap(),
            intent_hash: text("intentHash").parse().unwrap(),
            approved: self.approved,
            expires: self.expires,
        };
        wallet.sign(approval_signing_hash(&approval, CHAIN))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_signature_fits_nothing_else() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let proposed = world.propose(escrow, 5_000).await;
        let path = format!("/transactions/{}/approval-status", proposed["requestHash"].as_str().unwrap());
        statuses.push(world.get(path).key(&world, "admin").send().await.expect(200));
    }
    let expires = world.seconds() + 600;
    let exact =
        || SignedVote { origin: ORIGIN.to_owned(), status: statuses[0].clone(), approved: true, expires };
    let path = format!("/transactions/{}/approvals", statuses[0]["requestHash"].as_str().unwrap());
    let send = |vote: SignedVote| {
        let signature = vote.sign(&wallet);
        let call = world.post(&path, &json!({"approved": true})).signature(&wallet, &signature);
        call.header("x-ethereum-expires", &vote.expires.to_string()).send()
    };
    let twisted = |change: fn(&mut SignedVote, &Value)| {
        let mut vote = exact();
        change(&mut vote, &statuses[1]);
        vote
    };
    for vote in [
        twisted(|vote, _| vote.origin = "https://elsewhere.example".to_owned()),
        twisted(|vote, _| vote.status["organization"] = json!("another")),
        twisted(|vote, other| vote.status["transactionId"] = other["transactionId"].clone()),
        twisted(|vote, other| vote.status["intentHash"] = other["intentHash"].clone()),
        twisted(|vote, other| vote.status["requestHash"] = other["requestHash"].clone()),
        twisted(|vote, _| vote.approved = false),
        twisted(|vote, _| vote.expires -= 601),
    ] {
        send(vote).await.expect(401);
    }
    let first = send(exact()).await.expect(201);
    assert_eq!((&first["type"], &first["transactionStatus"]), (&json!("user"), &json!("PENDING")));
    assert_eq!(send(exact()).await.expect(201)["id"], first["id"]);
    world.clock.advance(Duration::from_secs(601));
    send(exact()).await.expect(401);
}
