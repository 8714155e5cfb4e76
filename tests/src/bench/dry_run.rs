//! "Would this be approved?" over HTTP: an operator's signed request, Orion in a fresh sandbox, the evaluation stored
//! durably with its audit entry; against the bare wasmtime call and a handler that does nothing.

use std::fs;
use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_tests::client::{Client, Credential};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment::{self, unix_seconds};
use countersign_tests::process::Service;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bare_wasm::BareWasm;
use crate::baseline;
use crate::load::{self, Answered, Expected, Script};
use crate::plugins::{SETTINGS, component, request};
use crate::report::{Figure, Report};
use crate::runtimes::Runtimes;
use crate::scale::Scale;
use crate::statistics::percentile_micros;
use crate::throughput::address_of;

const READY_DEADLINE: Duration = Duration::from_mins(1);
const IN_FLIGHT: [usize; 2] = [1, 16];
const PEOPLE: [(&str, &str); 3] = [("ann", "author"), ("bob", "approver"), ("cy", "approver")];
/// Bounds out of the way of whoever asks all the time.
const OPEN: &str = "operator_burst = 10000000\nsource_burst = 10000000\ndry_run_burst = 10000000\n\
    [limits]\ndry_run_evaluations_daily_max = 10000000\n";
const EXPECTED: Expected = Expected { status: "200", body_contains: "\"decision\":\"approved\"" };

/// A deployment with operators, Orion and a user.
struct Stand {
    deployment: Deployment,
    operators: Vec<String>,
    organization: String,
    escrow: String,
    service: Service,
}

pub(crate) async fn measure(runtimes: &Runtimes, scale: &Scale, report: &Report) -> Result<()> {
    let section =
        report.section("dryrun", "POST .../dry-runs, signed by an operator, durable, SQLite, Orion")?;
    let wasm = BareWasm::new(&component("orion")?, SETTINGS, &request().verified);
    let wasm =
        wasm.and_then(|bare| bare.round(1, scale.evaluations)).map_err(|error| anyhow!("{error:#}"))?;
    let stand = Stand::new().await?;
    let author = Signer::new(&stand, 0)?;
    let address = address_of(&stand.deployment.operator_url())?;
    for at_once in IN_FLIGHT {
        let nothing = baseline::handler(runtimes, at_once, scale.http_round / 2).await?.per_second;
        let scripts = stand.requests(&author, address, scale.operations * at_once.min(8))?;
        let answered: Answered = runtimes.load.spawn(load::scripts(address, scripts, at_once)).await??;
        let Answered { per_second, mut latencies, .. } = answered;
        let name = |what: &str| format!("{at_once} in flight: {what}");
        section.figure(
            &Figure::new(name("rate, against an empty handler"), per_second, "requests/s").against(nothing),
        )?;
        let bare = 1e6 / wasm;
        section.figure(
            &Figure::new(name("rate, against a bare call"), per_second, "requests/s").against(bare),
        )?;
        section
            .figure(&Figure::new(name("p50"), percentile_micros(&mut latencies, 50), "us").against(wasm))?;
        section
            .figure(&Figure::new(name("p99"), percentile_micros(&mut latencies, 99), "us").against(wasm))?;
    }
    let service = stand.service;
    ensure!(service.terminate(READY_DEADLINE).await?.success(), "the gateway did not end well");
    section.note("a bare call is InstancePre and one typed call, on one thread")
}

impl Stand {
    async fn new() -> Result<Stand> {
        let mut deployment = Deployment::new()?;
        deployment.server += OPEN;
        let mut charter = vec!["approvals_required = 2".to_owned()];
        for (name, role) in PEOPLE {
            let key = deployment.path(&format!("{name}.key"));
            let made = ["operator", "keygen", "--json", "--out", key.to_str().context("path")?];
            let made = answer(&Deployment::alone(&made)?)?;
            fs::write(deployment.path(&format!("{name}.pem")), made["publicKey"].as_str().context("key")?)?;
            charter.push(format!(
                "[[operator]]\nname = \"{name}\"\nroles = [\"{role}\"]\npublic_key = \"{name}.pem\""
            ));
        }
        let path = deployment.path("charter.toml");
        fs::write(&path, charter.join("\n"))?;
        let made = deployment.init(&["--charter", path.to_str().context("path")?])?;
        let operators = made["operators"].as_array().context("operators")?;
        let operators =
            operators.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect();
        let organization = made["organization"].as_str().context("organization")?.to_owned();
        let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
        service.line_after("ready ", READY_DEADLINE).await?;
        let client = Client::new(&deployment.url());
        let admin = Credential::ApiKey(made["adminApiKey"].as_str().context("key")?);
        let wallet = json!({ "ethereumAddress": Wallet::random().address() });
        let user = client.post("/users", admin, &wallet).await?.expect(201)?;
        let escrow = user["escrowAddress"].as_str().context("escrow")?.to_owned();
        let stand = Stand { deployment, operators, organization, escrow, service };
        stand.bind()?;
        Ok(stand)
    }

    /// Orion as the only binding, by two operators.
    fn bind(&self) -> Result<()> {
        let path = |name: &str| -> Result<String> {
            Ok(self.deployment.path(name).to_str().context("path")?.to_owned())
        };
        let (settings, change) = (path("settings.json")?, path("change.json")?);
        fs::write(&settings, SETTINGS)?;
        let orion = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
        let orion = orion.to_str().context("path")?;
        let signature = path("orion.jws")?;
        let given = ["--name", "orion", "--settings", &settings];
        let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock"];
        let (key, origin) = (path("ann.key")?, self.deployment.url());
        let author = ["--operator", &self.operators[0], "--operator-key", &key];
        let place = ["--organization", &self.organization, "--origin", &origin, "--out", &signature];
        let sign = [&["plugin", "sign", orion][..], &given, &grants, &author, &place].concat();
        let signed = Deployment::alone(&sign)?;
        ensure!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        let install =
            ["plugin", "install", orion, "--authority", "orion", "--signature", &signature, "--json"];
        let stored = answer(&self.deployment.run(&[&install[..], &given, &grants].concat())?)?;
        let policy = json!({
            "kind": "policy", "replaces": 0,
            "floor": {
                "requirements": [], "minimum_execution_type": "direct_user", "minimum_confidence_ppm": 0,
                "evaluation_age_max_seconds": 900, "vote_age_max_seconds": 604_800, "initiator_may_vote": false,
            },
            "bindings": [{
                "revision": stored["id"], "subject_digest": stored["subjectDigest"], "mode": "enforce",
                "power": {"authority": "orion"}, "scope": {"kinds": ["transaction"], "chains": [], "keys": []},
            }],
        });
        fs::write(&change, policy.to_string())?;
        let organization = self.organization.as_str();
        let propose = ["propose", "--organization", organization, "--change", &change, "--reason", "bench"];
        let proposal = self.operator(0, &propose)?;
        let id = proposal["id"].as_str().context("id")?;
        self.operator(1, &["approve", "--yes", id])?;
        self.operator(2, &["approve", "--yes", id])?;
        Ok(())
    }

    fn operator(&self, person: usize, arguments: &[&str]) -> Result<Value> {
        let key = self.deployment.path(&format!("{}.key", PEOPLE[person].0));
        let url = self.deployment.operator_url();
        let key = key.to_str().context("path")?;
        let identity = ["--url", &url, "--operator", &self.operators[person], "--key", key];
        answer(&Deployment::alone(&[&["operator"], arguments, &identity].concat())?)
    }

    /// Each may be sent once.
    fn requests(&self, author: &Signer, address: SocketAddr, count: usize) -> Result<Vec<Script>> {
        let path = format!("/operator/v1/organizations/{}/dry-runs", self.organization);
        let body = json!({
            "escrowAddress": self.escrow, "to": "0x00000000000000000000000000000000000000bb",
            "value": "10000000000000000", "chainId": 31_337,
        });
        let body = body.to_string();
        let signed = |_| {
            let proof = format!("Operator {}", author.proof(&path, &body)?);
            Ok(vec![(load::post_with(&path, address, &[("authorization", proof)], &body), EXPECTED)])
        };
        (0..count).map(signed).collect()
    }
}

fn answer(output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An operator's key, as an independent client holds it.
struct Signer {
    id: String,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(stand: &Stand, person: usize) -> Result<Signer> {
        let pem = fs::read_to_string(stand.deployment.path(&format!("{}.key", PEOPLE[person].0)))?;
        let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &STANDARD.decode(base64)?);
        let key = key.map_err(|error| anyhow!("the operator's key: {error}"))?;
        Ok(Signer { id: stand.operators[person].clone(), key })
    }

    fn proof(&self, path: &str, body: &str) -> Result<String> {
        let header = json!({ "typ": "countersign-operator+jwt", "alg": "ES256", "kid": self.id });
        let claims = json!({
            "htm": "POST", "htu": path, "bsh": URL_SAFE_NO_PAD.encode(Sha256::digest(body)),
            "iat": unix_seconds(), "jti": hex::encode(rand::random::<[u8; 16]>()),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes());
        let signature = signature.map_err(|error| anyhow!("signing: {error}"))?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
