//! A database that was brought back on purpose: nobody takes anything away by hand, and it is on record who went on and
//! what was given up (T32).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use serde_json::Value;

use crate::database::Snapshot;
use crate::operators::ceremony;

const DEADLINE: Duration = Duration::from_mins(1);
const ACCEPT: [&str; 3] = ["audit", "accept-rollback", "--json"];

fn done(deployment: &Deployment, arguments: &[&str]) -> Result<Value> {
    let output = deployment.run(arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A deployment with a witness, whose database was brought back to where it was before the organization was frozen.
fn brought_back(further: &[&str]) -> Result<(Deployment, Value)> {
    let mut deployment = Deployment::new()?;
    if further.contains(&"--charter") {
        ceremony(&deployment)?;
    }
    let witness = format!("[audit]\nwitness_file = \"{}\"\n", deployment.path("witness.jsonl").display());
    deployment.server.push_str(&witness);
    let charter = deployment.path("charter.toml").to_str().context("path")?.to_owned();
    let further: Vec<&str> = further
        .iter()
        .map(|argument| if *argument == "FILE" { charter.as_str() } else { *argument })
        .collect();
    let made = deployment.init(&further)?;
    let earlier = Snapshot::take(&deployment.path("."))?;
    done(&deployment, &["freeze", "organization", "--json"])?;
    earlier.restore()?;
    let refusal = deployment.fails(&["serve"], 1)?;
    ensure!(refusal.contains("was rolled back"), "{refusal}");
    Ok((deployment, made))
}

fn end(shown: &Value, name: &str) -> Result<String> {
    Ok(format!("{}:{}", shown[name]["number"], text(&shown[name], "hash")?))
}

async fn serves_and_verifies(deployment: &Deployment, made: &Value) -> Result<()> {
    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    ensure!(service.terminate(DEADLINE).await?.success());
    let pinned = text(made, "auditKeyFingerprint")?;
    let verified = deployment.run(&["audit", "verify", "--key", pinned])?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    Ok(())
}

#[tokio::test]
async fn without_operators_whoever_names_the_checkpoint_goes_on_from_it() -> Result<()> {
    let (deployment, made) = brought_back(&[])?;
    let shown = done(&deployment, &ACCEPT)?;
    let (lost, kept) = (shown["lost"]["number"].to_string(), shown["end"]["number"].to_string());
    ensure!(shown["lost"]["number"].as_u64() > shown["end"]["number"].as_u64(), "{shown}");
    deployment.fails(&["serve"], 1).context("looking accepts nothing")?;
    let refusal = deployment.fails(&[&ACCEPT[..], &["--to", &lost]].concat(), 1)?;
    ensure!(refusal.contains(&format!("the database has no checkpoint {lost}")), "{refusal}");
    deployment.fails(&["serve"], 1).context("what was lost is nothing to go on from")?;

    let accept = [&ACCEPT[..], &["--to", &kept]].concat();
    let accepted = done(&deployment, &accept)?;
    ensure!(accepted["lost"] == shown["lost"] && accepted["kept"] == shown["end"], "{accepted}");
    let aside = fs::read_to_string(text(&accepted, "witnessPutAside")?)?;
    ensure!(aside.lines().count() as u64 == shown["lost"]["number"].as_u64().context("number")?, "{aside}");
    let refusal = deployment.fails(&accept, 1)?;
    ensure!(refusal.contains("there is nothing to accept"), "{refusal}");
    serves_and_verifies(&deployment, &made).await?;
    let exported = deployment.run(&["audit", "export"])?;
    let exported = String::from_utf8_lossy(&exported.stdout).into_owned();
    let recorded = exported.lines().find(|line| line.contains("audit.rollback_accepted"));
    let recorded = recorded.context("the decision is not in the log")?;
    ensure!(recorded.contains(text(&shown["lost"], "hash")?), "{recorded}");
    Ok(())
}

#[tokio::test]
async fn with_operators_nobody_goes_on_alone() -> Result<()> {
    let (deployment, made) = brought_back(&["--charter", "FILE"])?;
    let shown = done(&deployment, &ACCEPT)?;
    let (lost, kept) = (end(&shown, "lost")?, end(&shown, "end")?);
    let fingerprint = text(&made, "auditKeyFingerprint")?;
    let agree = |name: &str, person: usize, lost: &str| -> Result<String> {
        let (key, out) = (
            deployment.path(&format!("{name}.key")),
            deployment.path(&format!("{name}-{person}.{}", lost.len())),
        );
        let out = out.to_str().context("path")?.to_owned();
        let id = text(&made["operators"][person], "id")?;
        let what = ["audit", "approve-rollback", "--key", fingerprint, "--lost", lost, "--kept", &kept];
        let who = ["--operator", id, "--operator-key", key.to_str().context("path")?, "--out", &out];
        let output = Deployment::alone(&[&what[..], &who].concat())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(out)
    };
    let number = shown["end"]["number"].to_string();
    let accept = |approvals: &[&str]| {
        let approvals: Vec<&str> = approvals.iter().flat_map(|file| ["--approval", *file]).collect();
        [&ACCEPT[..], &["--to", &number], &approvals]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let refused = |approvals: &[&str], rule: &str| -> Result<()> {
        let arguments = accept(approvals);
        let refusal = deployment.fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 1)?;
        ensure!(refusal.contains(rule), "`{rule}`: {refusal}");
        Ok(())
    };
    let (ann, bob, cy) = (agree("ann", 0, &lost)?, agree("bob", 1, &lost)?, agree("cy", 2, &lost)?);
    refused(&[], "2 approvers of the charter must agree, and 0 have")?;
    refused(&[&bob], "2 approvers of the charter must agree, and 1 have")?;
    refused(&[&bob, &bob], "2 approvers of the charter must agree, and 1 have")?;
    refused(&[&bob, &ann], "is no approver of the charter")?;
    let elsewhere = agree("cy", 2, &format!("1{lost}"))?;
    refused(&[&bob, &elsewhere], "agreed to something else")?;
    deployment.fails(&["serve"], 1)?;

    let arguments = accept(&[&bob, &cy]);
    let accepted = done(&deployment, &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    let agreed = accepted["agreed"].as_array().context("agreed")?;
    ensure!(agreed.len() == 2 && agreed.contains(&made["operators"][1]["id"]), "{accepted}");
    serves_and_verifies(&deployment, &made).await
}
