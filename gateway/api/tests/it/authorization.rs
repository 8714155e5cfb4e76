//! Who may call what.

use std::collections::BTreeSet;

use axum::http::Method;
use gateway_api::openapi::{Family, openapi};
use gateway_domain::{Address, B256, OpCtx, credentials::revoke_api_key};
use serde_json::{Value, json};

use crate::{
    sign_in::without_login_rate,
    wallet::{Wallet, hex},
    world::{World, transfer},
};

const CALLERS: [&str; 9] =
    ["nobody", "admin", "agent", "arbiter", "orion", "wallet", "other wallet", "session", "other session"];

/// Expected statuses for a well-formed request, in the order of [`CALLERS`].
const MATRIX: &[(&str, &str, [u16; 9])] = &[
    ("GET", "/", [200; 9]),
    ("GET", "/health", [200; 9]),
    ("POST", "/auth/siwe/nonce", [200; 9]),
    ("POST", "/auth/siwe/verify", [401; 9]),
    ("POST", "/auth/refresh", [401; 9]),
    ("POST", "/auth/logout", [401; 9]),
    ("POST", "/auth/logout-all", [401, 401, 401, 401, 401, 401, 401, 204, 204]),
    ("GET", "/auth/validate", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("GET", "/auth/me", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("POST", "/users", [401, 409, 409, 403, 403, 409, 400, 401, 401]),
    ("GET", "/users/{ethereumAddress}", [401, 200, 200, 200, 403, 200, 404, 401, 401]),
    ("POST", "/user-api-keys", [401, 401, 401, 401, 401, 401, 401, 201, 201]),
    ("GET", "/user-api-keys", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("DELETE", "/user-api-keys/{apiKeyId}", [401, 401, 401, 401, 401, 401, 401, 404, 404]),
    ("GET", "/settings", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("PUT", "/settings", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("PUT", "/settings/privy-quorum/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("GET", "/settings/privy-quorum/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("DELETE", "/settings/privy-quorum/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("POST", "/settings/register-privy-quorum", [401, 401, 401, 401, 401, 401, 401, 201, 201]),
    ("POST", "/fireblocks/generate-csr/{type}", [401, 401, 401, 401, 401, 401, 401, 201, 201]),
    ("GET", "/fireblocks/csr/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("POST", "/fireblocks/complete/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("POST", "/fireblocks/validate/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("GET", "/fireblocks/integration/{type}", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("GET", "/fireblocks/integrations", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("GET", "/fireblocks/config/{type}/{ethereumAddress}", [401, 200, 200, 403, 403, 403, 403, 403, 403]),
    // The user's key is in the HSM, and no vendor executes for it.
    ("POST", "/fireblocks/admin/transactions", [401, 400, 401, 401, 401, 401, 401, 401, 401]),
    ("POST", "/privy-quorum", [401, 201, 201, 403, 403, 403, 403, 403, 403]),
    ("GET", "/settings/by-ethereum/{ethereumAddress}", [401, 200, 200, 200, 403, 401, 401, 200, 403]),
    ("POST", "/transactions", [401, 201, 403, 403, 403, 403, 403, 403, 403]),
    ("GET", "/transactions/users/{ethereumAddress}", [401, 200, 200, 200, 200, 200, 403, 200, 403]),
    ("POST", "/transactions/{requestHash}/approvals", [401, 403, 201, 201, 201, 201, 403, 401, 401]),
    ("GET", "/transactions/{requestHash}/approval-status", [401, 200, 200, 200, 200, 200, 404, 200, 404]),
    ("GET", "/verification-services", [200; 9]),
    ("GET", "/verification-services/active", [200; 9]),
    ("GET", "/verification-services/{id}", [200; 9]),
    ("GET", "/verification-services/inbox/{inbox}", [200; 9]),
    ("GET", "/verification-services/pgp-public-key/{key}", [200; 9]),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/tee-proof",
        [401, 200, 403, 403, 200, 401, 401, 401, 401],
    ),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/settlement",
        [401, 409, 403, 403, 409, 401, 401, 401, 401],
    ),
    ("GET", "/user-api-keys/profile", [401, 401, 401, 401, 401, 401, 401, 200, 200]),
    ("POST", "/user-api-keys/register", [401, 401, 401, 401, 401, 401, 401, 400, 400]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_caller_on_every_route() {
    let world = World::with(without_login_rate()).await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let escrow = world.user(&wallet).await;
    let service = world.outside_service().await;
    for (method, template, statuses) in MATRIX {
        for (caller, status) in CALLERS.iter().zip(statuses) {
            let proposed = world.propose(escrow, 5_000).await;
            let path = template
                .replace("{ethereumAddress}", &wallet.address().to_string())
                .replace("{type}", "execution")
                .replace("{apiKeyId}", "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45")
                .replace("{id}", &service.id.to_string())
                .replace("{inbox}", &service.inbox.to_string())
                .replace("{key}", &service.fingerprint.to_string())
                .replace("{requestHash}", proposed["requestHash"].as_str().unwrap());
            let mut call = world.call(method.parse::<Method>().unwrap(), path);
            if let Some(body) = body(&world, (method, template), (&wallet, escrow)) {
                call = call.json(&body);
            }
            call = match *caller {
                "nobody" => call,
                "wallet" => call.signed(&wallet),
                "other wallet" => call.signed(&other),
                "session" => call.bearer(&world.log_in(&wallet).await.access),
                "other session" => call.bearer(&world.log_in(&other).await.access),
                label => call.key(&world, label),
            };
            let reply = call.send().await;
            assert_eq!(reply.status.as_u16(), *status, "{method} {template} by {caller}: {}", reply.text);
        }
    }
}

/// What a request to the operation says when it is well-formed.
fn body(
    world: &World,
    (method, template): (&str, &str),
    (wallet, escrow): (&Wallet, Address),
) -> Option<Value> {
    let body = match (method, template) {
        ("POST", "/users") => json!({"ethereumAddress": wallet.address()}),
        ("POST", "/transactions") => transfer(escrow, 5_000),
        ("POST", "/transactions/{requestHash}/approvals") => json!({"approved": true}),
        ("POST", "/user-api-keys") => json!({"name": "bot"}),
        ("PUT", "/settings") | ("POST", "/auth/siwe/nonce" | "/user-api-keys/register") => json!({}),
        ("PATCH", "/internal/orion-metadata/{requestHash}/tee-proof") => json!({"teeProof": "AAAA"}),
        ("PATCH", "/internal/orion-metadata/{requestHash}/settlement") => json!({"status": "failed"}),
        ("POST", "/auth/siwe/verify") => {
            let message = world.sign_in(wallet, "0123456789abcdefghijklmnopqrstuv");
            json!({"message": message, "signature": hex(&wallet.sign_text(&message))})
        }
        ("POST", "/auth/refresh" | "/auth/logout") => json!({"refreshToken": "rt_unknown"}),
        ("PUT", "/settings/privy-quorum/{type}") => json!({"quorumId": "jx8v1c2q4w0m"}),
        ("POST", "/settings/register-privy-quorum") => json!({"type": "agent", "navaAgent": true}),
        ("POST", "/fireblocks/generate-csr/{type}") => {
            json!({"commonName": "My Organization", "organization": "My Org", "country": "US"})
        }
        ("POST", "/fireblocks/complete/{type}") => json!({
            "apiKey": "11111111-2222-4333-8444-555555555555", "vaultAccountId": "0", "environment": "sandbox",
            "region": "US",
        }),
        ("POST", "/fireblocks/admin/transactions") => json!({
            "escrowAddress": escrow, "to": Address::repeat_byte(0x42), "value": "1",
            "requestHash": B256::repeat_byte(1),
        }),
        ("POST", "/privy-quorum") => json!({
            "displayName": "Arbiter Quorum", "ethereumAddress": wallet.address(), "privyUserId": "did:privy:x",
        }),
        _ => return None,
    };
    Some(body)
}

#[test]
fn the_matrix_names_every_mounted_route() {
    let document: Value = serde_json::from_str(&openapi(Family::Core)).unwrap();
    let mut mounted = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        mounted.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let listed = MATRIX.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(mounted, listed.collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_malformed_revoked_and_foreign_keys_are_answered_alike() {
    let world = World::new().await;
    let ctx = OpCtx::gateway(world.organization, gateway_domain::Clock::now(&*world.clock));
    revoke_api_key(&ctx, &world.services, world.key_ids["agent"]).await.unwrap();
    let unknown = "ck_agent_000000000000_0000000000000000000000000000000000000000000";
    let mut answers = BTreeSet::new();
    for key in [unknown, "nonsense", "", "swk_0123", world.keys["agent"].as_str(), "\u{e4}"] {
        let path = "/users/0x0000000000000000000000000000000000000001";
        let reply = world.get(path).header("x-api-key", key).send().await;
        assert_eq!(reply.status, 401, "{key}: {}", reply.text);
        answers.insert(reply.message());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn development_keys_work_from_this_machine_only() {
    let world = World::new().await;
    let path = "/users/0x0000000000000000000000000000000000000001";
    let ask = |peer| world.get(path).key(&world, "dev").peer(peer);
    ask([127, 0, 0, 1]).send().await.expect(404);
    ask([192, 0, 2, 7]).send().await.expect(401);
    ask([192, 0, 2, 7]).header("x-forwarded-for", "127.0.0.1").send().await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ways_to_authenticate_are_one_too_many_where_both_are_used() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let path = format!("/users/{}", wallet.address());
    let reply = world.get(path).signed(&wallet).key(&world, "admin").send().await;
    reply.expect(400);
    assert!(reply.message().contains("x-api-key"), "{}", reply.message());
    // Creating is for API keys, so a signature beside one is not looked at.
    world
        .post("/transactions", &transfer(escrow, 1))
        .signed(&wallet)
        .key(&world, "admin")
        .send()
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_beside_another_method_that_is_used_is_one_too_many() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let session = world.log_in(&wallet).await;
    let path = format!("/transactions/users/{}", wallet.address());
    let reply = world.get(path.as_str()).bearer(&session.access).key(&world, "admin").send().await;
    reply.expect(400);
    assert_eq!(reply.message(), "x-api-key and authorization exclude each other");
    world.get(path.as_str()).bearer(&session.access).signed(&wallet).send().await.expect(400);
    // Users are read with keys and signatures, so a token beside one is not looked at.
    let path = format!("/users/{}", wallet.address());
    world.get(path).bearer("nonsense").key(&world, "admin").send().await.expect(200);
    // Other schemes are none of the family's methods.
    let basic = world.get("/auth/me").header("authorization", "Basic dXNlcjpwYXNz").send().await;
    assert_eq!(basic.message(), "a credential is required");
    let body = transfer(escrow, 1);
    world.post("/transactions", &body).bearer("nonsense").send().await.expect(401);
}
