//! Plugins of a deployment with operators: stored, staged, compared, enforced, taken back and stopped.

use std::fs;

use alloy_primitives::Address;
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};

use super::vaults::{another_escrow, key_of};
use super::{DEADLINE, Operators, ceremony};

/// Large values go to people, everything else is approved.
pub(super) const ORION_SETTINGS: &str =
    r#"{"valueLimit":"10000000000000000000","denyList":[],"newRecipientValue":"5000000000000000000"}"#;

/// A running deployment with a charter, its client and the wallet it made an escrow for.
pub(super) struct Staged<'d> {
    pub(super) operators: Operators<'d>,
    pub(super) organization: String,
    pub(super) client: Client,
    pub(super) admin: String,
    pub(super) escrow: Address,
}

impl<'d> Staged<'d> {
    /// A running gateway, and what its `init` said.
    pub(super) async fn start(deployment: &mut Deployment) -> Result<(Service, Value)> {
        ceremony(deployment)?;
        let charter = deployment.path("charter.toml");
        let made = deployment.init(&["--charter", charter.to_str().context("path")?])?;
        let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
        service.line_after("ready ", DEADLINE).await?;
        Ok((service, made))
    }

    pub(super) async fn new(deployment: &'d Deployment, made: &Value) -> Result<Self> {
        let ids = made["operators"].as_array().context("operators")?;
        let ids = ids.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect();
        let (client, admin) = (Client::new(&deployment.url()), text(made, "adminApiKey")?.to_owned());
        let body = json!({"ethereumAddress": Wallet::random().address(), "displayName": "Ada"});
        let user = client.post("/users", Credential::ApiKey(&admin), &body).await?.expect(201)?;
        let operators = Operators { deployment, url: deployment.operator_url(), ids };
        let (organization, escrow) =
            (text(made, "organization")?.to_owned(), text(&user, "escrowAddress")?.parse()?);
        Ok(Self { operators, organization, client, admin, escrow })
    }

    /// Signed by Ann, stored, and not bound.
    pub(super) fn upload(&self, guest: &str, settings: &str, grants: &[&str]) -> Result<String> {
        let component = environment::gateway_binary()?.with_file_name(format!("../guests/{guest}.wasm"));
        self.upload_component(guest, component.to_str().context("path")?, settings, grants)
    }

    pub(super) fn upload_component(
        &self,
        guest: &str,
        component: &str,
        settings: &str,
        grants: &[&str],
    ) -> Result<String> {
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
    pub(super) fn carried(&self, change: &[&str]) -> Result<()> {
        let place = ["--organization", &self.organization, "--reason", "staging", "--json"];
        let answer = self.operators.done(0, &[change, &place].concat())?;
        // Going back is answered with more than a proposal: it may have been done.
        let id = text(answer.get("proposal").unwrap_or(&answer), "id")?;
        ensure!(self.operators.done(1, &["approve", "--yes", id])?["state"] == "open");
        ensure!(self.operators.done(2, &["approve", "--yes", id])?["state"] == "carried");
        Ok(())
    }

    pub(super) fn bound(&self, revision: &str, mode: &str, further: &[&str]) -> Result<()> {
        let scope = ["--kind", "transaction", "--chain", "eip155:31337"];
        self.carried(&[&["bind", "--plugin", revision, "--mode", mode], &scope[..], further].concat())
    }

    pub(super) async fn transfer(&self) -> Result<Value> {
        let to = Wallet::random().address();
        let body = json!({"escrowAddress": self.escrow, "to": to, "value": "1", "chainId": 31_337});
        self.client.post("/transactions", Credential::ApiKey(&self.admin), &body).await?.expect(201)
    }

    pub(super) async fn is_refused(&self) -> Result<bool> {
        Ok(self.transfer().await?["status"] == "REJECTED")
    }

    /// The id by which commands know a transfer.
    pub(super) async fn transaction_of(&self, transfer: &Value) -> Result<String> {
        let path = format!("/transactions/{}/approval-status", text(transfer, "requestHash")?);
        let status = self.client.get(&path, Credential::ApiKey(&self.admin)).await?.expect(200)?;
        Ok(text(&status, "transactionId")?.to_owned())
    }

    /// What a shadow has said about a transfer, once it has spoken.
    async fn shadow_of(&self, transfer: &Value) -> Result<Value> {
        let id = &self.transaction_of(transfer).await?;
        wait::until("the shadow's word", DEADLINE, async || {
            let output = self.operators.deployment.run(&["plugin", "replay", id, "--json"])?;
            let told: Value = serde_json::from_slice(&output.stdout)?;
            let mut heard = told["evaluations"].as_array().into_iter().flatten();
            Ok(heard.find(|one| one["purpose"] == "shadow").cloned())
        })
        .await
    }
}

/// What a command on the gateway's machine answers to people.
fn deployment_says(staged: &Staged<'_>, arguments: &[&str]) -> Result<String> {
    let output = staged.operators.deployment.run(arguments)?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// From an upload to a shadow, to a gate that denies, back by a quorum, and stopped by one.
#[tokio::test]
async fn a_plugin_is_staged_by_a_quorum_and_stopped_by_one() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;

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
    let shown = deployment_says(&staged, &["transaction", "show", &staged.transaction_of(&transfer).await?])?;
    ensure!(shown.contains("plugin limiter (shadow, decides nothing): reject"), "{shown}");
    ensure!(shown.contains("plugin orion: "), "{shown}");

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

/// What Orion's successor would refuse.
const STRICTER: &str = r#"{"valueLimit":"0","denyList":[],"newRecipientValue":"0"}"#;

/// The answer of `plugin diff`, and its exit code.
fn diff(deployment: &Deployment, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
    let output = deployment.run(&[&["plugin", "diff"], arguments, &["--json"]].concat())?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((serde_json::from_slice(&output.stdout).context(told)?, output.status.code()))
}

/// A candidate is heard beside the revision in force, compared, promoted, and taken out again.
#[tokio::test]
async fn a_successor_is_compared_in_the_shade_of_what_it_replaces() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let grants = ["log", "settings", "clock"];
    let present = staged.upload("orion", ORION_SETTINGS, &grants)?;
    staged.bound(&present, "enforce", &["--authority", "orion"])?;
    // It would refuse everything, of a key that does not pay here.
    let elsewhere = staged.upload("limiter", "0", &["log", "settings", "state"])?;
    let another_key = key_of(&deployment, another_escrow(&staged).await?)?;
    staged.bound(&elsewhere, "enforce", &["--gate", "--key-id", &another_key])?;
    let successor = staged.upload("orion", STRICTER, &grants)?;
    staged.bound(&successor, "shadow", &["--authority", "orion"])?;
    for _ in 0..2 {
        let transfer = staged.transfer().await?;
        ensure!(transfer["status"] != "REJECTED", "{transfer}");
        ensure!(staged.shadow_of(&transfer).await?["plugin"] == "orion");
    }
    let (told, code) = diff(&deployment, &["orion"])?;
    ensure!(code == Some(5) && told["compared"] == 2 && told["changed"] == 2, "{told}");
    let first = &told["transactions"][0];
    ensure!(text(first, "before")?.starts_with("approve"), "{told}");
    ensure!(text(first, "after")?.starts_with("reject"), "{told}");

    // What another shadow said in its place before is no word of the one that is bound now.
    let milder = staged.upload("orion", r#"{"newRecipient":"ignore"}"#, &grants)?;
    // Of a key that does not pay here, so that nobody asks it about those two meanwhile.
    staged.bound(&milder, "shadow", &["--authority", "orion", "--key-id", &another_key])?;
    let (told, code) = diff(&deployment, &["orion"])?;
    ensure!(code == Some(5) && told["compared"] == 0, "{told}");
    let another = json!([{"what": "another revision of the shadow `orion` was heard", "transactions": 2}]);
    ensure!(told["leftOut"] == another, "{told}");
    let (told, code) = diff(&deployment, &["orion", "--revision", &successor])?;
    ensure!(code == Some(5) && told["compared"] == 2 && told["changed"] == 2, "{told}");
    staged.bound(&successor, "shadow", &["--authority", "orion"])?;

    let place = ["--organization", &staged.organization, "--json"];
    let shown = staged.operators.done(2, &[&["policy", "show"], &place[..]].concat())?;
    let bindings = shown["bindings"].as_array().context("bindings")?;
    let [enforced, _, shadow] = &bindings[..] else { anyhow::bail!("{shown}") };
    ensure!(enforced["revision"] == present && shadow["revision"] == successor, "{shown}");
    let listed = staged.operators.done(2, &[&["plugin", "list"], &place[..]].concat())?;
    let modes = listed["plugins"].as_array().context("plugins")?.iter();
    let modes: Vec<_> = modes.map(|one| &one["bindings"][0]["mode"]).collect();
    let expected = [&Value::Null, &json!("shadow"), &json!("enforce"), &json!("enforce")];
    ensure!(modes == expected, "{listed}");

    staged.bound(&successor, "enforce", &["--authority", "orion"])?;
    ensure!(staged.is_refused().await?);
    let shown = staged.operators.done(2, &[&["policy", "show"], &place[..]].concat())?;
    ensure!(shown["bindings"].as_array().is_some_and(|bindings| bindings.len() == 2), "{shown}");
    ensure!(shown["bindings"][0]["id"] == enforced["id"], "it goes on from what it replaced: {shown}");

    let unbind = |mode: &[&'static str]| [&["unbind", "orion"], mode].concat();
    let because = ["--reason", "over", "--organization", &staged.organization];
    let no_shadow = [&unbind(&["--mode", "shadow"])[..], &because].concat();
    staged.operators.refused(0, &no_shadow, "no plugin `orion` to shadow")?;
    staged.carried(&["unbind", "limiter"])?;
    staged.carried(&unbind(&[]))?;
    // Nobody judges, so nothing is signed.
    ensure!(staged.is_refused().await?);
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}

/// A shadow that counts sees what was spent before, as the gate of its name remembers it.
#[tokio::test]
async fn a_stricter_limit_is_compared_by_what_was_spent() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let grants = ["log", "settings", "state"];
    let [present, stricter] =
        [staged.upload("limiter", "10", &grants)?, staged.upload("limiter", "1", &grants)?];
    staged.bound(&stricter, "shadow", &["--gate"])?;
    let alone = staged.transfer().await?;
    staged.shadow_of(&alone).await?;
    let (told, _) = diff(&deployment, &["limiter", "--against", "orion"])?;
    let remark = text(&told["remarks"][0], "what")?;
    ensure!(remark.contains("judged from nothing, for no `limiter` is enforced"), "{told}");

    staged.bound(&present, "enforce", &["--gate"])?;
    staged.bound(&stricter, "shadow", &["--gate"])?;
    for _ in 0..2 {
        let transfer = staged.transfer().await?;
        ensure!(transfer["status"] != "REJECTED", "{transfer}");
        staged.shadow_of(&transfer).await?;
    }
    let (told, code) = diff(&deployment, &["limiter"])?;
    ensure!(code == Some(5) && told["compared"] == 2 && told["changed"] == 1, "{told}");
    let changed = &told["transactions"][0];
    ensure!(text(changed, "before")?.starts_with("approve (within_limit)"), "{told}");
    ensure!(changed["after"] == "reject (over_limit)" && told["remarks"] == json!([]), "{told}");
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}

/// What is proposed ends by whoever refuses it, or by who proposed it, and is listed as that.
#[tokio::test]
async fn proposals_end_by_a_refusal_and_by_their_proposer() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let revision = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    let bind = ["bind", "--plugin", &revision, "--mode", "enforce", "--authority", "orion"];
    let scope = ["--kind", "transaction", "--reason", "first", "--organization", &staged.organization];
    let bind = [&bind[..], &scope, &["--json"]].concat();
    let [refused, withdrawn] = [staged.operators.done(0, &bind)?, staged.operators.done(0, &bind)?];
    let [refused, withdrawn] = [text(&refused, "id")?, text(&withdrawn, "id")?];
    // An auditor reads, and that is all.
    staged.operators.refused(3, &["refuse", "--yes", refused], "an auditor only reads")?;
    staged.operators.refused(3, &bind, "author is required")?;
    let ended = staged.operators.done(1, &["refuse", "--yes", refused])?;
    ensure!(ended["state"] == "refused", "{ended}");
    staged.operators.refused(1, &["withdraw", "--yes", withdrawn], "author is required")?;
    let ended = staged.operators.done(0, &["withdraw", "--yes", withdrawn])?;
    ensure!(ended["state"] == "withdrawn", "{ended}");
    for id in [refused, withdrawn] {
        staged.operators.refused(2, &["approve", "--yes", id], "not open any more")?;
    }
    let listed = staged.operators.done(3, &["proposals"])?;
    let states = listed["proposals"].as_array().context("proposals")?.iter();
    let states: Vec<_> = states.map(|one| (&one["id"], &one["state"])).collect();
    ensure!(
        states == [(&json!(withdrawn), &json!("withdrawn")), (&json!(refused), &json!("refused"))],
        "{listed}"
    );
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
