//! Logging in: every check of the contract's section 1.1 has its failing case.

use std::time::Duration;

use gateway_api::{ApiConfig, Rate, SiweConfig};
use gateway_domain::Timestamp;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    wallet::{Wallet, hex},
    world::{CHAIN, ORIGIN, Reply, World},
};

const DOMAIN: &str = "gateway.example";

/// What a login gives.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) user: Value,
}

pub(crate) fn without_login_rate() -> ApiConfig {
    let mut config = ApiConfig::default();
    config.rates.login = Rate { burst: 10_000, period_ms: 1 };
    config
}

pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.unix_micros()) * 1_000).unwrap();
    at.format(&Rfc3339).unwrap()
}

impl World {
    pub(crate) async fn nonce(&self) -> String {
        let reply = self.post("/auth/siwe/nonce", &json!({})).send().await.expect(200);
        reply["nonce"].as_str().unwrap().to_owned()
    }

    /// A message that logs in, with this nonce.
    pub(crate) fn sign_in(&self, wallet: &Wallet, nonce: &str) -> String {
        let (address, now) = (wallet.address().to_checksum(None), rfc3339(self.services.clock.now()));
        format!(
            "{DOMAIN} wants you to sign in with your Ethereum account:\n{address}\n\nSign in\n\nURI: {ORIGIN}/\n\
             Version: 1\nChain ID: {CHAIN}\nNonce: {nonce}\nIssued At: {now}"
        )
    }

    pub(crate) async fn verify(&self, wallet: &Wallet, message: &str) -> Reply {
        let signature = hex(&wallet.sign_text(message));
        self.post("/auth/siwe/verify", &json!({"message": message, "signature": signature})).send().await
    }

    /// On another chain than the world's first.
    pub(crate) async fn log_in_on(&self, wallet: &Wallet, chain: u64) -> Tokens {
        let message = self.sign_in(wallet, &self.nonce().await);
        let message = message.replace(&format!("Chain ID: {CHAIN}"), &format!("Chain ID: {chain}"));
        Tokens::of(&self.verify(wallet, &message).await.expect(200))
    }

    pub(crate) async fn log_in(&self, wallet: &Wallet) -> Tokens {
        let message = self.sign_in(wallet, &self.nonce().await);
        Tokens::of(&self.verify(wallet, &message).await.expect(200))
    }
}

impl Tokens {
    pub(crate) fn of(reply: &Value) -> Self {
        let text = |name: &str| reply[name].as_str().unwrap().to_owned();
        Self { access: text("accessToken"), refresh: text("refreshToken"), user: reply["user"].clone() }
    }
}

/// Logs in with a message that `spoil` changed before it was signed.
async fn check_refused(world: &World, case: &str, spoil: impl FnOnce(String) -> String) {
    let wallet = Wallet::new(1);
    let honest = world.sign_in(&wallet, &world.nonce().await);
    let spoilt = spoil(honest.clone());
    assert_ne!(spoilt, honest, "{case}");
    let reply = world.verify(&wallet, &spoilt).await;
    assert_eq!(reply.status, 401, "{case}: {}", reply.text);
    assert_eq!(reply.message(), "authentication failed", "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_logs_in_and_becomes_a_user_without_a_key() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, &world.nonce().await);
    let reply = world.verify(&wallet, &message).await.expect(200);
    assert_eq!((&reply["tokenType"], &reply["expiresIn"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(reply["refreshExpiresIn"], json!(2_592_000));
    let tokens = Tokens::of(&reply);
    assert_eq!(tokens.user["ethereumAddress"], json!(wallet.address().to_checksum(None)));
    assert_eq!(tokens.user["escrowAddress"], Value::Null);
    assert!(tokens.refresh.starts_with("rt_") && tokens.refresh.len() == 46, "{}", tokens.refresh);
    let me = world.get("/auth/me").bearer(&tokens.access).send().await.expect(200);
    assert_eq!(me, tokens.user);
    let again = world.log_in(&wallet).await;
    assert_eq!(again.user["id"], tokens.user["id"]);
    assert_ne!(again.access, tokens.access);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_outside_the_grammar_is_a_bad_request() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, &world.nonce().await).replace("Version: 1", "Version: 2");
    let reply = world.verify(&wallet, &message).await;
    reply.expect(400);
    assert!(reply.message().contains("`Version`"), "{}", reply.message());
    // A message that cannot be read uses no nonce up.
    world.verify(&wallet, &message.replace("Version: 2", "Version: 1")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn domain_scheme_uri_and_chain_must_be_ours() {
    let world = World::with(without_login_rate()).await;
    for (case, from, to) in [
        ("another domain", "gateway.example wants", "gateway.example.evil wants"),
        ("another port", "gateway.example wants", "gateway.example:8443 wants"),
        ("letter case of the domain", "gateway.example wants", "Gateway.example wants"),
        ("another scheme", "gateway.example wants", "http://gateway.example wants"),
        ("another URI", "URI: https://gateway.example/", "URI: https://evil.example/"),
        ("a URI with user information", "gateway.example/", "gateway.example@evil.example/"),
        ("a longer host", "gateway.example/", "gateway.example.evil/"),
        ("the URI's port", "gateway.example/", "gateway.example:443/"),
        ("the URI's scheme", "URI: https:", "URI: http:"),
        ("another chain", "Chain ID: 31337", "Chain ID: 1"),
    ] {
        check_refused(&world, case, |message| message.replacen(from, to, 1)).await;
    }
    let wallet = Wallet::new(1);
    for (from, to) in [
        ("gateway.example wants", "https://gateway.example wants"),
        ("URI: https://gateway.example/", "URI: https://gateway.example"),
        ("URI: https://gateway.example/", "URI: https://gateway.example?a#b"),
    ] {
        let message = world.sign_in(&wallet, &world.nonce().await).replacen(from, to, 1);
        world.verify(&wallet, &message).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_chains_can_be_configured() {
    let siwe = SiweConfig {
        origin: Some("http://app.example:3000".to_owned()),
        chain_ids: vec![1, 10],
        ..SiweConfig::default()
    };
    let world = World::with(ApiConfig { siwe, ..ApiConfig::default() }).await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, &world.nonce().await);
    world.verify(&wallet, &message).await.expect(401);
    let message = world.sign_in(&wallet, &world.nonce().await);
    let message = message.replace("gateway.example wants", "app.example:3000 wants");
    let message = message.replace(ORIGIN, "http://app.example:3000").replace("31337", "10");
    world.verify(&wallet, &message).await.expect(200);
    let reply = world.post("/auth/siwe/nonce", &json!({"chainId": CHAIN})).send().await;
    reply.expect(400);
    assert_eq!(reply.message(), "chainId must be one that logins are taken for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_ours_young_unused_and_for_this_address() {
    let world = World::with(without_login_rate()).await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    for unknown in ["12345678", "0123456789abcdefghijklmnopqrstuv", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        let message = world.sign_in(&wallet, unknown);
        world.verify(&wallet, &message).await.expect(401);
    }
    let nonce = world.nonce().await;
    let (head, last) = nonce.split_at(31);
    let forged = format!("{head}{}", if last == "0" { "1" } else { "0" });
    world.verify(&wallet, &world.sign_in(&wallet, &forged)).await.expect(401);

    let used = world.sign_in(&wallet, &world.nonce().await);
    world.verify(&wallet, &used).await.expect(200);
    world.verify(&wallet, &used).await.expect(401);

    let body = json!({"ethereumAddress": other.address(), "chainId": CHAIN});
    let bound = world.post("/auth/siwe/nonce", &body).send().await.expect(200);
    let bound = bound["nonce"].as_str().unwrap();
    world.verify(&wallet, &world.sign_in(&wallet, bound)).await.expect(401);
    world.verify(&other, &world.sign_in(&other, bound)).await.expect(200);

    let old = world.nonce().await;
    world.clock.advance(Duration::from_mins(5));
    world.verify(&wallet, &world.sign_in(&wallet, &old)).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_used_up_whether_or_not_the_signature_fits() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, &world.nonce().await);
    world.verify(&Wallet::new(2), &message).await.expect(401);
    world.verify(&wallet, &message).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_uses_the_nonce() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, &world.nonce().await);
    let tries = (0..8).map(|_| world.verify(&wallet, &message));
    let statuses: Vec<_> = futures::future::join_all(tries).await.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_the_message_hold() {
    let world = World::with(without_login_rate()).await;
    let now = world.services.clock.now();
    let minutes = |count| Duration::from_mins(count);
    let issued = |at: Timestamp| {
        move |message: String| {
            let start = message.find("Issued At: ").unwrap() + "Issued At: ".len();
            format!("{}{}", &message[..start], rfc3339(at))
        }
    };
    check_refused(&world, "too old", issued(now.minus(Duration::from_secs(601)))).await;
    check_refused(&world, "in the future", issued(now.plus(minutes(2)))).await;
    let line = |name: &'static str, at: Timestamp| {
        move |message: String| format!("{message}\n{name}: {}", rfc3339(at))
    };
    check_refused(&world, "expired", line("Expiration Time", now)).await;
    check_refused(&world, "not yet", line("Not Before", now.plus(minutes(1)))).await;
    let wallet = Wallet::new(1);
    for fits in [issued(now.minus(minutes(9))), issued(now.plus(Duration::from_secs(30)))] {
        let message = fits(world.sign_in(&wallet, &world.nonce().await));
        world.verify(&wallet, &message).await.expect(200);
    }
    let message = line("Expiration Time", now.plus(minutes(1)))(world.sign_in(&wallet, &world.nonce().await));
    let message = line("Not Before", now.minus(minutes(1)))(message);
    world.verify(&wallet, &message).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_form_of_the_right_signature_is_taken() {
    let world = World::with(without_login_rate()).await;
    let wallet = Wallet::new(1);
    let send = async |message: &str, signature: &[u8]| {
        let body = json!({"message": message, "signature": hex(signature)});
        world.post("/auth/siwe/verify", &body).send().await
    };
    let fresh = async || world.sign_in(&wallet, &world.nonce().await);

    let message = fresh().await;
    send(&message, &Wallet::new(2).sign_text(&message)).await.expect(401);
    let message = fresh().await;
    let mut high_s = wallet.sign_text(&message);
    let order = gateway_domain::U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    );
    let s = order.unwrap() - gateway_domain::U256::from_be_slice(&high_s[32..64]);
    high_s[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    high_s[64] = 27 + 28 - high_s[64];
    send(&message, &high_s).await.expect(401);
    let message = fresh().await;
    let mut other_v = wallet.sign_text(&message);
    other_v[64] += 8;
    send(&message, &other_v).await.expect(401);
    let message = fresh().await;
    let mut zero_v = wallet.sign_text(&message);
    zero_v[64] -= 27;
    send(&message, &zero_v).await.expect(200);

    let message = fresh().await;
    let reply = send(&message, &wallet.sign_text(&message)[..64]).await;
    reply.expect(400);
    assert_eq!(reply.message(), "signature must be 65 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_our_own_keys_does_not_log_in() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let wallet = Wallet::of_test_token(1);
    assert_eq!(wallet.address(), escrow);
    let message = world.sign_in(&wallet, &world.nonce().await);
    world.verify(&wallet, &message).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_user_does_not_log_in() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let tokens = world.log_in(&wallet).await;
    world.deactivate(&tokens.user).await;
    world.get("/auth/me").bearer(&tokens.access).send().await.expect(401);
    world.post("/auth/refresh", &json!({"refreshToken": tokens.refresh})).send().await.expect(401);
    let message = world.sign_in(&wallet, &world.nonce().await);
    world.verify(&wallet, &message).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_slowed_down_by_operation_and_source() {
    let mut config = ApiConfig::default();
    config.rates.login = Rate { burst: 20, period_ms: 3_600_000 };
    let world = World::with(config).await;
    let ask = |path: &'static str, peer| world.post(path, &json!({})).peer(peer).send();
    let here = [192, 0, 2, 7];
    for path in ["/auth/siwe/nonce", "/auth/siwe/verify", "/auth/refresh"] {
        for _ in 0..20 {
            assert_ne!(ask(path, here).await.status, 429, "{path}");
        }
        let reply = ask(path, here).await;
        reply.expect(429);
        assert!(reply.headers.contains_key("retry-after"));
        assert_ne!(ask(path, [192, 0, 2, 8]).await.status, 429, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_charged_to_the_source() {
    let mut config = without_login_rate();
    config.rates.failures = Rate { burst: 3, period_ms: 60_000 };
    let world = World::with(config).await;
    let wallet = Wallet::new(1);
    let message = world.sign_in(&wallet, "12345678");
    for _ in 0..3 {
        world.verify(&wallet, &message).await.expect(401);
    }
    world.verify(&wallet, &message).await.expect(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_hsm_nobody_logs_in_and_no_session_is_left() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let tokens = world.log_in(&wallet).await;
    world.token_signer.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let message = world.sign_in(&wallet, &world.nonce().await);
    let reply = world.verify(&wallet, &message).await;
    reply.expect(503);
    assert!(reply.headers.contains_key("retry-after"));
    let body = json!({"refreshToken": tokens.refresh});
    world.post("/auth/refresh", &body).send().await.expect(503);
    // Tokens are checked without it.
    world.get("/auth/me").bearer(&tokens.access).send().await.expect(200);
    world.token_signer.away.store(false, std::sync::atomic::Ordering::SeqCst);
    // The exchange that failed used nothing up.
    world.post("/auth/refresh", &body).send().await.expect(200);
}
