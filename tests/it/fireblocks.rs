//! Execution by Fireblocks, from the certificate request to the last status, against a counterpart that verifies every
//! request by itself.

use std::sync::OnceLock;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::client::{Credential, Reply};
use countersign_tests::configuration::DENIED_RECIPIENT;
use countersign_tests::fireblocks::{Fireblocks, Mood, openssl};
use countersign_tests::gateway::Gateway;
use countersign_tests::lying_node::Gate;
use countersign_tests::main_job::text;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::stand::{CHAIN_ID, ETHER, Stand};

mod answers;
mod logged_in;
mod rotation;
mod sdk;

const DEADLINE: Duration = Duration::from_secs(30);
const API_KEY: &str = "11111111-2222-4333-8444-555555555555";
const RECIPIENT: &str = "0x1234567890123456789012345678901234567890";
const HASH: &str = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";

/// `transfer(address,uint256)` of one unit.
const TOKEN_CALL: &str = "0xa9059cbb00000000000000000000000035353535353535353535353535353535353535350000000000000000000000000000000000000000000000000000000000000001";

/// A gateway, Fireblocks, and a user whose funds lie at an address of Fireblocks.
struct Scene {
    stand: Stand,
    fireblocks: Fireblocks,
    escrow: Address,
    token: OnceLock<String>,
}

impl Scene {
    async fn new() -> Result<Scene> {
        Scene::with_permits_for(60).await
    }

    async fn with_permits_for(seconds: u32) -> Result<Scene> {
        let fireblocks = Fireblocks::start().await?;
        let url = fireblocks.url();
        let host = url.trim_start_matches("http://");
        // SoftHSM makes nothing else while it makes an RSA key, which takes long on a busy machine.
        let configuration = format!(
            "[egress]\nnamed_hosts = [\"{host}\"]\nrequest_timeout_ms = 60000\n\
             [fireblocks]\nenabled = true\nsandbox_url = \"{url}\"\n\
             assets = [\"sandbox eip155:{CHAIN_ID} ETH_TEST5\"]\npoll_interval_ms = 50\n\
             [server]\nrequest_timeout_ms = 120000\ninline_signing_wait_ms = 60000\n\
             [limits]\npermit_seconds = {seconds}\n\
             [hsm]\nsign_timeout_ms = 60000\ngenerate_timeout_ms = 300000\ncanary_timeout_ms = 120000\n"
        );
        let stand = Stand::with_configuration(&configuration).await?;
        Ok(Scene { stand, fireblocks, escrow: Wallet::random().address(), token: OnceLock::new() })
    }

    fn user(&self) -> Credential<'_> {
        Credential::Token(self.token.get().map_or("", String::as_str))
    }

    /// A user without an integration.
    async fn enrol(&self, gateway: &Gateway) -> Result<()> {
        let body = json!({"ethereumAddress": self.stand.wallet.address(), "escrowAddress": self.escrow});
        gateway.client().post("/users", self.stand.job(gateway).admin(), &body).await?.expect(201)?;
        let token = self.stand.job(gateway).log_in().await?;
        self.token.get_or_init(|| token);
        Ok(())
    }

    async fn request_certificate(&self, gateway: &Gateway, recreate: bool) -> Result<Reply> {
        let body = json!({
            "commonName": "My Organization", "organization": "My Org", "country": "US",
            "organizationalUnit": "Treasury", "state": "New York", "locality": "New York", "email": "ops@my.example",
            "recreate": recreate,
        });
        gateway.client().post("/fireblocks/generate-csr/execution", self.user(), &body).await
    }

    async fn complete(&self, gateway: &Gateway) -> Result<Value> {
        let body =
            json!({"apiKey": API_KEY, "vaultAccountId": "0", "environment": "sandbox", "region": "US"});
        gateway.client().post("/fireblocks/complete/execution", self.user(), &body).await?.expect(200)
    }

    /// A user with an active integration.
    async fn integrate(&self, gateway: &Gateway) -> Result<()> {
        self.enrol(gateway).await?;
        let made = self.request_certificate(gateway, false).await?.expect(201)?;
        self.fireblocks.enrol(text(&made, "csr")?, API_KEY)?;
        self.complete(gateway).await?;
        Ok(())
    }

    async fn validate(&self, gateway: &Gateway) -> Result<Reply> {
        gateway
            .client()
            .send(Method::POST, "/fireblocks/validate/execution", self.user(), Vec::new(), &[])
            .await
    }

    fn order(&self, number: u8, value: u128) -> Value {
        json!({
            "escrowAddress": self.escrow, "to": RECIPIENT, "value": value.to_string(),
            "requestHash": format!("0x{}", hex::encode([number; 32])),
        })
    }

    async fn ask(&self, gateway: &Gateway, order: &Value) -> Result<Reply> {
        let job = self.stand.job(gateway);
        gateway.client().post("/fireblocks/admin/transactions", job.admin(), order).await
    }

    fn check_requests(&self) -> Result<()> {
        let faults = self.fireblocks.faults();
        ensure!(faults.is_empty(), "Fireblocks found fault with requests: {faults:#?}");
        Ok(())
    }
}

#[tokio::test]
async fn an_integration_goes_from_certificate_request_to_validated_key() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.enrol(&gateway).await?;
    let client = gateway.client();
    for path in ["/fireblocks/integration/execution", "/fireblocks/csr/execution"] {
        client.get(path, scene.user()).await?.expect(404)?;
    }
    client.get("/fireblocks/integration/other", scene.user()).await?.expect(400)?;
    scene.validate(&gateway).await?.expect(404)?;

    let made = scene.request_certificate(&gateway, false).await?.expect(201)?;
    assert_eq!((&made["type"], &made["status"]), (&json!("execution"), &json!("csr_generated")));
    let csr = text(&made, "csr")?;
    let told = openssl(&["req", "-verify", "-noout", "-text", "-nameopt", "RFC2253"], csr.as_bytes())?;
    for part in
        ["Public-Key: (4096 bit)", "sha256WithRSAEncryption", "O=My Org", "OU=Treasury", "ST=New York"]
    {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    let spki = openssl(&["req", "-noout", "-pubkey"], csr.as_bytes())?;
    let base64: String = spki.lines().filter(|line| !line.starts_with("-----")).collect();
    let fingerprint = hex::encode(Sha256::digest(STANDARD.decode(base64)?));
    assert_eq!(made["publicKeyFingerprint"], json!(fingerprint));
    let pem = client
        .send(
            Method::GET,
            "/fireblocks/csr/execution",
            scene.user(),
            Vec::new(),
            &[("accept", "application/x-pem-file")],
        )
        .await?;
    assert_eq!((pem.status, pem.body.as_str()), (200, csr));
    assert_eq!(pem.headers["content-type"], "application/x-pem-file");
    assert_eq!(client.get("/fireblocks/csr/execution", scene.user()).await?.expect(200)?, made);
    scene.request_certificate(&gateway, false).await?.expect(409)?;
    scene.validate(&gateway).await?.expect(400)?;

    scene.fireblocks.enrol(csr, API_KEY)?;
    let wrong = json!({"apiKey": API_KEY, "vaultAccountId": "0", "environment": "sandbox", "region": "EU"});
    client.post("/fireblocks/complete/execution", scene.user(), &wrong).await?.expect(400)?;
    let active = scene.complete(&gateway).await?;
    assert_eq!((&active["status"], &active["apiKeyLast4"]), (&json!("active"), &json!("5555")));
    assert!(!active.to_string().contains(API_KEY), "the API key is shown whole");

    let valid = scene.validate(&gateway).await?.expect(200)?;
    assert_eq!((&valid["valid"], &valid["httpStatus"]), (&json!(true), &json!(200)));
    let again = scene.validate(&gateway).await?;
    assert_eq!(again.status, 429);
    assert!(again.headers.contains_key("retry-after"));
    let path = format!("/fireblocks/config/execution/{}", scene.stand.wallet.address());
    let agent = Credential::ApiKey(&gateway.bootstrap.agent_api_key);
    let config = client.get(&path, agent).await?.expect(200)?;
    assert_eq!((&config["apiKey"], &config["baseUrl"]), (&json!(API_KEY), &json!(scene.fireblocks.url())));
    client.get(&path, Credential::ApiKey(&gateway.bootstrap.orion_api_key)).await?.expect(403)?;
    let listed = client.get("/fireblocks/integrations", scene.user()).await?.expect(200)?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    scene.check_requests()
}

#[tokio::test]
async fn a_recreated_key_takes_the_place_of_the_old_one_three_times_a_day() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let first = gateway.client().get("/fireblocks/integration/execution", scene.user()).await?.expect(200)?;
    for _ in 0..3 {
        let made = scene.request_certificate(&gateway, true).await?.expect(201)?;
        assert_eq!(made["status"], "csr_generated");
        assert_ne!(made["keyId"], first["keyId"]);
    }
    let fourth = scene.request_certificate(&gateway, true).await?;
    assert_eq!(fourth.status, 429, "{}", fourth.body);
    let now = gateway.client().get("/fireblocks/integration/execution", scene.user()).await?.expect(200)?;
    assert!(now.get("apiKeyLast4").is_none(), "the API key is dropped: {now}");
    scene.ask(&gateway, &scene.order(1, 1)).await?.expect(404)?;
    let data_dir = scene.stand.installation.data_dir();
    let place = data_dir.to_str().context("a path that is no UTF-8")?;
    let listed = scene.stand.installation.command(&["key", "list", "--data-dir", place, "--json"])?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let keys = listed["keys"].as_array().context("no keys")?;
    let ours: Vec<_> = keys.iter().filter(|key| key["purpose"] == "fireblocks_request").collect();
    assert_eq!((ours.len(), ours.iter().filter(|key| key["state"] == "active").count()), (4, 1), "{ours:#?}");
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_judged_sent_once_and_followed_to_its_end() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let job = scene.stand.job(&gateway);
    let order = scene.order(1, ETHER / 10);
    let name = text(&order, "requestHash")?;
    let sent = scene.ask(&gateway, &order).await?.expect(201)?;
    assert_eq!((&sent["status"], &sent["externalTxId"]), (&json!("SUBMITTED"), &order["requestHash"]));
    let taken = scene.fireblocks.taken(name).context("nothing arrived")?;
    assert_eq!(sent["id"], json!(taken.id));
    let expected = json!({
        "operation": "TRANSFER", "assetId": "ETH_TEST5", "source": {"type": "VAULT_ACCOUNT", "id": "0"},
        "destination": {"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": RECIPIENT}},
        "amount": "0.1", "maxFee": "500", "failOnLowFee": true, "note": format!("gateway {name}"), "externalTxId": name,
    });
    assert_eq!(taken.body, expected);
    assert_eq!(scene.ask(&gateway, &order).await?.expect(201)?["id"], sent["id"], "the stored one");
    let other = json!({"value": "1", "escrowAddress": scene.escrow, "to": RECIPIENT, "requestHash": name});
    scene.ask(&gateway, &other).await?.expect(409)?;

    scene.fireblocks.set_status(name, "BROADCASTING", None)?;
    scene.fireblocks.set_status(name, "COMPLETED", Some(HASH))?;
    let executed = job.final_transaction(name).await?;
    assert_eq!((&executed["status"], &executed["executionTxHash"]), (&json!("EXECUTED"), &json!(HASH)));
    assert_eq!(executed["externalTxId"], name);

    let mut call = scene.order(2, 0);
    call["data"] = json!(TOKEN_CALL);
    let name = text(&call, "requestHash")?;
    let pending = scene.ask(&gateway, &call).await?.expect(201)?;
    assert_eq!(pending["status"], "PENDING_AUTHORIZATION", "Orion wants people for a contract");
    job.approve_as_agent(name).await?.expect(201)?;
    job.approve_as_user(name).await?.expect(201)?;
    let taken =
        wait::until("Fireblocks to take it", DEADLINE, async || Ok(scene.fireblocks.taken(name))).await?;
    assert_eq!((&taken.body["operation"], &taken.body["amount"]), (&json!("CONTRACT_CALL"), &json!("0")));
    assert_eq!(taken.body["extraParameters"], json!({"contractCallData": TOKEN_CALL}));
    assert_eq!(scene.fireblocks.posts().len(), 2);
    scene.check_requests()
}

/// T8: what policy denies, or has not yet approved, the vendor never sees.
#[tokio::test]
async fn nothing_is_sent_before_everybody_agreed() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let job = scene.stand.job(&gateway);
    let mut denied = scene.order(1, 1);
    denied["to"] = json!(DENIED_RECIPIENT);
    scene.ask(&gateway, &denied).await?.expect(403)?;
    scene.ask(&gateway, &denied).await?.expect(403)?;

    let large = scene.order(2, 2 * ETHER);
    let name = text(&large, "requestHash")?;
    let pending = scene.ask(&gateway, &large).await?.expect(201)?;
    assert_eq!(pending["status"], "PENDING_AUTHORIZATION");
    assert!(scene.fireblocks.posts().is_empty(), "something was sent");
    job.approve_as_agent(name).await?.expect(201)?;
    assert!(scene.fireblocks.posts().is_empty(), "something was sent");
    job.approve_as_user(name).await?.expect(201)?;
    wait::until("Fireblocks to take it", DEADLINE, async || Ok(scene.fireblocks.taken(name))).await?;
    scene.fireblocks.set_status(name, "REJECTED", None)?;
    let failed = job.final_transaction(name).await?;
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("FAILED"), &json!("vendor_rejected")));
    assert_eq!(scene.ask(&gateway, &large).await?.expect(201)?["status"], "REJECTED");
    assert_eq!(scene.fireblocks.posts().len(), 1);

    let order = scene.order(3, 1);
    for (key, status) in [(&gateway.bootstrap.agent_api_key, 401), (&gateway.bootstrap.admin_api_key, 201)] {
        let asked =
            gateway.client().post("/fireblocks/admin/transactions", Credential::ApiKey(key), &order).await?;
        assert_eq!(asked.status, status, "{}", asked.body);
    }
    gateway.client().post("/fireblocks/admin/transactions", Credential::Nobody, &order).await?.expect(401)?;
    let stranger = json!({"escrowAddress": RECIPIENT, "to": RECIPIENT, "value": "1", "requestHash": HASH});
    scene.ask(&gateway, &stranger).await?.expect(404)?;
    scene.check_requests()
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_is_final() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    scene.fireblocks.set_mood(Mood::Refuse { status: 400, code: 1427 });
    let order = scene.order(1, 1);
    for _ in 0..2 {
        let refused = scene.ask(&gateway, &order).await?.expect(502)?;
        assert_eq!(refused["details"], json!({"httpStatus": 400, "code": 1427}));
        assert!(!refused.to_string().contains("secret"), "upstream text reaches the client: {refused}");
    }
    assert_eq!(scene.fireblocks.posts().len(), 1, "a refused transaction was sent again");
    let name = text(&order, "requestHash")?;
    let failed = scene.stand.job(&gateway).final_transaction(name).await?;
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("FAILED"), &json!("vendor_refused")));

    // A vendor that takes a transaction and says that it did not is found out by the external id.
    scene.fireblocks.set_mood(Mood::TakeAndRefuse { status: 400, code: 1438 });
    let order = scene.order(2, 1);
    let sent = scene.ask(&gateway, &order).await?.expect(201)?;
    assert_eq!(sent["status"], "SUBMITTED");
    scene.fireblocks.set_mood(Mood::Honest);
    scene.fireblocks.set_status(text(&order, "requestHash")?, "COMPLETED", Some(HASH))?;
    let executed = scene.stand.job(&gateway).final_transaction(text(&order, "requestHash")?).await?;
    assert_eq!(executed["status"], "EXECUTED");
    scene.check_requests()
}

#[tokio::test]
async fn a_key_that_fireblocks_no_longer_takes_is_invalid() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    scene.fireblocks.forget_users();
    let invalid = scene.validate(&gateway).await?.expect(200)?;
    assert_eq!((&invalid["valid"], &invalid["httpStatus"]), (&json!(false), &json!(401)));
    let told = gateway.client().get("/fireblocks/integration/execution", scene.user()).await?.expect(200)?;
    assert_eq!(told["status"], "invalid");
    assert!(told["lastValidationError"].is_string() && told["lastValidatedAt"].is_string(), "{told}");
    scene.ask(&gateway, &scene.order(1, 1)).await?.expect(404)?;
    Ok(())
}

/// Killed while the vendor's answer is under way: it was taken, and is found by its external id.
#[tokio::test]
async fn killed_between_permit_and_answer_it_is_sent_once() -> Result<()> {
    let gate = Gate::new();
    killed(Mood::HoldAfter(gate.clone()), &gate, 1).await
}

/// Killed before the vendor took it: the same request is sent again, under the same key.
#[tokio::test]
async fn killed_before_it_was_taken_it_is_sent_again_under_the_same_key() -> Result<()> {
    let gate = Gate::new();
    killed(Mood::HoldBefore(gate.clone()), &gate, 2).await
}

async fn killed(mood: Mood, gate: &Gate, posts: usize) -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    scene.fireblocks.set_mood(mood);
    let order = scene.order(1, 1);
    let name = text(&order, "requestHash")?;
    {
        let asked = scene.ask(&gateway, &order);
        tokio::select! {
            answered = asked => drop(answered?),
            reached = timeout(DEADLINE, gate.reached()) => reached.context("nothing arrived")?,
        }
    }
    gateway.kill()?;
    scene.fireblocks.set_mood(Mood::Honest);
    gate.release();
    let gateway = scene.stand.installation.start().await?;
    let taken = wait::until("Fireblocks to have it", DEADLINE, async || {
        Ok(scene.fireblocks.taken(name).filter(|_| scene.fireblocks.posts().len() == posts))
    });
    let taken = taken.await.with_context(|| gateway.output())?;
    scene.fireblocks.set_status(name, "COMPLETED", Some(HASH))?;
    let executed = scene.stand.job(&gateway).final_transaction(name).await?;
    assert_eq!(executed["status"], "EXECUTED");
    assert_eq!(scene.ask(&gateway, &order).await?.expect(201)?["id"], json!(taken.id));
    let sent = scene.fireblocks.posts();
    assert_eq!(sent.len(), posts);
    assert!(sent.iter().all(|post| *post == sent[0]), "key or body differ: {sent:#?}");
    gateway.stop().await?;
    scene.stand.installation.verify_audit()?;
    scene.check_requests()
}

#[tokio::test]
async fn an_installation_without_vendors_names_the_setting() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let admin = job.admin();
    let token = stand.job(&gateway).log_in().await?;
    let user = Credential::Token(&token);
    let order = json!({"escrowAddress": RECIPIENT, "to": RECIPIENT, "value": "1", "requestHash": HASH});
    let quorum =
        json!({"displayName": "x", "ethereumAddress": stand.wallet.address(), "privyUserId": "did:privy:x"});
    for (path, credential, body, setting) in [
        ("/fireblocks/admin/transactions", admin, &order, "`fireblocks.enabled`"),
        ("/privy-quorum", admin, &quorum, "`privy.app_id`"),
    ] {
        let reply = gateway.client().post(path, credential, body).await?;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(reply.message()?.contains(setting), "{}", reply.body);
    }
    let reply = gateway.client().get("/fireblocks/integrations", user).await?;
    assert_eq!(reply.status, 503, "{}", reply.body);
    Ok(())
}
