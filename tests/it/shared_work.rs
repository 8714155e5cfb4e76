//! Work outside the database that two gateways could both do: it is done once (T19, T23, T24).

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::cluster::Node;
use countersign_tests::fireblocks::{Fireblocks, Mood};
use countersign_tests::gpg::Gpg;
use countersign_tests::lying_node::Gate;
use countersign_tests::main_job::{FINAL_DEADLINE, text};
use countersign_tests::registry;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::pair::{Pair, log_in};
use crate::stand::{CHAIN_ID, ETHER};

const DEADLINE: Duration = Duration::from_mins(1);
const API_KEY: &str = "11111111-2222-4333-8444-555555555555";
const RECIPIENT: &str = "0x1234567890123456789012345678901234567890";
const HASH: &str = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";

/// Two gateways that know Fireblocks and wait for nobody long.
fn introduce(pair: &Pair, fireblocks: &Fireblocks) {
    let url = fireblocks.url();
    for index in 0..2 {
        let set = |key: &str, value: &str| pair.cluster.set(index, key, value);
        set("egress.named_hosts", url.trim_start_matches("http://"));
        set("egress.request_timeout_ms", "60000");
        set("fireblocks.enabled", "true");
        set("fireblocks.sandbox_url", url);
        set("fireblocks.assets", &format!("sandbox eip155:{CHAIN_ID} ETH_TEST5"));
        set("fireblocks.poll_interval_ms", "50");
        set("server.request_timeout_ms", "120000");
        set("limits.unavailable_pause_ms", "100");
        // SoftHSM makes nothing else while it makes an RSA key.
        for (operation, patience) in [("sign", "60000"), ("generate", "300000"), ("canary", "120000")] {
            set(&format!("hsm.{operation}_timeout_ms"), patience);
        }
    }
}

/// A user whose funds lie at Fireblocks, with an active integration.
async fn integrated(pair: &Pair, gateway: &Node, fireblocks: &Fireblocks) -> Result<Address> {
    let (client, escrow) = (gateway.client(), Wallet::random().address());
    let user = json!({"ethereumAddress": pair.wallet.address(), "escrowAddress": escrow});
    client.post("/users", pair.admin(), &user).await?.expect(201)?;
    let tokens = log_in(client, &pair.wallet).await?;
    let token = Credential::Token(text(&tokens, "accessToken")?);
    let subject = json!({"commonName": "My Organization", "organization": "My Org", "country": "US"});
    let made = client.post("/fireblocks/generate-csr/execution", token, &subject).await?.expect(201)?;
    fireblocks.enrol(text(&made, "csr")?, API_KEY)?;
    let body = json!({"apiKey": API_KEY, "vaultAccountId": "0", "environment": "sandbox", "region": "US"});
    client.post("/fireblocks/complete/execution", token, &body).await?.expect(200)?;
    Ok(escrow)
}

/// One gateway stands still after Fireblocks took the payment; the other ends it, and neither sends it again.
#[tokio::test]
async fn a_payment_is_handed_over_once_by_two_gateways() -> Result<()> {
    let (pair, fireblocks) = (Pair::new().await?, Fireblocks::start().await?);
    introduce(&pair, &fireblocks);
    let (stale, live) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let escrow = integrated(&pair, &stale, &fireblocks).await?;
    let gate = Gate::new();
    fireblocks.set_mood(Mood::HoldAfter(gate.clone()));
    let name = format!("0x{}", hex::encode([1; 32]));
    let order = json!({"escrowAddress": escrow, "to": RECIPIENT, "value": "1", "requestHash": name});
    {
        let asked = stale.client().post("/fireblocks/admin/transactions", pair.admin(), &order);
        tokio::select! {
            answered = asked => drop(answered?),
            reached = timeout(DEADLINE, gate.reached()) => reached.context("nothing arrived")?,
        }
    }
    stale.freeze()?;
    fireblocks.set_mood(Mood::Honest);
    fireblocks.set_status(&name, "COMPLETED", Some(HASH))?;
    let ended = pair.ended(&live, &name).await.with_context(|| live.output())?;
    assert_eq!(ended["status"], "EXECUTED", "{ended}");
    stale.thaw()?;
    gate.release();
    let told = wait::until("the other gateway to be told", DEADLINE, async || {
        Ok(Some(pair.transaction(&stale, &name).await?).filter(|found| found["status"] == "EXECUTED"))
    });
    told.await?;
    let again =
        stale.client().post("/fireblocks/admin/transactions", pair.admin(), &order).await?.expect(201)?;
    let taken = fireblocks.taken(&name).context("Fireblocks has it")?;
    assert_eq!(again["id"], json!(taken.id));
    assert_eq!(fireblocks.posts().len(), 1, "asked for once");
    ensure!(fireblocks.faults().is_empty(), "{:#?}", fireblocks.faults());
    pair.cluster.verify_audit()
}

/// Two gateways with a registry, a relayer and a verification service between them.
struct Recording {
    pair: Pair,
    gateways: [Node; 2],
    service: Value,
    escrow: Address,
    gpg: Gpg,
}

impl Recording {
    async fn new() -> Result<Recording> {
        let pair = Pair::new().await?;
        for index in 0..2 {
            pair.cluster.set(index, "onchain_registry.chain", format!("eip155:{CHAIN_ID}"));
            pair.cluster.set(index, "onchain_registry.address", registry::ADDRESS);
        }
        registry::deploy(pair.anvil.node()).await?;
        let inbox = Wallet::random().address().to_string();
        let add =
            ["verification-service", "add", "--name", "Orion", "--inbox", &inbox, "--built-in", "rsa2048"];
        let gateways = [pair.cluster.start(0).await?, pair.cluster.start(1).await?];
        let service = pair.cluster.order(0, &add)?;
        let escrow = pair.user(&gateways[0]).await?;
        let gpg = Gpg::new()?;
        gpg.import(text(&service, "publicKey")?)?;
        Ok(Recording { pair, gateways, service, escrow, gpg })
    }

    /// A message that asks for a payment.
    fn message(&self, hash: B256, to: Address, value: u128) -> Result<String> {
        let plaintext = json!({
            "requestHash": hash, "escrowAddress": self.escrow, "chainId": CHAIN_ID, "to": to,
            "value": value.to_string(), "data": "0x",
        });
        self.gpg.encrypt(&plaintext.to_string(), text(&self.service, "fingerprint")?, &[])
    }

    fn body(&self, hash: B256, message: &str) -> Value {
        json!({
            "encryptedPayload": message, "requestHash": hash, "escrowAddress": self.escrow, "chainId": CHAIN_ID,
            "executionType": 0, "ethereumAddress": self.pair.wallet.address(),
            "verificationServiceId": self.service["id"],
        })
    }
}

/// T23: whoever sends a message first has it, on whichever gateway.
#[tokio::test]
async fn an_encrypted_message_is_opened_for_one_request() -> Result<()> {
    let recording = Recording::new().await?;
    let (pair, [one, other], escrow) = (&recording.pair, &recording.gateways, recording.escrow);
    let (to, hash) = (Wallet::random().address(), B256::repeat_byte(7));
    let message = recording.message(hash, to, ETHER / 2)?;
    let (honest, thief) = (recording.body(hash, &message), recording.body(B256::repeat_byte(8), &message));
    let (first, second) = tokio::join!(
        one.client().post("/transactions", pair.admin(), &honest),
        other.client().post("/transactions", pair.admin(), &honest)
    );
    let made: [Value; 2] = [first?.expect(201)?, second?.expect(201)?];
    assert_eq!(made[0]["id"], made[1]["id"], "one transaction");
    for gateway in [one, other] {
        let stolen = gateway.client().post("/transactions", pair.admin(), &thief).await?;
        assert!(matches!(stolen.status, 400 | 409), "{}", stolen.body);
    }
    let ended = pair.ended(other, &hash.to_string()).await.with_context(|| other.output())?;
    assert_eq!(ended["status"], "EXECUTED", "{ended}");
    assert_eq!(pair.anvil.node().balance(to).await?, U256::from(ETHER / 2));
    assert_eq!(pair.anvil.node().transaction_count(escrow).await?, U256::ONE);
    pair.cluster.verify_audit()
}

/// T19: both gateways put on record what they were sent, from one account, each record once and none left out.
#[tokio::test]
async fn two_gateways_send_the_records_of_one_relayer() -> Result<()> {
    let recording = Recording::new().await?;
    let (pair, gateways) = (&recording.pair, &recording.gateways);
    let relayer = pair.cluster.order(0, &["key", "relayer"])?;
    let relayer: Address = text(&relayer, "address")?.parse()?;
    let node = pair.anvil.node();
    node.set_balance(relayer, U256::from(ETHER)).await?;
    let hashes: Vec<B256> = (1..=6).map(B256::repeat_byte).collect();
    let mut bodies = Vec::new();
    for hash in &hashes {
        let message = recording.message(*hash, Wallet::random().address(), 1)?;
        bodies.push(recording.body(*hash, &message));
    }
    let sent = bodies.iter().zip(gateways.iter().cycle());
    let sent = sent.map(|(body, gateway)| gateway.client().post("/transactions", pair.admin(), body));
    for reply in try_join_all(sent.collect::<Vec<_>>()).await? {
        reply.expect(201)?;
    }
    for hash in &hashes {
        wait::until("the record of each request", FINAL_DEADLINE, async || {
            let digest = registry::cid_digest(node, relayer, *hash).await?;
            Ok((digest != B256::ZERO).then_some(()))
        })
        .await
        .with_context(|| gateways.each_ref().map(Node::output).concat())?;
    }
    assert_eq!(node.transaction_count(relayer).await?, U256::from(hashes.len()), "each record once");
    pair.cluster.verify_audit()
}
