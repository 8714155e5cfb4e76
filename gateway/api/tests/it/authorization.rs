//! Who may call what.

use std::collections::BTreeSet;

use axum::http::Method;
use gateway_api::openapi::{Family, openapi};
use gateway_domain::{OpCtx, credentials::revoke_api_key};
use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{World, transfer},
};

const CALLERS: [&str; 7] = ["nobody", "admin", "agent", "arbiter", "orion", "wallet", "other wallet"];

/// Expected statuses for a well-formed request, in the order of [`CALLERS`].
const MATRIX: &[(&str, &str, [u16; 7])] = &[
    ("GET", "/", [200; 7]),
    ("GET", "/health", [200; 7]),
    ("POST", "/users", [401, 409, 409, 403, 403, 409, 400]),
    ("GET", "/users/{ethereumAddress}", [401, 200, 200, 200, 403, 200, 404]),
    ("POST", "/transactions", [401, 201, 403, 403, 403, 403, 403]),
    ("GET", "/transactions/users/{ethereumAddress}", [401, 200, 200, 200, 200, 200, 403]),
    ("POST", "/transactions/{requestHash}/approvals", [401, 403, 201, 201, 201, 201, 403]),
    ("GET", "/transactions/{requestHash}/approval-status", [401, 200, 200, 200, 200, 200, 404]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_caller_on_every_route() {
    let world = World::new().await;
    let (wallet, other) = (Wallet::new(1), Wallet::new(2));
    let escrow = world.user(&wallet).await;
    for (method, template, statuses) in MATRIX {
        for (caller, status) in CALLERS.iter().zip(statuses) {
            let proposed = world.propose(escrow, 5_000).await;
            let path = template
                .replace("{ethereumAddress}", &wallet.address().to_string())
                .replace("{requestHash}", proposed["requestHash"].as_str().unwrap());
            let mut call = world.call(method.parse::<Method>().unwrap(), path);
            call = match *template {
                "/users" => call.json(&json!({"ethereumAddress": wallet.address()})),
                "/transactions" => call.json(&transfer(escrow, 5_000)),
                "/transactions/{requestHash}/approvals" => call.json(&json!({"approved": true})),
                _ => call,
            };
            call = match *caller {
                "nobody" => call,
                "wallet" => call.signed(&wallet),
                "other wallet" => call.signed(&other),
                label => call.key(&world, label),
            };
            let reply = call.send().await;
            assert_eq!(reply.status.as_u16(), *status, "{method} {template} by {caller}: {}", reply.text);
        }
    }
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
