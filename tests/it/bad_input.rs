//! What does not fit the contract: each case its status, and a message that names field and rule.

use std::time::Duration;

use anyhow::Result;
use countersign_tests::client::{Client, Credential};
use countersign_tests::wait;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, Stand, request_hash, transfer};

const DEADLINE: Duration = Duration::from_secs(30);
const OVERSIZE_BYTES: usize = 1024 * 1024 + 1;

/// Body, expected status, parts of the message.
type Case = (String, u16, &'static [&'static str]);

async fn check(client: &Client, credential: Credential<'_>, path: &str, cases: Vec<Case>) -> Result<()> {
    for (body, status, parts) in cases {
        let shown: String = body.chars().take(120).collect();
        let reply = client.send(Method::POST, path, credential, body.into_bytes(), &[]).await?;
        assert_eq!(reply.status, status, "{path} {shown}: {}", reply.body);
        let message = reply.message()?;
        for part in parts {
            assert!(message.contains(part), "{path} {shown}: `{message}` does not say `{part}`");
        }
        let error = reply.json()?;
        assert_eq!(error["statusCode"], status, "{shown}");
        assert!(error["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{shown}: no request id");
    }
    Ok(())
}

/// `base` with one field set, or removed by null.
fn with(base: &Value, field: &str, value: Value) -> String {
    let mut changed = base.clone();
    if value.is_null() {
        changed.as_object_mut().unwrap().remove(field);
    } else {
        changed[field] = value;
    }
    changed.to_string()
}

#[tokio::test]
async fn users() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let good = json!({"ethereumAddress": stand.wallet.address()});
    let address = stand.wallet.address();
    let cases: Vec<Case> = vec![
        (String::new(), 400, &[]),
        ("{".into(), 400, &[]),
        ("[]".into(), 400, &[]),
        ("\u{feff}{}".into(), 400, &[]),
        (
            format!(r#"{{"ethereumAddress":"{address}","ethereumAddress":"{address}"}}"#),
            400,
            &["ethereumAddress", "duplicate"],
        ),
        (format!("{good} {good}"), 400, &[]),
        ("[".repeat(10_000), 400, &[]),
        ("{}".into(), 400, &["ethereumAddress"]),
        (with(&good, "ethereumAdress", json!("0x")), 400, &["ethereumAdress"]),
        (with(&good, "ethereumAddress", json!(7)), 400, &["ethereumAddress"]),
        (with(&good, "ethereumAddress", json!("0x1234")), 400, &["ethereumAddress"]),
        (with(&good, "displayName", json!("x".repeat(101))), 400, &["displayName", "100"]),
        (with(&good, "privyUserId", json!("x".repeat(129))), 400, &["privyUserId", "128"]),
        (with(&good, "email", json!("nobody")), 400, &["email"]),
        (with(&good, "displayName", json!("x".repeat(OVERSIZE_BYTES))), 413, &[]),
    ];
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    check(gateway.client(), admin, "/users", cases).await?;

    gateway.client().post("/users", admin, &good).await?.expect(201)?;
    check(gateway.client(), admin, "/users", vec![(good.to_string(), 409, &[])]).await
}

#[tokio::test]
async fn trusted_transactions() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let good = transfer(escrow).body(CHAIN_ID);
    let too_large = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let cases: Vec<Case> = vec![
        (with(&good, "to", Value::Null), 400, &["to"]),
        (with(&good, "to", json!("0x12")), 400, &["to"]),
        (with(&good, "escrowAddress", Value::Null), 400, &["escrowAddress"]),
        (with(&good, "value", json!(1)), 400, &["value"]),
        (with(&good, "value", json!("01")), 400, &["value"]),
        (with(&good, "value", json!("-1")), 400, &["value"]),
        (with(&good, "value", json!("1e18")), 400, &["value"]),
        (with(&good, "value", json!(too_large)), 400, &["value"]),
        (with(&good, "data", json!("0x123")), 400, &["data"]),
        (with(&good, "data", json!("1234")), 400, &["data"]),
        (with(&good, "data", json!(format!("0x{}", "00".repeat(128 * 1024 + 1)))), 400, &["data"]),
        (with(&good, "chainId", json!(CHAIN_ID + 1)), 400, &["chainId"]),
        (with(&good, "chainId", json!("31337")), 400, &["chainId"]),
        (with(&good, "chainId", json!(1.5)), 400, &["chainId"]),
        (with(&good, "executionType", json!(3)), 400, &["executionType"]),
        (with(&good, "executionType", json!(1)), 403, &[]),
        (with(&good, "requestHash", json!("0x12")), 400, &["requestHash"]),
        (with(&good, "requestHash", json!(format!("0x{}", "11".repeat(32)))), 400, &["requestHash"]),
        (with(&good, "note", json!("x".repeat(257))), 400, &["note", "256"]),
        (with(&good, "encryptedPayload", json!("-----BEGIN PGP MESSAGE-----")), 400, &[]),
        (with(&good, "gasPrice", json!("1")), 400, &["gasPrice"]),
    ];
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    check(gateway.client(), admin, "/transactions", cases).await?;
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_known_request_hash_belongs_to_one_body() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let mut first = transfer(escrow);
    first.request_nonce = Some(7);
    let created = job.propose(&first).await?.expect(201)?;
    let repeated = job.propose(&first).await?.expect(201)?;
    assert_eq!(created["id"], repeated["id"]);

    let mut body = first.body(CHAIN_ID);
    body["note"] = json!("another body");
    let other = gateway.client().post("/transactions", job.admin(), &body).await?;
    assert_eq!(other.status, 409, "{}", other.body);
    Ok(())
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_body() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    let client = gateway.client();
    let post = async |body: &Value| {
        let body = serde_json::to_vec(body)?;
        client.send(Method::POST, "/transactions", admin, body, &[("idempotency-key", "order-1")]).await
    };
    let (first, second) = (transfer(escrow).body(CHAIN_ID), transfer(escrow).body(CHAIN_ID));
    let created = post(&first).await?.expect(201)?;
    let repeated = post(&first).await?.expect(201)?;
    assert_eq!(created["id"], repeated["id"]);
    assert_eq!(post(&second).await?.status, 409);
    Ok(())
}

#[tokio::test]
async fn approvals() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let path = format!("/transactions/{}/approvals", request_hash(&proposed));
    let keys = &gateway.bootstrap;
    let agent: Vec<Case> = vec![
        ("{}".into(), 400, &["approved"]),
        (json!({"approved": "yes"}).to_string(), 400, &["approved"]),
        (json!({"approved": true, "confidence": 0.5}).to_string(), 400, &["confidence"]),
        (json!({"approved": true, "analysis": "fine"}).to_string(), 400, &["analysis"]),
        (json!({"approved": true, "aproved": false}).to_string(), 400, &["aproved"]),
    ];
    check(gateway.client(), Credential::ApiKey(&keys.agent_api_key), &path, agent).await?;
    let orion: Vec<Case> = vec![
        (json!({"approved": true, "confidence": 1.01}).to_string(), 400, &["confidence"]),
        (json!({"approved": true, "analysis": "x".repeat(20_001)}).to_string(), 400, &["analysis"]),
        (
            json!({"approved": true, "requestHash": format!("0x{}", "22".repeat(32))}).to_string(),
            400,
            &["requestHash"],
        ),
    ];
    check(gateway.client(), Credential::ApiKey(&keys.orion_api_key), &path, orion).await?;

    let unknown = format!("/transactions/0x{}/approvals", "33".repeat(32));
    let yes = json!({"approved": true}).to_string();
    check(gateway.client(), Credential::ApiKey(&keys.agent_api_key), &unknown, vec![(yes, 404, &[])]).await
}

#[tokio::test]
async fn a_vote_cannot_be_turned_round() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let job = stand.job(&gateway);
    let hash = request_hash(&proposed);
    let first = job.approve_as_agent(hash).await?.expect(201)?;
    let again = job.approve_as_agent(hash).await?.expect(201)?;
    assert_eq!(first["id"], again["id"]);
    let reply = job.vote(hash, &gateway.bootstrap.agent_api_key, false).await?;
    assert_eq!(reply.status, 409, "{}", reply.body);
    Ok(())
}

#[tokio::test]
async fn routes_and_methods_that_do_not_exist() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/users/", 404),
        (Method::DELETE, "/users", 405),
        (Method::PUT, "/transactions", 405),
        (Method::GET, "/users/0x12", 400),
        (Method::GET, "/transactions/users/approval-status", 400),
        (Method::GET, "/operator/v1", 404),
        (Method::GET, "/metrics", 404),
    ] {
        let reply = client.send(method.clone(), path, admin, Vec::new(), &[]).await?;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert_eq!(reply.json()?["statusCode"], status, "{method} {path}");
    }
    let body = json!({"ethereumAddress": stand.wallet.address()}).to_string().into_bytes();
    let reply = client.send(Method::POST, "/users", admin, body, &[("content-type", "text/plain")]).await?;
    assert_eq!(reply.status, 415, "{}", reply.body);
    Ok(())
}

#[tokio::test]
async fn greeting_health_and_documents_are_open() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let hello = client.get("/", Credential::Nobody).await?.expect(200)?;
    assert_eq!(hello["service"], "gateway");
    let health = client.get("/health", Credential::Nobody).await?.expect(200)?;
    assert_eq!((&health["status"], &health["checks"]["database"]), (&json!("ok"), &json!("up")));
    let document = client.get("/openapi/core.json", Credential::Nobody).await?.expect(200)?;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    assert_eq!(client.get("/docs", Credential::Nobody).await?.status, 200);
    let operator = gateway.operator();
    // The first look at everything may not be over when the first request is answered.
    wait::until("it to be ready", DEADLINE, async || {
        Ok((operator.get("/readyz", Credential::Nobody).await?.status == 200).then_some(()))
    })
    .await?;
    for path in ["/livez", "/metrics"] {
        assert_eq!(operator.get(path, Credential::Nobody).await?.status, 200, "{path}");
    }
    Ok(())
}
