//! What does not fit the contract.

use axum::http::Method;
use gateway_domain::B256;
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::{
    masked::masked,
    wallet::Wallet,
    world::{CHAIN, World, transfer},
};

/// `base` with one member set, or removed by null.
fn with(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    if value.is_null() {
        changed.as_object_mut().unwrap().remove(name);
    } else {
        changed[name] = value;
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_a_body_has_the_same_strict_reader() {
    let world = World::new().await;
    let hash = format!("/transactions/0x{}/approvals", "33".repeat(32));
    for path in ["/users", "/transactions", &hash] {
        for (body, fault) in [
            (&b""[..], "acceptable JSON"),
            (b"{", "acceptable JSON"),
            (b"[]", ""),
            (b"\"\"", ""),
            (b"{} {}", "acceptable JSON"),
            (b"\xef\xbb\xbf{}", "acceptable JSON"),
            (b"{\"\xff\":1}", "UTF-8"),
            (br#"{"to":"1","to":"1","approved":true}"#, "duplicate field `to`"),
            (br#"{"to":{"x":[{"y":1,"y":2}]}}"#, "duplicate field `y`"),
            // One name in two spellings.
            (br#"{"to":"1","\u0074o":"2","approved":true}"#, "duplicate field `to`"),
            (br#"{"\ud800":1}"#, ""),
            (b"{\"to\":\"\x00\"}", ""),
            (br#"{"value":1e999}"#, ""),
            (br#"{"value":+1}"#, "acceptable JSON"),
            (br#"{"value":NaN}"#, "acceptable JSON"),
            (br#"{"approved":true,}"#, "acceptable JSON"),
            (br#"{"approved":true}//"#, "acceptable JSON"),
            ("[".repeat(5_000).as_bytes(), "nested too deeply"),
        ] {
            let reply = world.call(Method::POST, path).raw(body).key(&world, "admin").send().await;
            reply.expect(400);
            assert!(reply.message().contains(fault), "{path}: {}", reply.message());
        }
        let typed = |kind| world.call(Method::POST, path).header("content-type", kind).key(&world, "admin");
        typed("text/plain").send().await.expect(415);
        typed("application/json; charset=latin1").send().await.expect(415);
        typed("application/json; charset=utf-8").send().await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_told_at_once() {
    let world = World::new().await;
    let body = json!({
        "ethereumAddress": "0x12", "escrowAddress": 7, "privyUserId": "x".repeat(129),
        "displayName": "a\nb", "email": "nobody", "ethereumAdress": "x",
    });
    let reply = world.post("/users", &body).key(&world, "admin").send().await;
    assert_json_snapshot!(masked(reply.expect(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_transactions_name_field_and_rule() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let good = transfer(escrow, 1);
    let too_large = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let cases = [
        ("to", Value::Null, 400, "to is required"),
        ("to", json!("0x12"), 400, "to must be"),
        ("escrowAddress", Value::Null, 400, "escrowAddress is required"),
        ("escrowAddress", json!(format!("0x{}", "12".repeat(20))), 400, "escrowAddress must belong"),
        ("value", json!(1), 400, "value must be a string"),
        ("value", json!("01"), 400, "value must be decimal"),
        ("value", json!("-1"), 400, "value must be decimal"),
        ("value", json!("1e18"), 400, "value must be decimal"),
        ("value", json!(too_large), 400, "value must be below 2^256"),
        ("data", json!("0x123"), 400, "data must be"),
        ("data", json!("1234"), 400, "data must be"),
        (
            "data",
            json!(format!("0x{}", "00".repeat(128 * 1024 + 1))),
            400,
            "data must be at most 131072 bytes",
        ),
        ("chainId", json!(CHAIN + 1), 400, "chainId"),
        ("chainId", json!("31337"), 400, "chainId"),
        ("chainId", json!(1.5), 400, "chainId"),
        ("chainId", json!(0), 400, "chainId must be a whole number between 1 and 9223372036854775771"),
        ("chainId", json!(u64::MAX), 400, "chainId must be a whole number between 1 and 9223372036854775771"),
        ("executionType", json!(3), 400, "executionType must be one of 0, 1, 2"),
        ("executionType", json!(1), 403, "executionType"),
        ("executionType", json!(2), 403, "executionType"),
        ("requestHash", json!("0x12"), 400, "requestHash must be"),
        ("requestHash", json!(format!("0x{}", "11".repeat(32))), 400, "requestHash needs requestNonce"),
        ("requestNonce", json!("7"), 400, "requestNonce needs requestHash"),
        ("note", json!("x".repeat(257)), 400, "note must have 0 to 256 characters"),
        ("encryptedPayload", json!("-----BEGIN PGP MESSAGE-----"), 400, "either encryptedPayload or"),
        ("gasPrice", json!("1"), 400, "gasPrice is not a known field"),
    ];
    for (name, value, status, fault) in cases {
        let body = with(&good, name, value);
        let reply = world.post("/transactions", &body).key(&world, "admin").send().await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.text);
        assert!(reply.message().contains(fault), "{name}: {}", reply.message());
    }
    let mut forged = with(&good, "requestHash", json!(format!("0x{}", "11".repeat(32))));
    forged["requestNonce"] = json!("7");
    let reply = world.post("/transactions", &forged).key(&world, "admin").send().await;
    reply.expect(400);
    assert!(reply.message().contains("requestHash does not equal the formula"), "{}", reply.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_payloads_need_the_registry_contract() {
    let world = World::without_registry().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let body =
        crate::encrypted::body(&wallet, escrow, B256::repeat_byte(7), "-----BEGIN PGP MESSAGE-----", 1);
    let reply = world.post("/transactions", &body).key(&world, "agent").send().await;
    assert_json_snapshot!(masked(reply.expect(503)));
    assert!(reply.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_path_and_query() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    world.user(&wallet).await;
    let list = format!("/transactions/users/{}", wallet.address());
    for (path, status, fault) in [
        ("/users/0x12".to_owned(), 400, "ethereumAddress must be"),
        ("/users/%ff".to_owned(), 400, "path"),
        ("/transactions/users/approval-status".to_owned(), 400, "ethereumAddress must be"),
        ("/transactions/0x12/approval-status".to_owned(), 400, "requestHash must be"),
        (format!("{list}?limit=0"), 400, "limit must be 1 to 200"),
        (format!("{list}?limit=201"), 400, "limit must be 1 to 200"),
        (format!("{list}?limit=5&limit=6"), 400, "twice"),
        (format!("{list}?status=pending"), 400, "status must be one of PENDING"),
        (format!("{list}?before=yesterday"), 400, "before must be an RFC 3339 time"),
        (format!("{list}?page=2"), 400, "page is not a known field"),
        (format!("/users/{}", "0x00".repeat(10) + "00"), 400, "ethereumAddress"),
        ("/users/0x0000000000000000000000000000000000000009".to_owned(), 404, "user not found"),
        (format!("/transactions/0x{}/approval-status", "44".repeat(32)), 404, "transaction not found"),
    ] {
        let reply = world.get(&path).key(&world, "admin").send().await;
        reply.expect(status);
        assert!(reply.message().contains(fault), "{path}: {}", reply.message());
    }
    world
        .get(format!("{list}?status=FAILED&limit=1&before=2026-01-05T10:00:00%2B01:00"))
        .key(&world, "admin")
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_methods_that_do_not_exist() {
    let world = World::new().await;
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/users/", 404),
        (Method::GET, "/operator/v1", 404),
        (Method::GET, "/metrics", 404),
        (Method::DELETE, "/users", 405),
        (Method::PUT, "/transactions", 405),
        (Method::POST, "/docs", 405),
    ] {
        world.call(method, path).key(&world, "admin").send().await.expect(status);
    }
    let reply = world.call(Method::DELETE, "/users").send().await;
    assert_eq!(reply.headers["allow"], "POST");
    assert_json_snapshot!(masked(reply.expect(405)));
}
