//! Who may call what.

mod forms;
mod matrix;

use std::collections::BTreeSet;

use gateway_domain::{OpCtx, credentials::revoke_api_key};

use crate::{
    wallet::Wallet,
    world::{World, transfer},
};

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
