//! A deployment with operators, run by its own commands: from the ceremony to a policy that two have approved (T31).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::environment;
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};

use countersign_tests::deployment::Deployment;

use crate::database::Snapshot;

const DEADLINE: Duration = Duration::from_mins(1);

/// Commands of the three operators.
struct Operators<'d> {
    deployment: &'d Deployment,
    url: String,
    ids: Vec<String>,
}

const PEOPLE: [(&str, &str); 3] = [("ann", "author"), ("bob", "approver"), ("cy", "approver")];

impl Operators<'_> {
    fn run(&self, person: usize, arguments: &[&str]) -> Result<std::process::Output> {
        let key = self.deployment.path(&format!("{}.key", PEOPLE[person].0));
        let identity =
            ["--url", &self.url, "--operator", &self.ids[person], "--key", key.to_str().context("path")?];
        Deployment::alone(&[&["operator"], arguments, &identity].concat())
    }

    fn done(&self, person: usize, arguments: &[&str]) -> Result<Value> {
        let output = self.run(person, arguments)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A signature for a plugin of this organization.
    fn sign(
        &self,
        person: usize,
        component: &str,
        name: &[&str],
        grants: &[&str],
        organization: &str,
    ) -> Result<PathBuf> {
        let key = self.deployment.path(&format!("{}.key", PEOPLE[person].0));
        let signature =
            tempfile::Builder::new().tempdir_in(self.deployment.path("."))?.keep().join("signature");
        let origin = self.deployment.url();
        let identity = ["--operator", &self.ids[person], "--operator-key", key.to_str().context("path")?];
        let place = ["--organization", organization, "--origin", &origin];
        let out = ["--out", signature.to_str().context("path")?];
        let output = Deployment::alone(
            &[&["plugin", "sign", component], name, grants, &identity[..], &place[..], &out[..]].concat(),
        )?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(signature)
    }

    fn refused(&self, person: usize, arguments: &[&str], rule: &str) -> Result<()> {
        let output = self.run(person, arguments)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && text.contains(rule), "`{rule}`: {text}");
        Ok(())
    }
}

/// Each makes a key of their own; the charter's file names them.
pub(crate) fn ceremony(deployment: &Deployment) -> Result<()> {
    let mut charter = vec!["approvals_required = 2".to_owned()];
    for (name, role) in PEOPLE {
        let key = deployment.path(&format!("{name}.key"));
        let output =
            Deployment::alone(&["operator", "keygen", "--json", "--out", key.to_str().context("path")?])?;
        let made: Value = serde_json::from_slice(&output.stdout)?;
        let public = made["publicKey"].as_str().context("no key")?;
        fs::write(deployment.path(&format!("{name}.pem")), public)?;
        charter.push(format!(
            "[[operator]]\nname = \"{name}\"\nroles = [\"{role}\"]\npublic_key = \"{name}.pem\""
        ));
    }
    fs::write(deployment.path("charter.toml"), charter.join("\n"))?;
    Ok(())
}

#[tokio::test]
async fn a_policy_takes_two_operators_and_no_command_alone_enlarges_anything() -> Result<()> {
    let mut deployment = Deployment::new()?;
    ceremony(&deployment)?;
    let charter = deployment.path("charter.toml");
    let made = deployment.init(&["--charter", charter.to_str().context("path")?])?;
    let ids = made["operators"].as_array().context("operators")?;
    let ids = ids.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect();
    let organization = made["organization"].as_str().context("organization")?;

    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    let operators = Operators { deployment: &deployment, url: deployment.operator_url(), ids };

    // What a command may do on the machine itself: store a plugin, and stop things.
    let refusal = deployment.fails(&["apikey", "create", "--label", "agent", "--name", "mine"], 1)?;
    ensure!(refusal.contains("countersign operator propose"), "{refusal}");
    let orion = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    let orion = orion.to_str().context("path")?;
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock"];
    let authority = ["--authority", "orion", "--json"];
    let install = [&["plugin", "install", orion, "--name", "orion"], &grants[..], &authority[..]].concat();
    let refusal = deployment.fails(&install, 1)?;
    ensure!(refusal.contains("it is not signed"), "{refusal}");
    let signature = operators.sign(0, orion, &["--name", "orion"], &grants, organization)?;
    let install = [&install[..], &["--signature", signature.to_str().context("path")?]].concat();
    let output = deployment.run(&install)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stored: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(stored["policyRevision"].is_null(), "{stored}");
    ensure!(deployment.run(&["freeze", "organization"])?.status.success());
    let refusal = deployment.fails(&["freeze", "organization", "--lift"], 1)?;
    ensure!(refusal.contains("countersign operator propose"), "{refusal}");

    let change = json!({
        "kind": "policy", "replaces": 0,
        "floor": {
            "requirements": [], "minimum_execution_type": "direct_user", "minimum_confidence_ppm": 0,
            "evaluation_age_max_seconds": 900, "vote_age_max_seconds": 604_800, "initiator_may_vote": false,
        },
        "bindings": [{
            "revision": stored["id"], "subject_digest": stored["subjectDigest"], "mode": "enforce", "power": {"authority": "orion"},
            "scope": {"kinds": ["transaction"], "chains": [], "keys": []},
        }],
    });
    fs::write(deployment.path("change.json"), change.to_string())?;
    let change = deployment.path("change.json");
    let change = change.to_str().context("path")?;
    let propose = ["propose", "--organization", organization, "--change", change, "--reason", "Orion judges"];
    operators.refused(1, &propose, "author is required")?;
    let proposal = operators.done(0, &propose)?;
    let id = proposal["id"].as_str().context("id")?;
    operators.refused(0, &["approve", "--yes", id], "approver is required")?;
    ensure!(operators.done(1, &["approve", "--yes", id])?["state"] == "open");
    ensure!(operators.done(2, &["approve", "--yes", id])?["state"] == "carried");
    let policy = format!("/operator/v1/organizations/{organization}/policy");
    let policy = operators.done(1, &["request", "get", &policy])?;
    ensure!(policy["revision"] == 1 && policy["bindings"][0]["plugin"] == "orion", "{policy}");

    ensure!(service.terminate(DEADLINE).await?.success());
    let pinned = made["auditKeyFingerprint"].as_str().context("fingerprint")?;
    let verified = deployment.run(&["audit", "verify", "--key", pinned])?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    Ok(())
}

/// Large values go to people, everything else is approved.
const ORION_SETTINGS: &str =
    r#"{"valueLimit":"10000000000000000000","denyList":[],"newRecipientValue":"5000000000000000000"}"#;

/// A running deployment with a charter, its client and the wallet it made an escrow for.
struct Staged<'d> {
    operators: Operators<'d>,
    organization: String,
    client: Client,
    admin: String,
    escrow: Address,
}

impl Staged<'_> {
    /// Signed by Ann, stored, and not bound.
    fn upload(&self, guest: &str, settings: &str, grants: &[&str]) -> Result<String> {
        let component = environment::gateway_binary()?.with_file_name(format!("../guests/{guest}.wasm"));
        let component = component.to_str().context("path")?;
        let path = self.operators.deployment.path(&format!("{guest}.json"));
        fs::write(&path, settings)?;
        let mut given = vec!["--settings", path.to_str().context("path")?];
        given.extend(grants.iter().flat_map(|grant| ["--grant", *grant]));
        let signature = self.operators.sign(0, component, &["--name", guest], &given, &self.organization)?;
        let upload = ["plugin", "upload", component, "--name", guest, "--signature"];
        let place = [signature.to_str().context("path")?, "--organization", &self.organization, "--json"];
        let stored = self.operators.done(0, &[&upload[..], &place, &given].concat())?;
        Ok(text(&stored, "id")?.to_owned())
    }

    /// Proposed by Ann, approved by Bob and Cy.
    fn carried(&self, change: &[&str]) -> Result<()> {
        let place = ["--organization", &self.organization, "--reason", "staging", "--json"];
        let proposal = self.operators.done(0, &[change, &place].concat())?;
        let id = text(&proposal, "id")?;
        ensure!(self.operators.done(1, &["approve", "--yes", id])?["state"] == "open");
        ensure!(self.operators.done(2, &["approve", "--yes", id])?["state"] == "carried");
        Ok(())
    }

    fn bound(&self, revision: &str, mode: &str, further: &[&str]) -> Result<()> {
        let scope = ["--kind", "transaction", "--chain", "eip155:31337"];
        self.carried(&[&["bind", "--plugin", revision, "--mode", mode], &scope[..], further].concat())
    }

    async fn transfer(&self) -> Result<Value> {
        let to = Wallet::random().address();
        let body = json!({"escrowAddress": self.escrow, "to": to, "value": "1", "chainId": 31_337});
        self.client.post("/transactions", Credential::ApiKey(&self.admin), &body).await?.expect(201)
    }

    async fn is_refused(&self) -> Result<bool> {
        Ok(self.transfer().await?["status"] == "REJECTED")
    }

    /// What a shadow has said about a transfer, once it has spoken.
    async fn shadow_of(&self, transfer: &Value) -> Result<Value> {
        let path = format!("/transactions/{}/approval-status", text(transfer, "requestHash")?);
        let status = self.client.get(&path, Credential::ApiKey(&self.admin)).await?.expect(200)?;
        let id = text(&status, "transactionId")?;
        wait::until("the shadow's word", DEADLINE, async || {
            let output = self.operators.deployment.run(&["plugin", "replay", id, "--json"])?;
            let told: Value = serde_json::from_slice(&output.stdout)?;
            let mut heard = told["evaluations"].as_array().into_iter().flatten();
            Ok(heard.find(|one| one["purpose"] == "shadow").cloned())
        })
        .await
    }
}

/// From an upload to a shadow, to a gate that denies, back by a quorum, and stopped by one.
#[tokio::test]
async fn a_plugin_is_staged_by_a_quorum_and_stopped_by_one() -> Result<()> {
    let mut deployment = Deployment::new()?;
    ceremony(&deployment)?;
    let charter = deployment.path("charter.toml");
    let made = deployment.init(&["--charter", charter.to_str().context("path")?])?;
    let ids = made["operators"].as_array().context("operators")?;
    let ids = ids.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect();
    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    let (client, admin) = (Client::new(&deployment.url()), text(&made, "adminApiKey")?.to_owned());
    let body = json!({"ethereumAddress": Wallet::random().address(), "displayName": "Ada"});
    let user = client.post("/users", Credential::ApiKey(&admin), &body).await?.expect(201)?;
    let operators = Operators { deployment: &deployment, url: deployment.operator_url(), ids };
    let (organization, escrow) =
        (text(&made, "organization")?.to_owned(), text(&user, "escrowAddress")?.parse()?);
    let staged = Staged { operators, organization, client, admin, escrow };

    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let first = staged.transfer().await?;
    ensure!(first["status"] != "REJECTED", "{first}");

    // No transaction at all, were it asked in earnest.
    let limiter = staged.upload("limiter", "0", &["log", "settings", "state"])?;
    staged.bound(&limiter, "shadow", &["--gate"])?;
    let transfer = staged.transfer().await?;
    ensure!(transfer["status"] != "REJECTED", "{transfer}");
    let said = staged.shadow_of(&transfer).await?;
    ensure!(said["plugin"] == "limiter", "{said}");

    staged.bound(&limiter, "enforce", &["--gate", "--before", "orion"])?;
    ensure!(staged.is_refused().await?);
    staged.carried(&["policy", "rollback", "2"])?;
    ensure!(!staged.is_refused().await?);

    let place = ["--organization", &staged.organization, "--json"];
    staged.operators.done(1, &[&["plugin", "revoke", "--yes", &orion], &place[..]].concat())?;
    ensure!(staged.is_refused().await?);
    let shown = staged.operators.done(2, &[&["plugin", "inspect", &orion], &place[..]].concat())?;
    ensure!(shown["revoked"]["by"] == staged.operators.ids[1], "{shown}");
    let component = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    ensure!(shown["bytes"] == fs::metadata(component)?.len() && shown["grantFaults"] == json!([]), "{shown}");
    let imports = shown["imports"].as_array().context("imports")?;
    ensure!(imports.contains(&json!("countersign:policy/log@1.0.0")), "{shown}");
    let policies = staged.operators.done(2, &[&["policy", "list"], &place[..]].concat())?;
    let newest = &policies["policies"][0];
    ensure!(
        newest["revision"] == 4 && newest["carried"]["proposer"] == staged.operators.ids[0],
        "{policies}"
    );
    // The gateway's own machine may deny too, and no more than that.
    let local = staged.operators.deployment.run(&["plugin", "revoke", &limiter, "--json"])?;
    ensure!(local.status.success(), "{}", String::from_utf8_lossy(&local.stderr));
    let shown = staged.operators.done(2, &[&["plugin", "inspect", &limiter], &place[..]].concat())?;
    ensure!(shown["revoked"]["at"].is_string() && shown["revoked"].get("by").is_none(), "{shown}");
    let bind = ["bind", "--plugin", &limiter, "--mode", "shadow", "--gate", "--kind", "transaction"];
    let bind = [&bind[..], &["--reason", "again", "--organization", &staged.organization]].concat();
    staged.operators.refused(0, &bind, "the revision was revoked")?;
    // One alone brings nothing back.
    let again = ["policy", "rollback", "1", "--reason", "alone", "--organization", &staged.organization];
    staged.operators.refused(0, &again, "it was revoked")?;
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}

/// The token remembers what the database lost: nothing then counts as a deployment without operators.
#[tokio::test]
async fn a_charter_whose_row_is_gone_is_missing_and_not_absent() -> Result<()> {
    let mut deployment = Deployment::new()?;
    ceremony(&deployment)?;
    let charter = deployment.path("charter.toml");
    let charter = charter.to_str().context("path")?;
    // A crash between the mark on the token and the commit: the database is as if nothing had happened.
    deployment.init(&["--charter", charter])?;
    for file in ["gateway.db", "gateway.db-wal", "gateway.db-shm", "data/initialized"] {
        match fs::remove_file(deployment.path(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    fs::remove_file(deployment.path("data/audit-anchor.json"))?;
    let again = ["init", "--organization", "acme", "--json"];
    let refusal = deployment.fails(&again, 1)?;
    ensure!(refusal.contains("name them with `--charter`"), "{refusal}");
    let output = deployment.run(&[&again[..], &["--charter", charter]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout)?;
    deployment.core = format!("organization = {}\n", made["organization"]);
    ensure!(deployment.run(&["freeze", "organization"])?.status.success());

    let snapshot = Snapshot::take(&deployment.path("."))?;
    for attack in ["DELETE FROM charters", "UPDATE charters SET id = '1'"] {
        snapshot.attack(&[attack]).await?;
        // Nothing else on this machine knows of the charter.
        fs::remove_file(deployment.path("data/audit-anchor.json"))?;
        fs::remove_file(deployment.path("data/initialized")).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let create = ["apikey", "create", "--label", "agent", "--name", "mine"];
        let refusal = deployment.fails(&create, 1)?;
        ensure!(refusal.contains("inconsistency"), "{attack}: {refusal}");
        deployment.fails(&["freeze", "organization", "--lift"], 1)?;
        let refusal = deployment.fails(&[&again[..], &["--charter", charter]].concat(), 1)?;
        ensure!(refusal.contains("inconsistency"), "{attack}: {refusal}");
        let refusal = deployment.fails(&["serve"], 1)?;
        ensure!(refusal.contains("the database holds none"), "{attack}: {refusal}");
        // Stopping things needs no charter.
        ensure!(deployment.run(&["freeze", "organization"])?.status.success());
    }
    Ok(())
}
