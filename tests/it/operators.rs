//! A deployment with operators, run by its own commands: from the ceremony to a policy that two have approved (T31).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::environment;
use countersign_tests::process::Service;
use serde_json::{Value, json};

use countersign_tests::deployment::Deployment;

use crate::database::Snapshot;

mod authors;
mod enrolment;
mod everyday;
mod foreign;
mod fuzz;
mod recovery;
mod rollback;
mod staging;
mod vaults;

const DEADLINE: Duration = Duration::from_mins(1);

/// Commands of the operators.
struct Operators<'d> {
    deployment: &'d Deployment,
    url: String,
    ids: Vec<String>,
}

const PEOPLE: [(&str, &str); 5] =
    [("ann", "author"), ("bob", "approver"), ("cy", "approver"), ("dee", "auditor"), ("eve", "approver")];

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
        let made = Deployment::alone(&["operator", "keygen", "--out", key.to_str().context("path")?])?;
        ensure!(String::from_utf8_lossy(&made.stderr).starts_with("fingerprint "), "{made:?}");
        fs::write(deployment.path(&format!("{name}.pem")), made.stdout)?;
        charter.push(format!(
            "[[operator]]\nname = \"{name}\"\nroles = [\"{role}\"]\npublic_key = \"{name}.pem\""
        ));
    }
    fs::write(deployment.path("charter.toml"), charter.join("\n"))?;
    Ok(())
}

/// Every command that permits more than before, by the binary's own account of all its commands, with arguments that it
/// would obey in a deployment without operators.
fn enlarging() -> Result<Vec<Vec<&'static str>>> {
    const ID: &str = "019b8d2e-5c3a-7f10-9b64-2d1e8a7c4f03";
    const ADDRESS: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let told: Value = serde_json::from_slice(&Deployment::alone(&["commands", "--json"])?.stdout)?;
    let all = told["commands"].as_array().context("commands")?;
    ensure!(all.len() > 60, "{told}");
    let named = all.iter().filter(|command| command["standing"] == "enlarges");
    let arguments = named.map(|command| match command["name"].as_str().unwrap_or_default() {
        "apikey create" => Ok(vec!["apikey", "create", "--label", "agent", "--name", "mine"]),
        "verification-service enable" => Ok(vec!["verification-service", "enable", "1"]),
        "contract-account enrol" => Ok(vec!["contract-account", "enrol", ADDRESS, "--chain", "eip155:31337"]),
        "contract-account withdraw" => Ok(vec!["contract-account", "withdraw", ADDRESS]),
        "freeze organization --lift" => Ok(vec!["freeze", "organization", "--lift"]),
        "freeze key --lift" => Ok(vec!["freeze", "key", ID, "--lift"]),
        "freeze vault --lift" => Ok(vec!["freeze", "vault", "savings", "--lift"]),
        "key create --vault" => Ok(vec!["key", "create", "privy-authorization", "--vault", "savings"]),
        "plugin unbind" => Ok(vec!["plugin", "unbind", "orion"]),
        "vault create" => Ok(vec!["vault", "create", "savings"]),
        "vault put" => Ok(vec!["vault", "put", "savings", ID]),
        "vault remove" => Ok(vec!["vault", "remove", ID]),
        other => anyhow::bail!("`{other}` permits more, and nobody tries it here"),
    });
    let arguments: Vec<_> = arguments.collect::<Result<_>>()?;
    ensure!(arguments.len() == 12, "a command permits more no longer: {told}");
    Ok(arguments)
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
    for alone in enlarging()? {
        let refusal = deployment.fails(&alone, 1)?;
        ensure!(refusal.contains("countersign operator propose"), "{alone:?}: {refusal}");
    }
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
    let nobody = "019b8d2e-5c3a-7f10-9b64-2d1e8a7c4f03";
    for bound in
        [["--mode", "shadow"], ["--chain", "eip155:31337"], ["--key-id", nobody], ["--vault", "savings"]]
    {
        let refusal = deployment.fails(&[&install[..], &bound].concat(), 1)?;
        ensure!(
            refusal.contains(&format!("leave `{}` to `countersign operator bind`", bound[0])),
            "{refusal}"
        );
    }
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
    let refusal = deployment.fails(&[&again[..], &["--development"]].concat(), 1)?;
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
