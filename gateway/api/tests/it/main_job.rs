//! The main job over HTTP, with snapshots of what clients see.

use axum::http::Method;
use gateway_domain::evaluations::Verdict;
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::{
    masked::masked,
    wallet::Wallet,
    world::{World, transfer},
};

macro_rules! snapshot {
    ($name:literal, $value:expr) => {
        assert_json_snapshot!($name, masked($value))
    };
}

fn path(transaction: &Value, rest: &str) -> String {
    format!("/transactions/{}/{rest}", transaction["requestHash"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn greeting_and_health() {
    let world = World::new().await;
    snapshot!("hello", world.get("/").send().await.expect(200));
    snapshot!("health", world.get("/health").send().await.expect(200));
    assert!(world.call(Method::HEAD, "/").send().await.text.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_enrolled_once() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let body = json!({"ethereumAddress": wallet.address(), "displayName": "Ada", "email": "ada@example.com"});
    let created = world.post("/users", &body).key(&world, "admin").send().await.expect(201);
    snapshot!("user", created.clone());
    let path = format!("/users/{}", wallet.address().to_string().to_lowercase());
    assert_eq!(world.get(path).key(&world, "agent").send().await.expect(200), created);
    snapshot!("user_again", world.post("/users", &body).key(&world, "admin").send().await.expect(409));

    // The address of an HSM key can be nobody's wallet (T6) and nobody's foreign escrow (T4).
    let escrow = &created["escrowAddress"];
    for body in [
        json!({"ethereumAddress": escrow}),
        json!({"ethereumAddress": Wallet::new(2).address(), "escrowAddress": escrow}),
    ] {
        world.post("/users", &body).key(&world, "admin").send().await.expect(409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_needs_nobody_is_signed_and_sent_in_its_request() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    snapshot!("sent", world.propose(escrow, 1_000).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_transaction_says_why() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.plugin.say(Verdict::Reject, "recipient is on the deny list", 990_000);
    let rejected = world.propose(escrow, 1).await;
    snapshot!("rejected", rejected.clone());
    let status = world.get(path(&rejected, "approval-status")).key(&world, "admin").send().await;
    snapshot!("rejected_status", status.expect(200));
    let late = world
        .post(path(&rejected, "approvals"), &json!({"approved": true}))
        .key(&world, "agent")
        .send()
        .await;
    late.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_approve_what_the_policy_wants_them_to() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let pending = world.propose(escrow, 5_000).await;
    snapshot!("pending", pending.clone());
    let status = || world.get(path(&pending, "approval-status")).signed(&wallet).send();
    snapshot!("pending_status", status().await.expect(200));

    let approvals = path(&pending, "approvals");
    let by_user = world.post(&approvals, &json!({"approved": true})).signed(&wallet).send().await;
    snapshot!("approval_by_wallet", by_user.expect(201));
    let by_agent = world.post(&approvals, &json!({"approved": true})).key(&world, "agent").send().await;
    snapshot!("approval_by_agent", by_agent.expect(201));
    snapshot!("approved_status", status().await.expect(200));

    let list = format!("/transactions/users/{}", wallet.address());
    let listed = world.get(format!("{list}?status=APPROVED")).signed(&wallet).send().await.expect(200);
    snapshot!("listed", listed);
    assert_eq!(
        world.get(format!("{list}?status=PENDING")).signed(&wallet).send().await.expect(200),
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_confidence_and_plugin_demands_show_in_required() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.plugin.say(Verdict::Approve, "unsure", 500_000);
    let weak = world.propose(escrow, 1).await;
    assert_eq!(weak["status"], "PENDING");
    let status = world.get(path(&weak, "approval-status")).key(&world, "admin").send().await.expect(200);
    assert_eq!(status["required"], json!(["arbiter"]));

    let vote = json!({"approved": true});
    let by_arbiter =
        world.post(path(&weak, "approvals"), &vote).key(&world, "arbiter").send().await.expect(201);
    assert_eq!((&by_arbiter["type"], &by_arbiter["label"]), (&json!("admin"), &json!("arbiter")));
    assert_eq!(by_arbiter["transactionStatus"], "APPROVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_verification_service_are_for_its_keys() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let pending = world.propose(escrow, 5_000).await;
    let approvals = path(&pending, "approvals");
    for (name, value) in [
        ("confidence", json!(0.5)),
        ("analysis", json!("fine")),
        ("requestHash", pending["requestHash"].clone()),
    ] {
        let body = json!({"approved": true, name: value});
        let reply = world.post(&approvals, &body).key(&world, "agent").send().await;
        reply.expect(400);
        assert!(reply.message().contains(name), "{}", reply.message());
    }
    for (name, value) in [
        ("confidence", json!(1.01)),
        ("confidence", json!("0.5")),
        ("analysis", json!("x".repeat(20_001))),
        ("requestHash", json!(format!("0x{}", "22".repeat(32)))),
    ] {
        let body = json!({"approved": true, name: value});
        let reply = world.post(&approvals, &body).key(&world, "orion").send().await;
        reply.expect(400);
        assert!(reply.message().contains(name), "{}", reply.message());
    }
    let body = json!({
        "approved": true, "confidence": 0.95, "analysis": "destination \u{202e}known", "requestHash": pending["requestHash"],
    });
    snapshot!(
        "approval_by_orion",
        world.post(&approvals, &body).key(&world, "orion").send().await.expect(201)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_requests_are_one_transaction() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let send = |body: Value, key: &'static str| {
        world.post("/transactions", &body).header("idempotency-key", key).key(&world, "admin").send()
    };
    let first = send(transfer(escrow, 1), "order-1").await.expect(201);
    assert_eq!(send(transfer(escrow, 1), "order-1").await.expect(201)["id"], first["id"]);
    send(transfer(escrow, 2), "order-1").await.expect(409);
    let second = send(transfer(escrow, 1), "order-2").await.expect(201);
    assert_ne!(second["id"], first["id"]);

    // As wide as the formula's word.
    let nonce = gateway_domain::U256::MAX;
    let to = Some(gateway_domain::Address::repeat_byte(0x42));
    let value = gateway_domain::U256::from(1);
    let hash = gateway_domain::transactions::request_hash(escrow, to, value, &[], crate::world::CHAIN, nonce);
    let mut named = transfer(escrow, 1);
    named["requestHash"] = json!(hash);
    named["requestNonce"] = json!(nonce.to_string());
    let post = |body: Value| world.post("/transactions", &body).key(&world, "admin").send();
    let first = post(named.clone()).await.expect(201);
    assert_eq!(post(named.clone()).await.expect(201)["id"], first["id"]);
    let mut wider = named.clone();
    wider["requestNonce"] = json!(format!("{nonce}0"));
    post(wider).await.expect(400);
    named["note"] = json!("another body");
    post(named).await.expect(409);
}
