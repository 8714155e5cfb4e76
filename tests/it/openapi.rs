//! The OpenAPI document before judges who know nothing of this project: whether it is valid, and whether the running
//! gateway keeps to it.

use std::fs;
use std::process::Output;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::environment;
use countersign_tests::fireblocks::Fireblocks;
use countersign_tests::gateway::Gateway;
use countersign_tests::gpg::Gpg;
use countersign_tests::main_job::{MainJob, text};
use countersign_tests::privy::{APP_ID, APP_SECRET, Privy};
use countersign_tests::process::ending;
use countersign_tests::registry;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::Snapshot;
use crate::routes;
use crate::stand::{CHAIN_ID, ETHER, Stand};

const INTERNAL_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const STATIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ\\nD7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g==\\n-----END PUBLIC KEY-----\\n";

/// A gateway with everything configured that an operation may need, at rates that nobody reaches.
struct Scene {
    stand: Stand,
    gateway: Gateway,
    service: Value,
    escrow: Address,
    /// Of a user whose funds lie at Fireblocks.
    vendor_escrow: Address,
    /// Of a user for whom somebody else executes.
    elsewhere: Address,
    gpg: Gpg,
    _vendors: (Fireblocks, Privy),
}

impl Scene {
    async fn new() -> Result<Scene> {
        let vendors = (Fireblocks::start().await?, Privy::start().await?);
        let stand = Stand::with_configuration(&configuration(&vendors)).await?;
        registry::deploy(stand.anvil.node()).await?;
        let gateway = stand.installation.start().await?;
        let relayer: Address = gateway.bootstrap.relayer_address.parse()?;
        stand.anvil.node().set_balance(relayer, U256::from(1_000 * ETHER)).await?;
        let service = add_service(&stand)?;
        let gpg = Gpg::new()?;
        gpg.import(text(&service, "publicKey")?)?;
        let escrow = stand.user(&gateway).await?;
        let vendor_escrow = at_fireblocks(&gateway, &vendors.0).await?;
        let (_, elsewhere) = with_a_key_elsewhere(&gateway).await?;
        Ok(Scene { stand, gateway, service, escrow, vendor_escrow, elsewhere, gpg, _vendors: vendors })
    }

    /// What `credentials.py` has to know.
    fn description(&self) -> Value {
        let bootstrap = &self.gateway.bootstrap;
        json!({
            "gateway": self.gateway.client().origin(), "operator": bootstrap.operator_url, "chainId": CHAIN_ID,
            "service": self.service, "gpgHome": self.gpg.home(), "escrow": self.escrow, "walletKey": self.stand.wallet.secret(),
            "vendorEscrow": self.vendor_escrow, "elsewhere": self.elsewhere,
            "internalToken": INTERNAL_TOKEN,
            "keys": {
                "admin": bootstrap.admin_api_key, "agent": bootstrap.agent_api_key,
                "arbiter": bootstrap.arbiter_api_key, "orion": bootstrap.orion_api_key,
            },
        })
    }
}

/// A new user whose escrow no key of the gateway is for.
async fn with_a_key_elsewhere(gateway: &Gateway) -> Result<(Wallet, Address)> {
    let (wallet, escrow) = (Wallet::random(), Wallet::random().address());
    let admin = Credential::ApiKey(&gateway.bootstrap.admin_api_key);
    let body = json!({"ethereumAddress": wallet.address(), "escrowAddress": escrow});
    gateway.client().post("/users", admin, &body).await?.expect(201)?;
    Ok((wallet, escrow))
}

/// A new user with an active integration for both roles.
async fn at_fireblocks(gateway: &Gateway, fireblocks: &Fireblocks) -> Result<Address> {
    let (wallet, escrow) = with_a_key_elsewhere(gateway).await?;
    let client = gateway.client();
    let job = MainJob { client, bootstrap: &gateway.bootstrap, wallet: &wallet, chain_id: CHAIN_ID };
    let token = job.log_in().await?;
    let user = Credential::Token(&token);
    for (role, api_key) in [
        ("execution", "11111111-2222-4333-8444-555555555551"),
        ("agent", "11111111-2222-4333-8444-555555555552"),
    ] {
        let body = json!({"commonName": "Fuzz", "organization": "Fuzz", "country": "US"});
        let path = format!("/fireblocks/generate-csr/{role}");
        let made = client.post(&path, user, &body).await?.expect(201)?;
        fireblocks.enrol(text(&made, "csr")?, api_key)?;
        let body =
            json!({"apiKey": api_key, "vaultAccountId": "0", "environment": "sandbox", "region": "US"});
        client.post(&format!("/fireblocks/complete/{role}"), user, &body).await?.expect(200)?;
    }
    Ok(escrow)
}

fn configuration((fireblocks, privy): &(Fireblocks, Privy)) -> String {
    let (fireblocks, privy) = (fireblocks.url(), privy.url());
    let hosts = [fireblocks, privy].map(|url| url.trim_start_matches("http://"));
    let registry = registry::configuration(CHAIN_ID);
    let open = ["login", "registration", "failure", "credential", "source"]
        .map(|rate| format!("{rate}_burst = 1000000\n"))
        .concat();
    format!(
        "{registry}[core]\ninternal_token = \"{INTERNAL_TOKEN}\"\n[egress]\nnamed_hosts = {hosts:?}\n\
         [fireblocks]\nenabled = true\nsandbox_url = \"{fireblocks}\"\n\
         assets = [\"sandbox eip155:{CHAIN_ID} ETH_TEST5\"]\n\
         [privy]\nurl = \"{privy}\"\napp_id = \"{APP_ID}\"\napp_secret = \"{APP_SECRET}\"\n\
         static_quorum_id = \"static-quorum\"\nstatic_quorum_threshold = 2\narbiter_public_key = \"{STATIC_KEY}\"\n\
         [server]\n{open}request_timeout_ms = 120000\n\
         [hsm]\nsign_timeout_ms = 60000\ngenerate_timeout_ms = 300000\ncanary_timeout_ms = 120000\n"
    )
}

fn add_service(stand: &Stand) -> Result<Value> {
    let data_dir = stand.installation.data_dir();
    let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
    let inbox = Wallet::random().address().to_string();
    let add = ["verification-service", "add", "--name", "Orion", "--inbox", &inbox, "--built-in", "rsa2048"];
    let added = stand.installation.command(&[&add[..], &["--data-dir", data_dir, "--json"]].concat())?;
    accepted(&added)?;
    Ok(serde_json::from_slice(&added.stdout)?)
}

fn accepted(output: &Output) -> Result<()> {
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    ensure!(output.status.success(), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_public_validator_accepts_the_documents_and_their_examples() -> Result<()> {
    let folder = TempDir::new()?;
    let tools = environment::openapi_tools()?;
    let examples = environment::root().join("tests/openapi/check_examples.py");
    for family in ["core", "operator"] {
        let document = folder.path().join(family);
        let printed = ending(environment::gateway_binary()?).args(["openapi", family]).output()?;
        fs::write(&document, printed.stdout)?;
        accepted(&ending(tools.join("openapi-spec-validator")).arg(&document).output()?)?;
        accepted(&ending(tools.join("python3")).arg(&examples).arg(&document).output()?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_gateway_keeps_to_its_document() -> Result<()> {
    let scene = Scene::new().await?;
    let folder = environment::root().join("tests/openapi");
    let reports = TempDir::new()?;
    let mut schemathesis = ending(environment::openapi_tools()?.join("schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml"));
    schemathesis.arg("run").arg(format!("{}/openapi/core.json", scene.gateway.client().origin()));
    schemathesis.env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    schemathesis.env("COUNTERSIGN_SCENE", scene.description().to_string()).current_dir(reports.path());
    let judged = tokio::task::spawn_blocking(move || schemathesis.output()).await??;
    let metrics = scene.gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    accepted(&judged)?;
    let unreached: Vec<String> = routes::rows()?
        .into_iter()
        .filter(|(method, path, _)| {
            let labels = format!("{{method=\"{method}\",route=\"{path}\",status=\"20");
            !metrics.contains(&labels)
        })
        .map(|(_, _, operation)| operation)
        .collect();
    assert!(unreached.is_empty(), "never answered with success: {unreached:?}");
    let database = Snapshot::take(&scene.stand.installation.data_dir())?;
    let signed = database.count("SELECT count(*) FROM votes WHERE evidence LIKE '%wallet_approval%'").await?;
    assert!(signed > 0, "no approval was taken in form 3");
    scene.stand.finish(scene.gateway).await
}
