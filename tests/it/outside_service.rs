//! A verification service that is somebody else: it reads what the gateway cannot, votes with a key of its own, and
//! reports how the execution went.

use std::fs;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply};
use countersign_tests::gateway::Gateway;
use countersign_tests::gpg::Gpg;
use countersign_tests::kubo::cid_of;
use countersign_tests::main_job::text;
use countersign_tests::registry;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use reqwest::Method;
use serde_json::{Value, json};

use crate::control::order;
use crate::encrypted::random_hash;
use crate::stand::{CHAIN_ID, ETHER, Stand};

const DEADLINE: Duration = Duration::from_secs(30);
const SERVICE: &str = "orion@example.org";
const CONFIDENCE: f64 = 0.95;

/// A stand with the registry deployed, and people who use an outside service.
struct Scene {
    stand: Stand,
    gateway: Gateway,
    gpg: Gpg,
    escrow: Address,
}

impl Scene {
    async fn new() -> Result<Scene> {
        let stand = Stand::with_configuration(&registry::configuration(CHAIN_ID)).await?;
        registry::deploy(stand.anvil.node()).await?;
        let gateway = stand.installation.start().await?;
        let relayer: Address = gateway.bootstrap.relayer_address.parse()?;
        stand.anvil.node().set_balance(relayer, U256::from(ETHER)).await?;
        // Their own key: what nobody here reads, nobody here executes.
        let escrow = Wallet::random().address();
        let user = json!({"ethereumAddress": stand.wallet.address(), "escrowAddress": escrow});
        gateway.client().post("/users", stand.job(&gateway).admin(), &user).await?.expect(201)?;
        Ok(Scene { stand, gateway, gpg: Gpg::new()?, escrow })
    }

    /// Has the operator add a service with this certificate.
    fn add(&self, certificate: &str) -> Result<Value> {
        let file = self.stand.installation.data_dir().join("service.asc");
        fs::write(&file, certificate)?;
        let (inbox, file) = (Wallet::random().address().to_string(), file.to_str().context("path")?);
        let add = ["verification-service", "add", "--name", "Orion", "--inbox", &inbox, "--public-key", file];
        order(&self.stand.installation, &add)
    }

    /// The key with which the service votes.
    fn orion_key(&self, service: &Value) -> Result<String> {
        let id = service["id"].to_string();
        let create = ["apikey", "create", "--label", "orion", "--name", "verifier", "--verification-service"];
        let made = order(&self.stand.installation, &[&create[..], &[&id]].concat())?;
        Ok(text(&made, "apiKey")?.to_owned())
    }

    fn request(&self, service: &Value, message: &str) -> (B256, Value) {
        let request_hash = random_hash();
        let body = json!({
            "encryptedPayload": message, "requestHash": request_hash, "escrowAddress": self.escrow,
            "chainId": CHAIN_ID, "executionType": 1, "ethereumAddress": self.stand.wallet.address(),
            "verificationServiceId": service["id"],
        });
        (request_hash, body)
    }

    async fn send(&self, body: &Value) -> Result<Reply> {
        self.gateway.client().post("/transactions", self.stand.job(&self.gateway).admin(), body).await
    }

    async fn vote(&self, name: &str, key: &str) -> Result<Reply> {
        let vote = json!({
            "approved": true, "confidence": CONFIDENCE, "analysis": "destination known", "requestHash": name,
        });
        let path = format!("/transactions/{name}/approvals");
        self.gateway.client().post(&path, Credential::ApiKey(key), &vote).await
    }
}

/// The service tells what came of it, on the listener that is not public.
async fn settle(operator: &Client, name: &str, key: &str, told: &Value) -> Result<Reply> {
    let path = format!("/internal/orion-metadata/{name}/settlement");
    operator.send(Method::PATCH, &path, Credential::ApiKey(key), serde_json::to_vec(told)?, &[]).await
}

#[tokio::test]
async fn a_message_to_an_outside_service_is_recorded_voted_on_and_settled_by_it() -> Result<()> {
    let scene = Scene::new().await?;
    let (gateway, job) = (&scene.gateway, scene.stand.job(&scene.gateway));
    let service = scene.add(&scene.gpg.generate(SERVICE)?)?;
    let key = scene.orion_key(&service)?;
    let message = scene.gpg.encrypt("what only Orion reads", SERVICE, &[])?;
    let (request_hash, body) = scene.request(&service, &message);
    let made = scene.send(&body).await?.expect(201)?;
    let name = text(&made, "requestHash")?;
    assert_eq!((&made["status"], &made["payloadType"]), (&json!("PENDING"), &json!("encrypted")), "{made}");
    assert_eq!(made["apiKeyApprovals"], json!([]), "no plugin can read it");
    assert_eq!(text(&made, "ipfsCid")?, cid_of(message.as_bytes()));
    let relayer: Address = gateway.bootstrap.relayer_address.parse()?;
    let node = scene.stand.anvil.node();
    wait::until("the payload to be on record", DEADLINE, async || {
        let digest = registry::cid_digest(node, relayer, request_hash).await?;
        Ok((digest != B256::ZERO).then_some(()))
    })
    .await?;

    let unbound = scene.vote(name, &gateway.bootstrap.orion_api_key).await?;
    assert_eq!(unbound.status, 403, "another service's key: {}", unbound.body);
    let settled = json!({
        "status": "settled", "settlementTxHash": B256::repeat_byte(5), "chainId": CHAIN_ID, "blockNumber": 9,
    });
    let early = settle(&gateway.operator(), name, &key, &settled).await?;
    assert_eq!(early.status, 409, "{}", early.body);
    let voted = scene.vote(name, &key).await?.expect(201)?;
    assert_eq!(
        (&voted["type"], &voted["transactionStatus"]),
        (&json!("orion"), &json!("PENDING")),
        "{voted}"
    );
    job.approve_as_user(name).await?.expect(201)?;
    // The policy asks for an agent too where nobody knows how much is moved.
    let voted = job.approve_as_agent(name).await?.expect(201)?;
    assert_eq!(voted["transactionStatus"], "APPROVED", "{voted}");

    let foreign = settle(&gateway.operator(), name, &gateway.bootstrap.orion_api_key, &settled).await?;
    assert_eq!(foreign.status, 404, "{}", foreign.body);
    settle(&gateway.operator(), name, &key, &settled).await?.expect(200)?;
    let executed = job.final_transaction(name).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(executed["executionTxHash"], json!(B256::repeat_byte(5)));
    assert_eq!(executed["orionMetadata"]["confidence"], CONFIDENCE);
    let Scene { stand, gateway, .. } = scene;
    stand.finish(gateway).await
}

/// What was encrypted while the key was good is refused once it is not, and it is told whose fault that is.
#[tokio::test]
async fn a_service_whose_certificate_expires_is_no_longer_offered_and_named() -> Result<()> {
    let scene = Scene::new().await?;
    let client = scene.gateway.client();
    let service = scene.add(&scene.gpg.generate_expiring(SERVICE, 20)?)?;
    let message = scene.gpg.encrypt("what only Orion reads", SERVICE, &[])?;
    wait::until("the certificate to expire", DEADLINE, async || {
        let offered = client.get("/verification-services/active", Credential::Nobody).await?.expect(200)?;
        Ok((offered == json!([])).then_some(()))
    })
    .await?;
    let path = format!("/verification-services/{}", service["id"]);
    assert_eq!(client.get(&path, Credential::Nobody).await?.expect(200)?["active"], false);
    let refused = scene.send(&scene.request(&service, &message).1).await?;
    assert_eq!(refused.status, 400, "{}", refused.body);
    let told = format!("verificationServiceId {}: the service's public key is expired", service["id"]);
    assert_eq!(refused.message()?, told);
    let Scene { stand, gateway, .. } = scene;
    stand.finish(gateway).await
}
