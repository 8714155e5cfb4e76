//! `plugin replay` through the binary: what has changed since a transaction was judged is named, each thing apart.

use std::fs;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::configuration::PATIENT;
use countersign_tests::gateway::Gateway;
use countersign_tests::guest;
use countersign_tests::main_job::{Transfer, text};
use serde_json::{Value, json};

use crate::control::order;
use crate::plugin_staging::dry_run;
use crate::stand::{Stand, request_hash, transfer};

/// Binds another component in the place of Orion's, which does the same.
fn replace_orion(stand: &Stand) -> Result<Value> {
    let folder = stand.installation.data_dir();
    let component = guest::numbered("orion", 1, &folder)?;
    let settings = folder.join("settings.json");
    fs::write(&settings, r#"{"newRecipient": "ignore"}"#)?;
    let settings = settings.to_str().context("path")?;
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock"];
    let install = ["plugin", "install", &component, "--name", "orion", "--authority", "orion", "--settings"];
    order(&stand.installation, &[&install[..], &[settings], &grants].concat())
}

/// The id of a transaction that Orion has judged.
async fn judged(stand: &Stand, gateway: &Gateway) -> Result<String> {
    let escrow = stand.user(gateway).await?;
    proposed(stand, gateway, escrow).await
}

/// The id of a transaction of little value.
async fn proposed(stand: &Stand, gateway: &Gateway, escrow: Address) -> Result<String> {
    let small = Transfer { value: U256::from(2), ..transfer(escrow) };
    let proposed = stand.job(gateway).propose(&small).await?.expect(201)?;
    let status = stand.job(gateway).approval_status(request_hash(&proposed)).await?;
    Ok(text(&status, "transactionId")?.to_owned())
}

/// What the command says of the transaction, and its words.
fn replay(stand: &Stand, id: &str) -> Result<(Value, String)> {
    let data_dir = stand.installation.data_dir();
    let place = ["plugin", "replay", id, "--data-dir", data_dir.to_str().context("path")?];
    let output = stand.installation.command(&[&place[..], &["--json"]].concat())?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no answer: {}", String::from_utf8_lossy(&output.stderr)))?;
    let expected = if told["same"] == true { 0 } else { 5 };
    ensure!(output.status.code() == Some(expected), "ended with {}: {told}", output.status);
    let words = stand.installation.command(&place)?;
    Ok((told, String::from_utf8_lossy(&words.stdout).into_owned()))
}

/// The same, of the transaction's one evaluation.
fn replayed(stand: &Stand, id: &str) -> Result<(Value, String)> {
    let (told, words) = replay(stand, id)?;
    Ok((told["evaluations"][0].clone(), words))
}

#[tokio::test]
async fn a_guest_whose_bytes_were_replaced_is_named_and_its_verdict_stays_the_same() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let id = judged(&stand, &gateway).await?;
    let (told, words) = replayed(&stand, &id)?;
    ensure!(told["guestChanged"] == false && told["outcome"]["kind"] == "same", "{told}");
    ensure!(words.trim_end().ends_with("the same, bit for bit"), "{words}");
    replace_orion(&stand)?;
    let (told, words) = replayed(&stand, &id)?;
    ensure!(told["guestChanged"] == true && told["outcome"]["kind"] == "same", "{told}");
    ensure!(words.contains("no longer bound: today another revision is asked"), "{words}");
    stand.finish(gateway).await
}

/// Each bound that was lowered since, what it does to the same evaluation, and in which words.
const LOWERED: [(&str, bool, &str); 4] = [
    ("deadline_ms = 19999", true, ""),
    ("deadline_ms = 20000\nanalysis_bytes_max = 4", false, "it says"),
    ("deadline_ms = 20000\nsettings_bytes_max = 2", false, "settings_too_large"),
    ("deadline_ms = 20000\nmemory_bytes_max = 65536", false, "the component cannot be run"),
];

#[tokio::test]
async fn limits_that_were_changed_since_are_named_as_the_cause() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    replace_orion(&stand)?;
    let id = judged(&stand, &gateway).await?;
    gateway.stop().await?;
    for (limit, same, what) in LOWERED {
        stand.installation.configure(&format!("[plugins]\n{limit}\n"))?;
        let gateway = stand.installation.start().await?;
        let (told, words) = replayed(&stand, &id)?;
        let kind = if same { "same" } else { "different" };
        let outcome = &told["outcome"];
        ensure!(outcome["kind"] == kind, "{limit}: {told}");
        ensure!(outcome["limitsChanged"] == true && outcome["engineChanged"] == false, "{limit}: {told}");
        ensure!(told["guestChanged"] == false, "{limit}: {told}");
        ensure!(words.contains("limits of `[plugins]` have changed since"), "{limit}: {words}");
        ensure!(words.contains(what), "{limit}: {words}");
        gateway.stop().await?;
    }
    // What bounds large components, or other things than an evaluation, is no cause.
    let other = format!("{PATIENT}large_instances_max = 99\ncomponent_bytes_max = 33554431\n");
    stand.installation.configure(&other)?;
    let gateway = stand.installation.start().await?;
    let (told, _) = replayed(&stand, &id)?;
    ensure!(told["outcome"]["kind"] == "same" && told["outcome"]["limitsChanged"] == false, "{told}");
    stand.finish(gateway).await
}

/// Neither a transaction that nobody judged nor an evaluation that never ran is shown to be the same.
#[tokio::test]
async fn what_nobody_was_asked_about_is_told_with_its_cause() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let plugins = order(&stand.installation, &["plugin", "list"])?;
    order(&stand.installation, &["plugin", "revoke", text(&plugins["plugins"][0], "id")?])?;
    let escrow = stand.user(&gateway).await?;
    let (told, words) = replay(&stand, &proposed(&stand, &gateway, escrow).await?)?;
    ensure!(told["same"] == false && told["evaluations"].as_array().is_some_and(Vec::is_empty), "{told}");
    let nobody = "no plugin was asked about this transaction, which was refused: plugin `orion` may not judge: revoked";
    ensure!(words.trim_end() == nobody, "{words}");

    let tried = dry_run(&stand, escrow, 1)?;
    let (told, words) = replayed(&stand, text(&tried, "id")?)?;
    ensure!(told["outcome"] == json!({"kind": "not_asked", "code": "revoked"}), "{told}");
    ensure!(words.contains("not asked: the plugin was not run (revoked: it was revoked)"), "{words}");
    stand.finish(gateway).await
}

/// It had answered, and a replay that feeds it the same would get the same answer: the verdict itself was never stored.
#[tokio::test]
async fn an_answer_that_was_refused_for_what_it_would_remember_is_told_as_that() -> Result<()> {
    let stand = Stand::with_configuration(&format!("{PATIENT}state_reservations_max = 1\n")).await?;
    let gateway = stand.installation.start().await?;
    let limit = stand.installation.data_dir().join("limit.json");
    fs::write(&limit, "10")?;
    let (limiter, limit) = (guest::path("limiter")?, limit.to_str().context("path")?.to_owned());
    let install = ["plugin", "install", limiter.to_str().context("path")?, "--name", "limiter", "--gate"];
    let given = ["--settings", &limit, "--grant", "log", "--grant", "settings", "--grant", "state"];
    order(&stand.installation, &[&install[..], &given].concat())?;
    let escrow = stand.user(&gateway).await?;
    stand.pending(&gateway, escrow).await?;
    let (told, words) = replay(&stand, &proposed(&stand, &gateway, escrow).await?)?;
    let heard = told["evaluations"].as_array().context("evaluations")?;
    let outcome = |name: &str| heard.iter().find(|one| one["plugin"] == name).map(|one| &one["outcome"]);
    let over_quota = json!({"kind": "over_quota", "code": "state_quota"});
    ensure!(told["same"] == false && outcome("limiter") == Some(&over_quota), "{told}");
    ensure!(outcome("orion").is_some_and(|outcome| outcome["kind"] == "same"), "{told}");
    let refused =
        "the plugin had answered, and what it would remember was refused (state_quota: more than 1 ";
    ensure!(words.contains(refused), "{words}");
    stand.finish(gateway).await
}
