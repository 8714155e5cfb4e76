//! Two gateways over one PostgreSQL database and one token (T19, T22).

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result};
use countersign_tests::anvil::Anvil;
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::cluster::{Cluster, Node, ORIGIN};
use countersign_tests::configuration::{Chain, PEOPLE_FROM_WEI};
use countersign_tests::environment::unix_seconds;
use countersign_tests::lying_node::{Gate, Lie, LyingNode};
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer, text};
use countersign_tests::postgres::Postgres;
use countersign_tests::wait;
use countersign_tests::wallet::{SignedRequest, Wallet};
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, ETHER, transfer};

struct Pair {
    anvil: Anvil,
    node: LyingNode,
    cluster: Cluster,
    wallet: Wallet,
    _database: Postgres,
}

impl Pair {
    async fn new() -> Result<Pair> {
        let anvil = Anvil::start(CHAIN_ID).await?;
        let node = LyingNode::start(anvil.node().url()).await?;
        let database = Postgres::create().await?;
        let chain = Chain { id: CHAIN_ID, rpc_url: node.url(), confirmations: 1 };
        let cluster = Cluster::initialize(2, database.url(), &chain)?;
        Ok(Pair { anvil, node, cluster, wallet: Wallet::random(), _database: database })
    }

    fn admin(&self) -> Credential<'_> {
        Credential::ApiKey(&self.cluster.admin_api_key)
    }

    /// A funded user, made through `gateway`.
    async fn user(&self, gateway: &Node) -> Result<Address> {
        let body = json!({"ethereumAddress": self.wallet.address()});
        let user = gateway.client().post("/users", self.admin(), &body).await?.expect(201)?;
        let escrow = text(&user, "escrowAddress")?.parse()?;
        self.anvil.node().set_balance(escrow, U256::from(5 * ETHER)).await?;
        Ok(escrow)
    }

    async fn transaction(&self, gateway: &Node, hash: &str) -> Result<Value> {
        let path = format!("/transactions/users/{}", self.wallet.address());
        let list = gateway.client().get(&path, self.admin()).await?.expect(200)?;
        let mut list = list.as_array().context("no list")?.iter();
        list.find(|found| found["requestHash"] == hash).cloned().context("the transaction is gone")
    }

    async fn ended(&self, gateway: &Node, hash: &str) -> Result<Value> {
        wait::until("the transaction to end", FINAL_DEADLINE, async || {
            let found = self.transaction(gateway, hash).await?;
            Ok(matches!(text(&found, "status")?, "EXECUTED" | "REJECTED" | "FAILED").then_some(found))
        })
        .await
    }

    /// Asks `gateway` to pay, and returns once its permit waits for the node's answer.
    async fn halted(&self, gateway: &Node, transfer: &Transfer) -> Result<(String, std::sync::Arc<Gate>)> {
        let gate = Gate::new();
        self.node.lie("eth_estimateGas", Lie::HoldBefore(gate.clone()));
        let body = transfer.body(CHAIN_ID);
        let request = gateway.client().post("/transactions", self.admin(), &body);
        let hash = transfer.request_hash(CHAIN_ID, transfer.request_nonce.context("a nonce")?);
        tokio::select! {
            answer = request => anyhow::bail!("answered before the node: {}", answer?.body),
            () = gate.reached() => {}
        }
        Ok((hash.to_string(), gate))
    }
}

/// The other gateway may have taken the transaction up meanwhile, and halt at the same place.
fn release(gate: &Gate) {
    gate.release();
    gate.release();
}

fn small(escrow: Address) -> Transfer {
    let value = U256::from(PEOPLE_FROM_WEI / 100);
    Transfer { value, request_nonce: Some(1), ..transfer(escrow) }
}

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
