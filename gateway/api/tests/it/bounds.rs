//! Every bound of the edge, each by a test that reaches it; and what leaves the gateway when things go wrong.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::http::Method;
use gateway_api::{ApiConfig, Rate, RateConfig};
use gateway_domain::{Error, evaluations::Verdict, ports::Limits, vendors::VendorError};
use serde_json::json;

use crate::{
    vendors::MEMBER_KEY,
    wallet::Wallet,
    world::{Reply, World, limits, transfer},
};

const HOUR_MS: u64 = 3_600_000;
const NOWHERE: &str = "/users/0x0000000000000000000000000000000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn sizes() {
    let config = ApiConfig {
        body_bytes_max: 100,
        json_depth_max: 2,
        uri_bytes_max: 200,
        header_bytes_max: 300,
        ..ApiConfig::default()
    };
    let world = World::with(config).await;
    let post = |body: String| world.call(Method::POST, "/users").raw(body).key(&world, "admin").send();
    assert!(
        post(format!("\"{}\"", "x".repeat(99))).await.expect(413)["message"]
            .as_str()
            .unwrap()
            .contains("100")
    );
    post(format!("\"{}\"", "x".repeat(98))).await.expect(400);
    post("[[[]]]".to_owned()).await.expect(400);
    let declared =
        world.call(Method::POST, "/users").raw("{}").header("content-length", "101").key(&world, "admin");
    declared.send().await.expect(413);
    world.get(format!("/{}", "x".repeat(200))).send().await.expect(414);
    world.get("/").header("x-padding", &"x".repeat(300)).send().await.expect(431);
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_of_credentials_and_sources() {
    let rates = RateConfig {
        credential: Rate { burst: 2, period_ms: HOUR_MS },
        source: Rate { burst: 6, period_ms: HOUR_MS },
        ..RateConfig::default()
    };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    for status in [404, 404, 429] {
        let reply = world.get(NOWHERE).key(&world, "admin").send().await;
        reply.expect(status);
        assert_eq!(reply.headers.contains_key("retry-after"), status == 429);
    }
    world.get(NOWHERE).key(&world, "agent").send().await.expect(404);
    for status in [200, 200, 429] {
        world.get("/").send().await.expect(status);
    }
    world.get("/").peer([192, 0, 2, 1]).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_charged_to_the_source_and_not_to_the_key() {
    let rates = RateConfig { failures: Rate { burst: 2, period_ms: HOUR_MS }, ..RateConfig::default() };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    let guess = world.keys["agent"].clone() + "x";
    for status in [401, 401, 429, 429] {
        world.get(NOWHERE).header("x-api-key", &guess).peer([192, 0, 2, 1]).send().await.expect(status);
    }
    world.get(NOWHERE).key(&world, "agent").peer([192, 0, 2, 1]).send().await.expect(429);
    world.get(NOWHERE).key(&world, "agent").peer([192, 0, 2, 2]).send().await.expect(404);
    world.get("/").peer([192, 0, 2, 1]).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_and_the_time_each_may_take() {
    let config = ApiConfig {
        requests_in_flight_max: 1,
        request_timeout_ms: 3_000,
        inline_signing_wait_ms: 60_000,
        ..ApiConfig::default()
    };
    let world = World::with(config).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.token.gate.forget_permits(usize::MAX);
    let body = transfer(escrow, 1);
    let slow = world.post("/transactions", &body).key(&world, "admin").send();
    let meanwhile = async {
        // The slow request holds the only place from its first poll on.
        tokio::task::yield_now().await;
        world.get("/").send().await
    };
    let (slow, refused) = tokio::join!(slow, meanwhile);
    refused.expect(503);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(slow.expect(503)["message"].as_str().unwrap().contains("too long"));
    world.get("/").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_ever_for_a_signature() {
    let world = World::with(ApiConfig { inline_signing_wait_ms: 50, ..ApiConfig::default() }).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    world.token.gate.forget_permits(usize::MAX);
    let proposed = world.propose(escrow, 1).await;
    assert_eq!((&proposed["status"], &proposed["executionTxHash"]), (&json!("APPROVED"), &json!(null)));

    // The task goes on without the request that started it.
    world.token.gate.add_permits(1);
    let path = format!("/transactions/users/{}", wallet.address());
    let sent = async {
        loop {
            let listed = world.get(&path).key(&world, "admin").send().await.expect(200);
            if listed[0]["executionTxHash"].is_string() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sent).await.expect("the transaction is sent in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_ordinary_500_without_its_text() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let mut body = transfer(escrow, 1);
    body["note"] = json!("panic");
    let reply = world.post("/transactions", &body).key(&world, "admin").send().await;
    reply.expect(500);
    assert!(!reply.text.contains("canary"), "{}", reply.text);
    world.get("/").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_repeats_a_secret_or_a_value() {
    let world = World::new().await;
    let canary = "canary-7f3a";
    let key = world.keys["admin"].clone();
    let body = json!({"ethereumAddress": canary, "email": canary, "displayName": {"x": canary}});
    let replies = [
        world.post("/users", &body).key(&world, "admin").send().await,
        world.get(format!("/users/{canary}")).key(&world, "admin").send().await,
        world.get(NOWHERE).header("x-api-key", canary).send().await,
        world
            .get(NOWHERE)
            .header("x-ethereum-address", canary)
            .header("x-ethereum-signature", canary)
            .send()
            .await,
        world.get(format!("/{canary}")).send().await,
        world
            .call(Method::POST, "/users")
            .raw(format!("{{\"a\":\"{canary}\",}}"))
            .key(&world, "admin")
            .send()
            .await,
    ];
    for reply in replies {
        assert!(reply.status.is_client_error(), "{}", reply.text);
        let headers = format!("{:?}", reply.headers);
        for secret in [canary, &key] {
            assert!(!reply.text.contains(secret) && !headers.contains(secret), "{} {headers}", reply.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_browsers_to_keep_nothing() {
    let world = World::with(ApiConfig {
        cors_origins: vec!["https://app.example".to_owned()],
        ..ApiConfig::default()
    });
    let world = world.await;
    let reply = world.get("/").header("origin", "https://app.example").send().await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert_eq!(reply.headers["access-control-allow-origin"], "https://app.example");
    let other = world.get("/").header("origin", "https://elsewhere.example").send().await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    let refused = world.get(NOWHERE).header("origin", "https://app.example").send().await;
    refused.expect(401);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://app.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_the_gateways_own() {
    let world = World::new().await;
    let reply = world.get("/nowhere").header("x-request-id", "mine").send().await;
    let id = reply.expect(404)["requestId"].as_str().unwrap().to_owned();
    assert_ne!(id, "mine");
    assert_eq!(reply.headers["x-request-id"], *id);
}

#[tokio::test(flavor = "multi_thread")]
async fn wallet_keys_have_a_quota() {
    let limits = Limits { wallet_keys_max: 1, ..limits() };
    let world = World::with_limits(ApiConfig::default(), limits).await;
    world.user(&Wallet::new(1)).await;
    let second = json!({"ethereumAddress": Wallet::new(2).address()});
    let refused = world.post("/users", &second).key(&world, "admin").send().await;
    refused.expect(429);
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn integrations_with_a_vendor_have_a_quota() {
    let world = World::new().await;
    let body = json!({"commonName": "Gateway", "organization": "Example", "country": "US"});
    for (wallet, status) in [(1, 201), (2, 201), (3, 429)] {
        let access = world.log_in(&Wallet::new(wallet)).await.access;
        let made = world.post("/fireblocks/generate-csr/execution", &body).bearer(&access).send().await;
        made.expect(status);
        assert_eq!(made.headers.contains_key("retry-after"), status == 429);
    }
}

/// Who enrolled themselves cannot use up what others need (T25).
#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_a_share_of_the_integrations_and_no_more() {
    let world = World::new().await;
    let body = json!({"commonName": "Gateway", "organization": "Example", "country": "US"});
    world.user(&Wallet::new(4)).await;
    for (wallet, status) in [(1, 201), (2, 201), (3, 429), (4, 201)] {
        let access = world.log_in(&Wallet::new(wallet)).await.access;
        let made = world.post("/fireblocks/generate-csr/execution", &body).bearer(&access).send().await;
        made.expect(status);
    }
}

/// A quorum that was made at Privy stays there: forgetting the reference gives nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn quorums_made_at_a_vendor_have_a_quota() {
    let world = World::new().await;
    let names = AtomicUsize::new(0);
    let register = async |access: &str| {
        let name = format!("Ada {}", names.fetch_add(1, Ordering::SeqCst));
        world.register_quorum(access, &name).await
    };
    let first = world.log_in(&Wallet::new(1)).await.access;
    for _ in 0..2 {
        register(&first).await.expect(201);
        let path = "/settings/privy-quorum/execution";
        world.call(Method::DELETE, path).bearer(&first).send().await.expect(200);
    }
    let refused = register(&first).await;
    refused.expect(429);
    assert!(refused.headers.contains_key("retry-after"));
    let second = world.log_in(&Wallet::new(2)).await.access;
    register(&second).await.expect(201);
    register(&second).await.expect(429);
    // The last place of the organization is not for strangers.
    world.user(&Wallet::new(3)).await;
    let known = world.log_in(&Wallet::new(3)).await.access;
    register(&known).await.expect(201);
    register(&known).await.expect(429);
    assert_eq!(world.vendors.privy.quorums.load(Ordering::SeqCst), 4, "Privy was asked in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn arbiter_quorums_take_nothing_from_a_users_own() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let arbiter = async |name: &str| {
        let user = "did:privy:one";
        let body = json!({"displayName": name, "ethereumAddress": wallet.address(), "privyUserId": user});
        world.post("/privy-quorum", &body).key(&world, "agent").send().await
    };
    for (name, status) in [("one", 201), ("two", 201), ("three", 429)] {
        arbiter(name).await.expect(status);
    }
    for (name, status) in [("Ada 1", 201), ("Ada 2", 201), ("Ada 3", 429)] {
        world.register_quorum(&access, name).await.expect(status);
    }
}

impl World {
    async fn register_quorum(&self, access: &str, name: &str) -> Reply {
        let body = json!({"type": "execution", "displayName": name, "p256PublicKey": MEMBER_KEY});
        self.post("/settings/register-privy-quorum", &body).bearer(access).send().await
    }
}

/// What Privy refused or never heard of takes a place for a day. Whether something was made that it kept silent about, nobody
/// knows: the same again is asked under the same name.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_privy_uses_up_nobodys_quorums() {
    let world = World::new().await;
    let privy = &world.vendors.privy;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let fail = |fails: Option<fn() -> VendorError>| *privy.fails.lock().unwrap() = fails;
    let refusals: [fn() -> VendorError; 2] = [
        || VendorError::Refused { http_status: 400, code: None },
        || VendorError::NotSent(Error::unavailable("Privy", "unreachable")),
    ];
    for refusal in refusals {
        fail(Some(refusal));
        for name in ["Ada 1", "Ada 2", "Ada 1", "Ada 2"] {
            let reply = world.register_quorum(&access, name).await;
            assert!(matches!(reply.status.as_u16(), 400 | 502), "{reply:?}");
        }
        world.register_quorum(&access, "Ada 3").await.expect(429);
    }
    world.clock.advance(Duration::from_hours(24));
    let access = world.log_in(&Wallet::new(1)).await.access;
    fail(Some(|| VendorError::Unavailable("silence".into())));
    for _ in 0..4 {
        world.register_quorum(&access, "Ada").await.expect(502);
    }
    fail(None);
    world.register_quorum(&access, "Ada").await.expect(201);
    let asked = privy.quorum_keys.lock().unwrap().clone();
    let ada: BTreeSet<&String> = asked.iter().rev().take(5).collect();
    assert_eq!(ada.len(), 1, "one name for one quorum");
    world.register_quorum(&access, "Grace").await.expect(201);
    world.register_quorum(&access, "Edith").await.expect(429);
    world.clock.advance(Duration::from_hours(25));
    world.register_quorum(&world.log_in(&Wallet::new(1)).await.access, "Ada").await.expect(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_transaction_can_be_asked_for_again_so_often_and_no_more() {
    let limits = Limits { denied_tries_max: 2, ..limits() };
    let window = limits.denied_window;
    let world = World::with_limits(ApiConfig::default(), limits).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.plugin.say(Verdict::Reject, "not today", 1_000_000);
    for _ in 0..2 {
        assert_eq!(world.propose(escrow, 1).await["status"], "REJECTED");
    }
    // The plugin would now say yes; it is not asked.
    world.plugin.say(Verdict::Approve, "by mistake", 1_000_000);
    let again = || world.post("/transactions", &transfer(escrow, 1)).key(&world, "admin").send();
    again().await.expect(429);
    let other_amount = world.post("/transactions", &transfer(escrow, 2)).key(&world, "admin").send().await;
    other_amount.expect(429);
    let mut elsewhere = transfer(escrow, 1);
    elsewhere["to"] = json!(gateway_domain::Address::repeat_byte(0x43));
    let elsewhere = world.post("/transactions", &elsewhere).key(&world, "admin").send().await.expect(201);
    assert_eq!(elsewhere["status"], "APPROVED", "another recipient is another question");
    world.clock.advance(window);
    again().await.expect(201);
}
