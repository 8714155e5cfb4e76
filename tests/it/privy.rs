//! Execution by Privy: quorums, a wallet at Privy that signs what policy approved, and what comes of a Privy that errs.

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Credential, Reply};
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::{Transfer, text};
use countersign_tests::privy::{APP_ID, APP_SECRET, Privy};
use countersign_tests::wallet::Wallet;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, ETHER, Stand, request_hash};

const PRIVY_USER: &str = "did:privy:cm7oxq1el000e11o8iwp7d0d0";
/// A P-256 key of nobody.
const MEMBER: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ\nD7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g==\n-----END PUBLIC KEY-----\n";

/// A gateway, Privy, and a user whose funds lie in a wallet at Privy.
struct Scene {
    stand: Stand,
    privy: Privy,
    escrow: Address,
}

impl Scene {
    async fn new() -> Result<Scene> {
        let privy = Privy::start().await?;
        let url = privy.url();
        let host = url.trim_start_matches("http://");
        let arbiter = MEMBER.replace('\n', "\\n");
        let configuration = format!(
            "[egress]\nnamed_hosts = [\"{host}\"]\n\
             [privy]\nurl = \"{url}\"\napp_id = \"{APP_ID}\"\napp_secret = \"{APP_SECRET}\"\n\
             static_quorum_id = \"static-quorum\"\nstatic_quorum_threshold = 2\narbiter_public_key = \"{arbiter}\"\n\
             [limits]\nunavailable_pause_ms = 100\n"
        );
        let stand = Stand::with_configuration(&configuration).await?;
        let escrow = privy.make_wallet(PRIVY_USER);
        stand.fund(escrow).await?;
        Ok(Scene { stand, privy, escrow })
    }

    /// Enrols the user; the answer is an access token.
    async fn enrol(&self, gateway: &Gateway) -> Result<String> {
        let job = self.stand.job(gateway);
        let body = json!({
            "ethereumAddress": self.stand.wallet.address(), "escrowAddress": self.escrow, "privyUserId": PRIVY_USER,
        });
        gateway.client().post("/users", job.admin(), &body).await?.expect(201)?;
        job.log_in().await
    }

    /// Makes the key that authorizes requests, and has Privy know it; the answer is its public half.
    fn authorize(&self) -> Result<String> {
        let data_dir = self.stand.installation.data_dir();
        let place = data_dir.to_str().context("a path that is no UTF-8")?;
        let made = self.stand.installation.command(&[
            "key",
            "create",
            "privy-authorization",
            "--data-dir",
            place,
            "--json",
        ])?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout)?;
        let pem = text(&made, "publicKeyPem")?.to_owned();
        self.privy.authorize(&pem)?;
        Ok(pem)
    }

    /// A user whose settings name Privy.
    async fn integrate(&self, gateway: &Gateway) -> Result<()> {
        let token = self.enrol(gateway).await?;
        let pem = self.authorize()?;
        let body = json!({"type": "execution", "displayName": "Ada", "p256PublicKey": pem});
        let path = "/settings/register-privy-quorum";
        gateway.client().post(path, Credential::Token(&token), &body).await?.expect(201)?;
        put(gateway, "/settings", &token, &json!({"executionProvider": "privy", "agentProvider": "none"}))
            .await?
            .expect(200)?;
        Ok(())
    }

    async fn propose(&self, gateway: &Gateway, wei: u128) -> Result<(Transfer, Value)> {
        let transfer = Transfer {
            escrow: self.escrow,
            to: Wallet::random().address(),
            value: U256::from(wei),
            request_nonce: None,
        };
        let proposed = self.stand.job(gateway).propose(&transfer).await?.expect(201)?;
        Ok((transfer, proposed))
    }

    async fn ended(&self, gateway: &Gateway, proposed: &Value) -> Result<Value> {
        let ended = self.stand.job(gateway).final_transaction(request_hash(proposed)).await;
        ended.with_context(|| gateway.output())
    }

    async fn received(&self, transfer: &Transfer) -> Result<U256> {
        self.stand.anvil.node().balance(transfer.to).await
    }

    fn check_requests(&self) -> Result<()> {
        let faults = self.privy.faults();
        ensure!(faults.is_empty(), "Privy found fault with requests: {faults:#?}");
        Ok(())
    }
}

async fn put(gateway: &Gateway, path: &str, token: &str, body: &Value) -> Result<Reply> {
    gateway.client().send(Method::PUT, path, Credential::Token(token), serde_json::to_vec(body)?, &[]).await
}

#[tokio::test]
async fn quorums_are_made_named_replaced_and_forgotten() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    let token = scene.enrol(&gateway).await?;
    let (client, user) = (gateway.client(), Credential::Token(&token));
    let quorum = "/settings/privy-quorum/execution";
    client.get(quorum, user).await?.expect(404)?;
    client.send(Method::DELETE, quorum, user, Vec::new(), &[]).await?.expect(404)?;
    client.get("/settings/privy-quorum/arbiter", user).await?.expect(400)?;
    let provider = json!({"executionProvider": "privy", "agentProvider": "privy"});
    let refused = put(&gateway, "/settings", &token, &provider).await?.expect(400)?;
    assert_eq!(refused["message"].as_array().map(Vec::len), Some(2), "{refused}");

    let register = "/settings/register-privy-quorum";
    let body =
        json!({"type": "execution", "displayName": "Ada", "p256PublicKey": MEMBER, "message": "hello"});
    let made = client.post(register, user, &body).await?.expect(201)?;
    let told = scene.privy.quorums();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["display_name"], &told[0]["authorization_threshold"]), (&json!("Ada"), &json!(1)));
    assert_eq!(
        (&made["quorumId"], &made["isStatic"], &made["type"]),
        (&told[0]["id"], &json!(false), &json!("execution"))
    );
    assert_eq!((&made["p256PublicKey"], &made["message"]), (&json!(MEMBER), &json!("hello")));
    for missing in ["displayName", "p256PublicKey"] {
        let mut body = body.clone();
        body.as_object_mut().context("an object")?.remove(missing);
        client.post(register, user, &body).await?.expect(400)?;
    }
    // What is ignored must have the described form, and may say anything.
    let too_long = json!({"type": "agent", "navaAgent": true, "displayName": "x".repeat(51)});
    client.post(register, user, &too_long).await?.expect(400)?;
    let configured =
        json!({"type": "agent", "navaAgent": true, "displayName": "anything", "p256PublicKey": "no key"});
    let agent = client.post(register, user, &configured).await?.expect(201)?;
    assert_eq!((&agent["quorumId"], &agent["isStatic"]), (&json!("static-quorum"), &json!(true)));
    assert_eq!((&agent["authorizationThreshold"], agent.get("p256PublicKey")), (&json!(2), None));
    assert_eq!(scene.privy.quorums().len(), 1, "Privy was asked for the configured quorum");

    let settings = put(&gateway, "/settings", &token, &provider).await?.expect(200)?;
    assert_eq!(settings["privyQuorums"], json!({"execution": made, "agent": agent}));
    assert_eq!(client.get("/settings", user).await?.expect(200)?["privyQuorums"], settings["privyQuorums"]);
    let renamed = json!({"quorumId": "another-quorum", "displayName": "Other"});
    let replaced = put(&gateway, quorum, &token, &renamed).await?.expect(200)?;
    assert_eq!((&replaced["id"], &replaced["quorumId"]), (&made["id"], &json!("another-quorum")));
    let deleted = client.send(Method::DELETE, quorum, user, Vec::new(), &[]).await?.expect(200)?;
    assert_eq!(deleted, json!({"deleted": true, "type": "execution"}));
    client.get(quorum, user).await?.expect(404)?;
    assert_eq!(scene.privy.quorums().len(), 1);

    let arbiter = json!({
        "displayName": "Arbiter Quorum", "ethereumAddress": scene.stand.wallet.address(), "privyUserId": PRIVY_USER,
    });
    let agent_key = Credential::ApiKey(&gateway.bootstrap.agent_api_key);
    let made = client.post("/privy-quorum", agent_key, &arbiter).await?.expect(201)?;
    assert_eq!((&made["type"], &made["authorizationThreshold"]), (&json!("arbiter"), &json!(1)));
    let told = scene.privy.quorums();
    let arbiter_quorum = told.last().context("no quorum")?;
    assert_eq!(arbiter_quorum["user_ids"], json!([PRIVY_USER]));
    assert_eq!(arbiter_quorum["authorization_keys"].as_array().map(Vec::len), Some(1));
    let mut unknown = arbiter.clone();
    unknown["ethereumAddress"] = json!(Wallet::random().address());
    client.post("/privy-quorum", agent_key, &unknown).await?.expect(400)?;
    scene.check_requests()?;

    let Scene { stand, privy, .. } = scene;
    drop(privy);
    client.post(register, user, &body).await?.expect(502)?;
    assert!(!gateway.output().contains(APP_SECRET), "the app's secret is logged");
    gateway.stop().await?;
    stand.installation.verify_audit()?;
    Ok(())
}

#[tokio::test]
async fn a_wallet_at_privy_signs_what_was_approved_and_the_gateway_sends_it() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let job = scene.stand.job(&gateway);
    let (transfer, proposed) = scene.propose(&gateway, ETHER / 10).await?;
    let executed = scene.ended(&gateway, &proposed).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(scene.received(&transfer).await?, transfer.value);

    // T8: nobody asks Privy before everybody has agreed.
    let (transfer, pending) = scene.propose(&gateway, ETHER).await?;
    let name = request_hash(&pending);
    job.approve_as_agent(name).await?.expect(201)?;
    assert_eq!(scene.privy.signed().len(), 1, "Privy was asked too early");
    job.approve_as_user(name).await?.expect(201)?;
    let executed = scene.ended(&gateway, &pending).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(scene.received(&transfer).await?, transfer.value);
    let signed = scene.privy.signed();
    let nonces: Vec<_> = signed.iter().map(|body| &body["params"]["transaction"]["nonce"]).collect();
    assert_eq!(nonces, [&json!(0), &json!(1)]);
    assert!(signed.iter().all(|body| body["params"]["transaction"]["chain_id"] == CHAIN_ID));
    scene.check_requests()?;
    gateway.stop().await?;
    scene.stand.installation.verify_audit()?;
    Ok(())
}

/// Nobody enrolled the user: the server that makes the arbiter's quorum says which account at Privy is theirs.
#[tokio::test]
async fn a_wallet_that_logged_in_first_gets_to_an_execution_by_privy() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    let (job, client) = (scene.stand.job(&gateway), gateway.client());
    let token = job.log_in().await?;
    let pem = scene.authorize()?;
    let arbiter = json!({
        "displayName": "Arbiter Quorum", "ethereumAddress": scene.stand.wallet.address(), "privyUserId": PRIVY_USER,
    });
    let agent = Credential::ApiKey(&gateway.bootstrap.agent_api_key);
    client.post("/privy-quorum", agent, &arbiter).await?.expect(201)?;
    let body = json!({"type": "execution", "displayName": "Ada", "p256PublicKey": pem});
    client.post("/settings/register-privy-quorum", Credential::Token(&token), &body).await?.expect(201)?;
    let choice = json!({
        "escrowAddress": scene.escrow, "executionType": 0, "executionProvider": "privy", "agentProvider": "none",
    });
    let admin = [("x-api-key", gateway.bootstrap.admin_api_key.as_str())];
    let settings = client
        .send(Method::PUT, "/settings", Credential::Token(&token), serde_json::to_vec(&choice)?, &admin)
        .await?
        .expect(200)?;
    assert_eq!(settings["executionProvider"], "privy", "{settings}");
    let (transfer, proposed) = scene.propose(&gateway, ETHER / 10).await?;
    let executed = scene.ended(&gateway, &proposed).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(scene.received(&transfer).await?, transfer.value);
    scene.check_requests()?;
    assert_eq!(
        job.transaction(request_hash(&proposed)).await?.context("it is listed")?["status"],
        "EXECUTED"
    );
    scene.stand.finish(gateway).await
}

#[tokio::test]
async fn a_refusal_or_lie_of_privy_is_final_and_holds_up_nobody() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    scene.privy.set_refuses(Some(400));
    let (transfer, proposed) = scene.propose(&gateway, 1).await?;
    let failed = scene.ended(&gateway, &proposed).await?;
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("FAILED"), &json!("vendor_refused")));
    assert_eq!(scene.received(&transfer).await?, U256::ZERO);
    assert!(!gateway.output().contains("upstream secret text"), "upstream text is logged");
    scene.privy.set_refuses(None);

    scene.privy.set_hides(true);
    let (_, proposed) = scene.propose(&gateway, 1).await?;
    let failed = scene.ended(&gateway, &proposed).await?;
    let reason = json!("vendor_wallet_missing");
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("FAILED"), &reason));
    scene.privy.set_hides(false);

    // T24: a signature over something else is none.
    scene.privy.set_lies(true);
    let (transfer, proposed) = scene.propose(&gateway, 1).await?;
    let failed = scene.ended(&gateway, &proposed).await?;
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("FAILED"), &json!("vendor_failed")));
    assert_eq!(scene.received(&transfer).await?, U256::ZERO);
    scene.privy.set_lies(false);
    let (transfer, proposed) = scene.propose(&gateway, 1).await?;
    let executed = scene.ended(&gateway, &proposed).await?;
    assert_eq!((&executed["status"], scene.received(&transfer).await?), (&json!("EXECUTED"), transfer.value));
    scene.check_requests()
}

#[tokio::test]
async fn killed_while_privy_is_away_it_is_paid_once() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    scene.privy.set_refuses(Some(503));
    let (transfer, proposed) = scene.propose(&gateway, 1).await?;
    gateway.kill()?;
    scene.privy.set_refuses(None);
    let gateway = scene.stand.installation.start().await?;
    let executed = scene.ended(&gateway, &proposed).await?;
    assert_eq!((&executed["status"], scene.received(&transfer).await?), (&json!("EXECUTED"), transfer.value));
    assert_eq!(scene.stand.anvil.node().transaction_count(scene.escrow).await?, U256::from(1));
    scene.check_requests()
}
