//! Trying things out before they count: dry runs, and candidates on past transactions.

use std::fs;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::environment;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::{Transfer, text};
use serde_json::{Value, json};

use crate::control::order;
use crate::stand::{CHAIN_ID, ETHER, Stand, transfer};

fn guest(name: &str) -> Result<String> {
    let path = environment::gateway_binary()?.with_file_name(format!("../guests/{name}.wasm"));
    Ok(path.to_str().context("path")?.to_owned())
}

pub(crate) fn dry_run(stand: &Stand, escrow: Address, value: u128) -> Result<Value> {
    let (escrow, value, chain) = (escrow.to_string(), value.to_string(), format!("eip155:{CHAIN_ID}"));
    let to = Address::repeat_byte(0x42).to_string();
    let asked = ["transaction", "dry-run", "--escrow", &escrow, "--to", &to, "--value", &value];
    order(&stand.installation, &[&asked[..], &["--chain", &chain]].concat())
}

async fn propose(stand: &Stand, gateway: &Gateway, escrow: Address, value: u64) -> Result<Value> {
    let small = Transfer { value: U256::from(value), ..transfer(escrow) };
    stand.job(gateway).propose(&small).await?.expect(201)
}

/// The answer of `plugin backtest`, and its exit code.
fn backtest(stand: &Stand, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
    let data_dir = stand.installation.data_dir();
    let data_dir = data_dir.to_str().context("path")?;
    let place = ["--against", "orion", "--data-dir", data_dir, "--json"];
    let output = stand.installation.command(&[&["plugin", "backtest"], arguments, &place].concat())?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = serde_json::from_slice(&output.stdout).with_context(|| told.clone())?;
    ensure!(told.contains("transactions: "), "no progress was told: {told}");
    Ok((answer, output.status.code()))
}

#[tokio::test]
async fn a_dry_run_is_judged_as_a_request_would_be_and_leaves_none() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let small = dry_run(&stand, escrow, 1)?;
    ensure!(small["decision"] == "approved" && small["bindings"][0]["verdict"] == "approve", "{small}");
    let large = dry_run(&stand, escrow, ETHER)?;
    ensure!(large["decision"] == "pending", "{large}");
    ensure!(large["missing"].as_array().is_some_and(|missing| missing.len() == 2), "{large}");

    let listed = format!("/transactions/users/{}", stand.wallet.address());
    let listed = gateway.client().get(&listed, stand.job(&gateway).admin()).await?.expect(200)?;
    ensure!(listed == json!([]), "{listed}");
    let replayed = order(&stand.installation, &["plugin", "replay", text(&small, "id")?])?;
    ensure!(replayed["same"] == true && replayed["evaluations"][0]["purpose"] == "dry_run", "{replayed}");

    // Told apart from what decisions rest on.
    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    let counted = "countersign_evaluations_total{plugin=\"orion\",purpose=\"dry_run\",result=\"approve\"} 2";
    ensure!(metrics.contains(counted), "{metrics}");
    stand.finish(gateway).await?;
    // While no gateway runs, the command judges by itself.
    ensure!(dry_run(&stand, escrow, 1)?["decision"] == "approved");
    Ok(())
}

#[tokio::test]
async fn a_backtest_shows_which_decisions_a_candidate_would_have_changed() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let mut stricter = Vec::new();
    for value in [5, 50, 500] {
        let proposed = propose(&stand, &gateway, escrow, value).await?;
        if value > 10 {
            let hash = text(&proposed, "requestHash")?;
            let status = stand.job(&gateway).approval_status(hash).await?;
            stricter.push(text(&status, "transactionId")?.to_owned());
        }
    }
    dry_run(&stand, escrow, 1)?;

    let plugins = order(&stand.installation, &["plugin", "list"])?;
    let active = text(&plugins["plugins"][0], "id")?.to_owned();
    let (same, code) = backtest(&stand, &["--revision", &active])?;
    ensure!(code == Some(0) && same["compared"] == 3 && same["changed"] == 0, "{same}");
    ensure!(same["reworded"] == 0, "the same revision says the same, to the byte: {same}");

    let settings = stand.installation.data_dir().join("candidate.json");
    fs::write(&settings, r#"{"valueLimit": "10"}"#)?;
    let settings = settings.to_str().context("path")?;
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock"];
    let orion = guest("orion")?;
    let candidate = [&[orion.as_str(), "--settings", settings], &grants[..]].concat();
    let (changed, code) = backtest(&stand, &candidate)?;
    ensure!(code == Some(5) && changed["compared"] == 3 && changed["changed"] == 3, "{changed}");
    let listed: Vec<_> = changed["transactions"].as_array().context("list")?.iter().collect();
    // Approved still, but not surely enough to do without the arbiter.
    ensure!(text(listed[0], "after")? == "approve (new_recipient), sure to 750000 ppm", "{changed}");
    ensure!(listed[1..].iter().map(|one| &one["transaction"]).eq(&stricter), "{changed}");
    ensure!(listed[1]["after"].as_str().is_some_and(|after| after.starts_with("reject")), "{changed}");

    // What nobody asked then cannot be answered now.
    let limiter = guest("limiter")?;
    let limit = stand.installation.data_dir().join("limit.json");
    fs::write(&limit, "10")?;
    let limit = limit.to_str().context("path")?;
    let more = ["--grant", "state", "--list", "1"];
    let candidate = [&[limiter.as_str(), "--settings", limit], &grants[..], &more].concat();
    let (unknown, code) = backtest(&stand, &candidate)?;
    ensure!(code == Some(5) && unknown["notComparable"] == 3 && unknown["compared"] == 0, "{unknown}");
    let why = text(&unknown["transactions"][0], "why")?;
    ensure!(why.contains("not recorded: counter"), "{why}");
    ensure!(unknown["transactions"].as_array().is_some_and(|listed| listed.len() == 1), "{unknown}");
    Ok(())
}

#[tokio::test]
async fn a_candidate_has_no_more_time_in_a_backtest_than_the_gateway_gives() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    propose(&stand, &gateway, escrow, 5).await?;
    gateway.stop().await?;
    let settings = stand.installation.data_dir().join("work.json");
    fs::write(&settings, "\"measure\"")?;
    let hostile = guest("hostile")?;
    // The command is told where the gateway's limits stand; in development they are the default ones otherwise.
    let config = stand.installation.data_dir().with_file_name("config.toml");
    let given = [hostile.as_str(), "--settings", settings.to_str().context("path")?, "--config"];
    let given = [&given[..], &[config.to_str().context("path")?]].concat();
    let grants = ["clock", "history", "log", "settings", "state"].map(|grant| ["--grant", grant]).concat();
    let candidate = [&given[..], &grants].concat();
    // Ten million rounds of work take longer than a millisecond, and no ten seconds.
    let (told, code) = backtest(&stand, &candidate)?;
    ensure!(code == Some(0) && told["compared"] == 1 && told["reworded"] == 1, "{told}");
    stand.installation.configure("[plugins]\ndeadline_ms = 1\ntick_ms = 1\n")?;
    let (told, code) = backtest(&stand, &candidate)?;
    ensure!(code == Some(5) && told["compared"] == 1 && told["changed"] == 1, "{told}");
    ensure!(told["transactions"][0]["after"] == "failed (timeout)", "{told}");
    Ok(())
}

#[tokio::test]
async fn a_revision_revoked_on_the_gateways_machine_denies_from_then_on() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let before = propose(&stand, &gateway, escrow, 5).await?;
    ensure!(before["status"] != "REJECTED", "{before}");
    let plugins = order(&stand.installation, &["plugin", "list"])?;
    let active = text(&plugins["plugins"][0], "id")?;
    let revoked = order(&stand.installation, &["plugin", "revoke", active])?;
    ensure!(revoked["revision"] == active && revoked["revokedAtMicros"].is_number(), "{revoked}");
    ensure!(order(&stand.installation, &["plugin", "revoke", active])? == revoked, "again changes nothing");
    let after = propose(&stand, &gateway, escrow, 6).await?;
    ensure!(after["status"] == "REJECTED", "{after}");
    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    let unfit = "countersign_plugin_revisions_unfit_total{plugin=\"orion\",cause=\"revoked\"}";
    ensure!(metrics.contains(unfit), "{metrics}");
    let plugins = order(&stand.installation, &["plugin", "list"])?;
    ensure!(plugins["plugins"][0]["isRevoked"] == true, "{plugins}");
    let data_dir = stand.installation.data_dir();
    let data_dir = data_dir.to_str().context("path")?;
    gateway.stop().await?;
    let exported = stand.installation.command(&["audit", "export", "--data-dir", data_dir])?;
    let exported = String::from_utf8_lossy(&exported.stdout);
    ensure!(exported.matches("plugin.revoked").count() == 1, "{exported}");
    stand.installation.verify_audit()?;
    Ok(())
}

/// `plugin diff` and `plugin backtest` through the binary, about a name that is bound nowhere.
#[tokio::test]
async fn a_comparison_of_nothing_says_so_and_is_no_proof() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    propose(&stand, &gateway, escrow, 5).await?;
    // What was only tried out is no part of what was decided.
    dry_run(&stand, escrow, 1)?;
    let data_dir = stand.installation.data_dir();
    let place = ["--data-dir", data_dir.to_str().context("path")?, "--json"];
    let plugins = order(&stand.installation, &["plugin", "list"])?;
    let active = text(&plugins["plugins"][0], "id")?;
    let diff = ["plugin", "diff", "nobody", "--against", "orion"];
    let backtest = ["plugin", "backtest", "--revision", active, "--against", "nobody"];
    for (comparison, why) in
        [(&diff[..], "no shadow `nobody` was heard"), (&backtest[..], "`nobody` was not enforced")]
    {
        let output = stand.installation.command(&[comparison, &place].concat())?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(output.status.code() == Some(5) && answer["compared"] == 0, "{answer}");
        ensure!(answer["leftOut"] == json!([{ "what": why, "transactions": 1 }]), "{answer}");
    }
    stand.finish(gateway).await
}
