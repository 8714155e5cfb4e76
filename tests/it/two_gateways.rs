//! Two gateways over one PostgreSQL database and one token (T19, T22).

use alloy_primitives::U256;
use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::cluster::ORIGIN;
use countersign_tests::environment::unix_seconds;
use countersign_tests::wallet::{SignedRequest, Wallet};
use serde_json::json;

use crate::pair::{Pair, release, small};

/// T19: what a gateway decided before it stood still is worth nothing once the policy has moved.
#[tokio::test]
async fn a_gateway_that_stood_still_gets_no_permit_under_a_policy_of_the_past() -> Result<()> {
    let pair = Pair::new().await?;
    let (stale, live) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let escrow = pair.user(&stale).await?;
    let transfer = small(escrow);
    let (hash, gate) = pair.halted(&stale, &transfer).await?;
    stale.freeze()?;
    pair.cluster.install_orion(1, &json!({"denyList": [transfer.to]}))?;
    pair.node.tell_the_truth("eth_estimateGas");
    release(&gate);
    stale.thaw()?;
    let ended = pair.ended(&live, &hash).await.with_context(|| stale.output())?;
    assert_eq!(ended["status"], "REJECTED", "{ended}");
    assert!(pair.node.calls("eth_sendRawTransaction").is_empty());
    assert_eq!(pair.anvil.node().transaction_count(escrow).await?, U256::ZERO);
    pair.cluster.verify_audit()
}

#[tokio::test]
async fn a_killed_gateways_transaction_is_carried_on_by_the_other() -> Result<()> {
    let pair = Pair::new().await?;
    let (doomed, live) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let escrow = pair.user(&doomed).await?;
    let transfer = small(escrow);
    let (hash, gate) = pair.halted(&doomed, &transfer).await?;
    doomed.kill()?;
    pair.node.tell_the_truth("eth_estimateGas");
    release(&gate);
    let ended = pair.ended(&live, &hash).await.with_context(|| live.output())?;
    assert_eq!(ended["status"], "EXECUTED", "{ended}");
    assert_eq!(pair.anvil.node().balance(transfer.to).await?, transfer.value);
    assert_eq!(pair.anvil.node().transaction_count(escrow).await?, U256::ONE);
    pair.cluster.verify_audit()
}

/// Sends a request that was signed once.
async fn replay(client: &Client, headers: (&str, &str, u64), body: &[u8]) -> Result<Reply> {
    let (address, signature, timestamp) = headers;
    let credential = Credential::Signature(address, signature, Some(timestamp));
    client.send(reqwest::Method::POST, "/users", credential, body.to_vec(), &[]).await
}

/// T22: the same signed request at both gateways at once.
#[tokio::test]
async fn a_signed_request_sent_to_both_at_once_has_one_effect() -> Result<()> {
    let pair = Pair::new().await?;
    let (one, other) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let wallet = Wallet::random();
    let body = serde_json::to_vec(&json!({"ethereumAddress": wallet.address()}))?;
    let timestamp = unix_seconds();
    let signed = SignedRequest { origin: ORIGIN, method: "POST", path: "/users", body: &body, timestamp };
    let (address, signature) = (wallet.address().to_string(), hex(&wallet.sign_request(&signed)?));
    let headers = (address.as_str(), signature.as_str(), timestamp);
    let (first, second) =
        tokio::join!(replay(one.client(), headers, &body), replay(other.client(), headers, &body));
    let mut statuses = [first?.status, second?.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}\n{}\n{}", one.output(), other.output());
    assert!(matches!(statuses[1], 401 | 409), "{statuses:?}");
    for gateway in [&one, &other] {
        let again = replay(gateway.client(), headers, &body).await?;
        assert!(matches!(again.status, 401 | 409), "{}", again.body);
        let path = format!("/users/{address}");
        gateway.client().get(&path, pair.admin()).await?.expect(200)?;
    }
    let keys = pair.cluster.order(0, &["key", "list"])?;
    let wallets = keys["keys"].as_array().context("no keys")?.iter().filter(|key| key["purpose"] == "wallet");
    assert_eq!(wallets.count(), 1, "{keys}");
    pair.cluster.verify_audit()
}
