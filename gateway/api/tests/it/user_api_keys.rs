//! Keys that users make for their programs.

use std::time::Duration;

use gateway_domain::{
    Clock,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    credentials::ApiKey,
    ids::CredentialId,
    ports::UnitOfWork,
};
use serde_json::{Value, json};

use crate::{
    sign_in::{rfc3339, without_login_rate},
    wallet::Wallet,
    world::{World, limits},
};

impl World {
    async fn make_key(&self, access: &str) -> Value {
        self.post("/user-api-keys", &json!({"name": "bot"})).bearer(access).send().await.expect(201)
    }

    async fn listed(&self, access: &str) -> Vec<Value> {
        let keys = self.get("/user-api-keys").bearer(access).send().await.expect(200);
        keys.as_array().unwrap().clone()
    }

    async fn uses_key(&self, key: &Value, wallet: &Wallet) -> u16 {
        let path = format!("/transactions/users/{}", wallet.address());
        self.get(path).header("x-api-key", key["key"].as_str().unwrap()).send().await.status.as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_works_and_ends_at_once() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let key = world.make_key(&access).await;
    let text = key["key"].as_str().unwrap();
    assert!(text.starts_with(key["keyPrefix"].as_str().unwrap()), "{key}");
    assert_eq!(
        key["scopes"],
        json!(["transactions:create:own", "transactions:approve:own", "transactions:read:own"])
    );
    assert_eq!(
        (&key["name"], &key["label"], &key["isActive"]),
        (&json!("bot"), &json!("user"), &json!(true))
    );
    assert_eq!(world.uses_key(&key, &wallet).await, 200);
    assert_eq!(world.uses_key(&key, &Wallet::new(2)).await, 403);

    let newer = world.make_key(&access).await;
    let listed = world.listed(&access).await;
    assert_eq!(listed.iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&newer["id"], &key["id"]]);
    assert!(listed.iter().all(|one| one.get("key").is_none()));

    let path = format!("/user-api-keys/{}", key["id"].as_str().unwrap());
    let revoke = || world.call(axum::http::Method::DELETE, path.clone()).bearer(&access).send();
    let revoked = revoke().await.expect(200);
    assert_eq!(revoked["isActive"], json!(false));
    assert_eq!(world.uses_key(&key, &wallet).await, 401);
    assert_eq!(revoke().await.expect(200)["revokedAt"], revoked["revokedAt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_brings_the_escrow_key_with_it() {
    let world = World::new().await;
    let tokens = world.log_in(&Wallet::new(1)).await;
    world.make_key(&tokens.access).await;
    let me = world.get("/auth/me").bearer(&tokens.access).send().await.expect(200);
    let escrow = me["escrowAddress"].as_str().unwrap().to_owned();
    world.make_key(&tokens.access).await;
    let me = world.get("/auth/me").bearer(&tokens.access).send().await.expect(200);
    assert_eq!(me["escrowAddress"].as_str(), Some(escrow.as_str()));
}

/// What its owner does to keys costs the transactions that are being signed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_key_changes_nothing_of_its_user() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    world.make_key(&access).await;
    let store = &world.services.store;
    let user = async || store.user_by_address(world.organization, wallet.address()).await.unwrap().unwrap();
    let before = user().await;
    let standing = store.standing_revision(world.organization, before.id).await.unwrap();
    world.make_key(&access).await;
    assert_eq!(user().await, before);
    assert_eq!(store.standing_revision(world.organization, before.id).await.unwrap(), standing);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_keys_are_not_found() {
    let world = World::new().await;
    let (own, other) = (world.log_in(&Wallet::new(1)).await, world.log_in(&Wallet::new(2)).await);
    let key = world.make_key(&own.access).await;
    assert!(world.listed(&other.access).await.is_empty());
    let unknown = uuid::Uuid::new_v4().to_string();
    let server = world.key_ids["agent"].to_string();
    for id in [key["id"].as_str().unwrap(), &unknown, &server] {
        let path = format!("/user-api-keys/{id}");
        let reply = world.call(axum::http::Method::DELETE, path).bearer(&other.access).send().await;
        reply.expect(404);
    }
    let reply =
        world.call(axum::http::Method::DELETE, "/user-api-keys/nonsense").bearer(&own.access).send().await;
    reply.expect(400);
    assert_eq!(reply.message(), "apiKeyId must be a UUID");
}

/// Whoever has stolen a session makes a key and buries it under others.
#[tokio::test(flavor = "multi_thread")]
async fn an_active_key_is_listed_however_many_were_made_after_it() {
    let world = World::with(without_login_rate()).await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let buried = world.make_key(&access).await;
    let owner = world.services.store.api_keys(world.organization, &[key_id(&buried)]).await.unwrap();
    for number in 0..1_001 {
        let spent = ApiKey {
            id: CredentialId::from_uuid(uuid::Uuid::new_v4()),
            public_id: format!("spent{number}"),
            revoked_at: Some(world.clock.now()),
            created_at: world.clock.now().plus(Duration::from_secs(1)),
            ..(*owner[0]).clone()
        };
        let event = AuditEvent::new(&world.ctx(), "test.key", "key".to_owned(), json!({}));
        let insert = Write::InsertApiKey(world.services.sealer.seal(spent));
        let store: &dyn UnitOfWork = world.services.store.as_ref();
        store.commit(ChangeSet::new(event).write(insert)).await.unwrap();
    }
    let newest = world.make_key(&access).await;
    let listed = world.listed(&access).await;
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&newest["id"], &buried["id"]));
    assert_eq!(listed.len(), 1_000);
    let profile = world.get("/user-api-keys/profile").bearer(&access).send().await.expect(200);
    assert_eq!(profile["apiKeys"][1]["id"], buried["id"]);
}

fn key_id(key: &Value) -> CredentialId {
    CredentialId::from_uuid(key["id"].as_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let now = world.clock.now();
    let ask = |expiry| json!({"name": "bot", "expiresAt": rfc3339(expiry)});
    let reply = world.post("/user-api-keys", &ask(now)).bearer(&access).send().await;
    reply.expect(400);
    assert_eq!(reply.message(), "expiresAt must lie in the future");
    let body = ask(now.plus(Duration::from_mins(5)));
    let key = world.post("/user-api-keys", &body).bearer(&access).send().await.expect(201);
    assert_eq!(world.uses_key(&key, &wallet).await, 200);
    world.clock.advance(Duration::from_mins(5));
    assert_eq!(world.uses_key(&key, &wallet).await, 401);
    assert_eq!(world.listed(&access).await[0]["isActive"], json!(false));
}

/// An offset may carry a time out of the years that can be shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_within_the_years_that_a_time_can_name() {
    let world = World::new().await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let ask = async |expiry: &str| {
        world
            .post("/user-api-keys", &json!({"name": "bot", "expiresAt": expiry}))
            .bearer(&access)
            .send()
            .await
    };
    for expiry in ["9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+00:01"] {
        let reply = ask(expiry).await;
        reply.expect(400);
        assert_eq!(reply.message(), "expiresAt must lie in the years 0000 to 9999 of UTC");
    }
    let last = ask("9999-12-31T23:58:59.999999-00:01").await.expect(201);
    assert_eq!(last["expiresAt"], json!("9999-12-31T23:59:59.999Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_active_keys_and_no_more() {
    let limits = gateway_domain::ports::Limits { user_api_keys_max: 2, ..limits() };
    let world = World::with_limits(without_login_rate(), limits).await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let tries = (0..4).map(|_| world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send());
    let replies = futures::future::join_all(tries).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 2, "{replies:?}");
    let refused = replies.iter().find(|reply| reply.status != 201).unwrap();
    refused.expect(400);
    assert_eq!(refused.message(), "a user may have at most 2 active API keys");
    let listed = world.listed(&access).await;
    let path = format!("/user-api-keys/{}", listed[0]["id"].as_str().unwrap());
    world.call(axum::http::Method::DELETE, path).bearer(&access).send().await.expect(200);
    world.make_key(&access).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_noted_once_an_interval() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let key = world.make_key(&access).await;
    assert_eq!(world.listed(&access).await[0].get("lastUsedAt"), None);
    world.uses_key(&key, &wallet).await;
    let first = world.noted(&access, None).await;
    world.clock.advance(Duration::from_secs(30));
    world.uses_key(&key, &wallet).await;
    world.clock.advance(Duration::from_secs(30));
    world.uses_key(&key, &wallet).await;
    let second = world.noted(&access, Some(&first)).await;
    assert!(second > first, "{second} is not later than {first}");
}

impl World {
    /// `lastUsedAt` once it is there and not `earlier`: uses are noted in tasks of their own.
    async fn noted(&self, access: &str, earlier: Option<&str>) -> String {
        let noted = async {
            loop {
                let listed = self.listed(access).await;
                if let Some(at) = listed[0]["lastUsedAt"].as_str().filter(|at| Some(*at) != earlier) {
                    return at.to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), noted).await.expect("a use is noted")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_hsm_or_a_quota_a_first_key_waits() {
    let limits = gateway_domain::ports::Limits { wallet_keys_max: 0, ..limits() };
    let world = World::with_limits(without_login_rate(), limits).await;
    let access = world.log_in(&Wallet::new(1)).await.access;
    let reply = world.post("/user-api-keys", &json!({"name": "bot"})).bearer(&access).send().await;
    reply.expect(429);
    let reply =
        world.call(axum::http::Method::PUT, "/settings").json(&json!({})).bearer(&access).send().await;
    reply.expect(429);
    assert!(world.listed(&access).await.is_empty());
}
