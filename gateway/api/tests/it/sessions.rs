//! What becomes of a session, and which tokens are taken.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use gateway_domain::{
    OpCtx,
    actor::Actor,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    identity::Principal,
};
use serde_json::{Value, json};

use crate::{
    doubles::token_key,
    sign_in::{Tokens, without_login_rate},
    wallet::Wallet,
    world::{ORIGIN, Reply, SESSIONS_PER_USER_MAX, World},
};

impl World {
    async fn refresh(&self, refresh: &str) -> Reply {
        self.post("/auth/refresh", &json!({"refreshToken": refresh})).send().await
    }

    async fn log_out(&self, refresh: &str) -> u16 {
        let reply = self.post("/auth/logout", &json!({"refreshToken": refresh})).send().await;
        reply.status.as_u16()
    }

    /// What an operator does to a user.
    pub(crate) async fn deactivate(&self, user: &Value) {
        let id = user["id"].as_str().unwrap().parse().unwrap();
        let found = self.services.store.principals(self.organization, &[id]).await.unwrap().remove(0);
        let version = found.version + 1;
        let principal = Principal { active: false, version, ..found.into_value() };
        let now = self.services.clock.now();
        let ctx = OpCtx { actor: Actor::LocalOperator, ..OpCtx::gateway(self.organization, now) };
        let event = AuditEvent::new(&ctx, "principal.deactivated", id.to_string(), json!({}));
        let write = Write::UpdatePrincipal(self.services.sealer.seal(principal));
        self.services.store.commit(ChangeSet::new(event).write(write)).await.unwrap();
    }

    async fn me(&self, access: &str) -> u16 {
        self.get("/auth/me").bearer(access).send().await.status.as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_exchanged_once_and_a_second_use_ends_the_session() {
    let world = World::new().await;
    let first = world.log_in(&Wallet::new(1)).await;
    let second = Tokens::of(&world.refresh(&first.refresh).await.expect(200));
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.user, first.user);
    let third = Tokens::of(&world.refresh(&second.refresh).await.expect(200));
    assert_eq!((world.me(&first.access).await, world.me(&third.access).await), (200, 200));

    assert_eq!(world.refresh(&first.refresh).await.message(), "authentication failed");
    for ended in [&first, &second, &third] {
        assert_eq!(world.me(&ended.access).await, 401);
        world.refresh(&ended.refresh).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_exchanges_at_once_at_most_one_succeeds() {
    let world = World::with(without_login_rate()).await;
    for _ in 0..8 {
        let tokens = world.log_in(&Wallet::new(1)).await;
        let replies = futures::join!(world.refresh(&tokens.refresh), world.refresh(&tokens.refresh));
        let statuses = [replies.0.status.as_u16(), replies.1.status.as_u16()];
        assert_eq!(statuses.iter().sum::<u16>(), 200 + 401, "{statuses:?}");
        assert_eq!(world.me(&tokens.access).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_expires_and_so_does_its_session() {
    let world = World::new().await;
    let tokens = world.log_in(&Wallet::new(1)).await;
    world.clock.advance(Duration::from_hours(719));
    let tokens = Tokens::of(&world.refresh(&tokens.refresh).await.expect(200));
    world.clock.advance(Duration::from_hours(719));
    let tokens = Tokens::of(&world.refresh(&tokens.refresh).await.expect(200));
    world.clock.advance(Duration::from_hours(720));
    world.refresh(&tokens.refresh).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_no_session_are_unknown() {
    let world = World::new().await;
    let unknown = format!("rt_{}", URL_SAFE_NO_PAD.encode([7; 32]));
    let tokens = world.log_in(&Wallet::new(1)).await;
    let padded = format!("{}=", tokens.refresh);
    for text in [unknown.as_str(), "rt_", "", "rt_x", &tokens.access, &padded, &tokens.refresh[3..]] {
        world.refresh(text).await.expect(401);
        assert_eq!(world.log_out(text).await, 401);
    }
    world.refresh(&tokens.refresh).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_stops_the_sessions_tokens_at_once() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let (gone, kept) = (world.log_in(&wallet).await, world.log_in(&wallet).await);
    assert_eq!(world.log_out(&gone.refresh).await, 204);
    assert_eq!((world.me(&gone.access).await, world.me(&kept.access).await), (401, 200));
    world.refresh(&gone.refresh).await.expect(401);
    assert_eq!(world.log_out(&gone.refresh).await, 204);

    let newer = Tokens::of(&world.refresh(&kept.refresh).await.expect(200));
    assert_eq!(world.log_out(&kept.refresh).await, 204, "an older token of the session ends it too");
    assert_eq!(world.me(&newer.access).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_everywhere_ends_the_users_sessions_and_no_others() {
    let world = World::new().await;
    let (one, two) = (world.log_in(&Wallet::new(1)).await, world.log_in(&Wallet::new(1)).await);
    let other = world.log_in(&Wallet::new(2)).await;
    let reply = world.post("/auth/logout-all", &json!({})).bearer(&two.access).send().await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
    assert_eq!((world.me(&one.access).await, world.me(&two.access).await), (401, 401));
    assert_eq!(world.me(&other.access).await, 200);
    world.refresh(&one.refresh).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_session_than_allowed_ends_the_oldest() {
    let world = World::new().await;
    let mut sessions = Vec::new();
    for _ in 0..=SESSIONS_PER_USER_MAX {
        sessions.push(world.log_in(&Wallet::new(1)).await);
    }
    assert_eq!(world.me(&sessions[0].access).await, 401);
    for kept in &sessions[1..] {
        assert_eq!(world.me(&kept.access).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_tells_whose_it_is_until_it_ends() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let tokens = world.log_in(&wallet).await;
    let valid = world.get("/auth/validate").bearer(&tokens.access).send().await.expect(200);
    let claims = claims(&tokens.access);
    assert_eq!(valid["valid"], json!(true));
    assert_eq!((&valid["userId"], &valid["sessionId"]), (&claims["sub"], &claims["sid"]));
    assert_eq!(valid["userId"], tokens.user["id"]);
    assert_eq!(valid["ethereumAddress"], json!(wallet.address().to_checksum(None)));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ORIGIN), &json!("core")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    world.clock.advance(Duration::from_mins(15));
    assert_eq!(world.me(&tokens.access).await, 401);
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A token whose parts a forger chose, signed with the key of `seed`.
fn forged(header: &Value, claims: &Value, seed: u8) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let signature = token_key(seed).sign(input.as_bytes()).to_bytes();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_access_tokens_are_taken() {
    let world = World::new().await;
    let tokens = world.log_in(&Wallet::new(1)).await;
    let other = world.log_in(&Wallet::new(2)).await;
    let honest = claims(&tokens.access);
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "one"});
    assert_eq!(world.me(&forged(&header, &honest, 1)).await, 200, "the forger's tool works");
    let retiring = json!({"alg": "EdDSA", "kid": "retiring"});
    assert_eq!(world.me(&forged(&retiring, &honest, 2)).await, 200, "a key before a rotation is still taken");

    let now = honest["iat"].as_i64().unwrap();
    let mut untyped = honest.clone();
    untyped.as_object_mut().unwrap().remove("typ");
    let cases = [
        ("another key", forged(&header, &honest, 3)),
        ("the other key's id", forged(&retiring, &honest, 1)),
        ("an unknown key id", forged(&with(&header, "kid", json!("three")), &honest, 1)),
        ("no key id", forged(&json!({"alg": "EdDSA"}), &honest, 1)),
        ("alg none", forged(&with(&header, "alg", json!("none")), &honest, 1)),
        ("alg HS256", forged(&with(&header, "alg", json!("HS256")), &honest, 1)),
        ("alg ES256", forged(&with(&header, "alg", json!("ES256")), &honest, 1)),
        ("another issuer", forged(&header, &with(&honest, "iss", json!("https://other.example")), 1)),
        ("another family", forged(&header, &with(&honest, "aud", json!("fordefi")), 1)),
        ("another type", forged(&header, &with(&honest, "typ", json!("refresh")), 1)),
        ("no type", forged(&header, &untyped, 1)),
        ("expired", forged(&header, &with(&honest, "exp", json!(now)), 1)),
        ("not yet", forged(&header, &with(&honest, "nbf", json!(now + 600)), 1)),
        ("another user", forged(&header, &with(&honest, "sub", claims(&other.access)["sub"].clone()), 1)),
        ("no such session", forged(&header, &with(&honest, "sid", json!(uuid::Uuid::new_v4())), 1)),
        ("an unknown claim", forged(&header, &with(&honest, "admin", json!(true)), 1)),
    ];
    for (case, token) in cases {
        assert_eq!(world.me(&token).await, 401, "{case}");
    }
    let unsigned = tokens.access.rsplit_once('.').unwrap().0.to_owned();
    for text in [unsigned.clone(), format!("{unsigned}."), format!("{}x", tokens.access), "a.b.c".to_owned()]
    {
        assert_eq!(world.me(&text).await, 401, "{text}");
    }
    let twice = world.get("/auth/me").bearer(&tokens.access).bearer(&tokens.access).send().await;
    twice.expect(400);
    let lower = format!("bearer {}", tokens.access);
    world.get("/auth/me").header("authorization", &lower).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_of_one_organization() {
    let world = World::new().await;
    let tokens = world.log_in(&Wallet::new(1)).await;
    let elsewhere = |path: &'static str| world.get(path).header("host", World::OTHER_HOST);
    elsewhere("/auth/me").bearer(&tokens.access).send().await.expect(401);
    let body = json!({"refreshToken": tokens.refresh});
    let refresh = world.post("/auth/refresh", &body).header("host", World::OTHER_HOST).send().await;
    refresh.expect(401);
    let nonce = world.nonce().await;
    let message = world.sign_in(&Wallet::new(1), &nonce);
    let signature = crate::wallet::hex(&Wallet::new(1).sign_text(&message));
    let body = json!({"message": message, "signature": signature});
    let reply = world.post("/auth/siwe/verify", &body).header("host", World::OTHER_HOST).send().await;
    reply.expect(401);
    assert_eq!(world.me(&tokens.access).await, 200);
}
