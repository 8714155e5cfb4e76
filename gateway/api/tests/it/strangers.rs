//! What callers whom nobody let in can cost (T25), and what they signed for one tenant at another.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use futures::{StreamExt, stream};
use gateway_api::{ApiConfig, Rate, RateConfig};
use gateway_domain::{keys::WalletKeys, ports::Limits};
use serde_json::json;

use crate::{
    sign_in::without_login_rate,
    wallet::Wallet,
    world::{ORIGIN, TENANT_HOST, TENANT_ORIGIN, World, limits, transfer},
};

const HOUR_MS: u64 = 3_600_000;
const OPEN: Rate = Rate { burst: 10_000_000, period_ms: 1 };
const NOWHERE: &str = "/users/0x0000000000000000000000000000000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_registrations_stop_at_their_share_and_server_keys_still_enrol() {
    const REGISTRATIONS: u64 = 10_000;
    const SHARE: u64 = 50;
    let rates = RateConfig {
        registrations: OPEN,
        source: OPEN,
        credential: OPEN,
        failures: OPEN,
        ..RateConfig::default()
    };
    let limits = Limits { wallet_keys_max: 60, self_registered_keys_max: 50, ..limits() };
    let world = World::with_limits(ApiConfig { rates, ..ApiConfig::default() }, limits).await;
    let (enrolled, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    stream::iter(0..REGISTRATIONS)
        .for_each_concurrent(64, async |number| {
            let wallet = Wallet::numbered(number);
            let body = json!({"ethereumAddress": wallet.address()});
            let reply = world.post("/users", &body).signed(&wallet).send().await;
            let count = if reply.status == 201 { &enrolled } else { &refused };
            if reply.status != 201 {
                reply.expect(429);
                assert!(reply.message().contains("self-registration's share"), "{}", reply.text);
            }
            count.fetch_add(1, Ordering::SeqCst);
        })
        .await;
    assert_eq!(enrolled.load(Ordering::SeqCst), SHARE);
    assert_eq!(refused.load(Ordering::SeqCst), REGISTRATIONS - SHARE);
    assert_eq!(world.token.calls(), SHARE, "a refused registration asks nothing of the token");

    for number in 0..10 {
        world.user(&Wallet::numbered(REGISTRATIONS + number)).await;
    }
    let present = world.services.store.wallet_keys(world.organization).await.unwrap();
    assert_eq!(present, WalletKeys { count: 60, self_registered: SHARE });
    let body = json!({"ethereumAddress": Wallet::numbered(2 * REGISTRATIONS).address()});
    let full = world.post("/users", &body).key(&world, "admin").send().await;
    full.expect(429);
    assert!(full.message().contains("the organization's quota"), "{}", full.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn self_registration_has_a_rate_of_its_own_for_each_source() {
    let rates = RateConfig { registrations: Rate { burst: 2, period_ms: HOUR_MS }, ..RateConfig::default() };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    let register = async |seed: u8, peer: [u8; 4]| {
        let wallet = Wallet::new(seed);
        let body = json!({"ethereumAddress": wallet.address()});
        world.post("/users", &body).signed(&wallet).peer(peer).send().await
    };
    for (seed, peer, status) in [
        (1, [192, 0, 2, 1], 201),
        (2, [192, 0, 2, 1], 201),
        (3, [192, 0, 2, 1], 429),
        (3, [192, 0, 2, 2], 201),
    ] {
        let reply = register(seed, peer).await;
        reply.expect(status);
        assert_eq!(reply.headers.contains_key("retry-after"), status == 429);
    }
    let body = json!({"ethereumAddress": Wallet::new(4).address()});
    world.post("/users", &body).key(&world, "admin").peer([192, 0, 2, 1]).send().await.expect(201);
}

/// What strangers write stays, so they write so much and no more (T38); the organization vouches for whom it enrolled.
#[tokio::test(flavor = "multi_thread")]
async fn who_enrolled_themselves_changes_so_much_a_day_and_no_more() {
    let rates =
        RateConfig { changes: Rate { burst: 3, period_ms: 24 * HOUR_MS }, ..without_login_rate().rates };
    let world = World::with(ApiConfig { rates, ..ApiConfig::default() }).await;
    let change = async |access: &str| {
        world.call(Method::PUT, "/settings").json(&json!({})).bearer(access).send().await
    };
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let access = world.log_in(&wallet).await.access;
    let key = world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send().await.expect(201);
    let settings = change(&access).await.expect(200);
    // Another session of the same user, and what is refused for what it says, count as well.
    let access = world.log_in(&wallet).await.access;
    world.call(Method::PUT, "/settings").raw(b"{").bearer(&access).send().await.expect(400);
    let refused = change(&access).await;
    refused.expect(429);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((28_700..=28_800).contains(&wait), "a third of the day: {wait}");
    let body = transfer(settings["escrowAddress"].as_str().unwrap().parse().unwrap(), 1);
    let (id, key) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    world.post("/transactions", &body).header("x-api-key", key).send().await.expect(429);
    world.get("/settings").bearer(&access).send().await.expect(200);
    // Whoever has stolen a key and used all of it up does not keep the key by that.
    let revoke = world.call(Method::DELETE, format!("/user-api-keys/{id}"));
    revoke.bearer(&access).send().await.expect(200);
    let stolen = world.log_in(&wallet).await.refresh;
    let ended = world.post("/auth/logout", &json!({"refreshToken": stolen})).bearer(&access).send().await;
    assert_eq!(ended.status, 204);
    let ended = world.post("/auth/logout-all", &json!({})).bearer(&access).send().await;
    assert_eq!(ended.status, 204);

    let access = world.log_in(&other).await.access;
    change(&access).await.expect(200);
    world.user(&Wallet::new(3)).await;
    let access = world.log_in(&Wallet::new(3)).await.access;
    for _ in 0..5 {
        change(&access).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_bogus_keys_cost_their_sources_and_no_signature() {
    const GUESSES: u64 = 20_000;
    const SOURCES: u64 = 20;
    const SIGNATURES: u64 = 40;
    // However long the test takes, nobody gets a guess back, and every answer waits for its signature.
    let rates = RateConfig {
        failures: Rate { burst: 100, period_ms: HOUR_MS * 1_000 },
        source: OPEN,
        credential: OPEN,
        ..RateConfig::default()
    };
    let (request_timeout_ms, inline_signing_wait_ms) = (HOUR_MS, HOUR_MS);
    let config = ApiConfig { rates, request_timeout_ms, inline_signing_wait_ms, ..ApiConfig::default() };
    let world = World::with(config).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let before = world.token.calls();
    let (looked_at, waved_off) = (AtomicU64::new(0), AtomicU64::new(0));
    let guessing = stream::iter(0..GUESSES).for_each_concurrent(64, async |number| {
        // Half of them name a key that exists.
        let guess = match number % 2 {
            0 => format!("ck_agent_{number:012}_{}", "0".repeat(43)),
            _ => world.keys["agent"].clone() + "x",
        };
        let peer = [192, 0, 2, u8::try_from(number % SOURCES).unwrap()];
        let reply = world.get(NOWHERE).header("x-api-key", &guess).peer(peer).send().await;
        let count = if reply.status == 401 { &looked_at } else { &waved_off };
        if reply.status != 401 {
            reply.expect(429);
        }
        count.fetch_add(1, Ordering::SeqCst);
    });
    let signing = async {
        for value in 1..=SIGNATURES {
            let body = transfer(escrow, value);
            let reply = world.post("/transactions", &body).key(&world, "admin").send().await.expect(201);
            assert!(reply["executionTxHash"].is_string(), "{reply}");
        }
    };
    tokio::join!(guessing, signing);
    let looked_at = looked_at.load(Ordering::SeqCst);
    assert_eq!(looked_at, SOURCES * 100);
    assert_eq!(looked_at + waved_off.load(Ordering::SeqCst), GUESSES);
    assert_eq!(world.token.calls() - before, SIGNATURES, "a guess asks nothing of the token");
    world.get(NOWHERE).key(&world, "agent").send().await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_for_one_tenant_means_nothing_to_another() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let body = json!({"ethereumAddress": wallet.address()});
    let post = |host: &'static str, origin: &'static str| {
        world.post("/users", &body).header("host", host).signed_for(origin, &wallet).send()
    };
    // Captured on its way to one, sent to the other within its window: either way.
    post(TENANT_HOST, ORIGIN).await.expect(401);
    post("gateway.example", TENANT_ORIGIN).await.expect(401);
    post(TENANT_HOST, TENANT_ORIGIN).await.expect(201);
    post("gateway.example", ORIGIN).await.expect(201);
    let store = &world.services.store;
    for organization in [world.organization, world.tenant] {
        assert!(store.user_by_address(organization, wallet.address()).await.unwrap().is_some());
    }
}
