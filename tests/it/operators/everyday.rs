//! What operators do every day from their own machines: read what waits, stop something, try something out.

use std::fs;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::main_job::text;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};

use super::DEADLINE;
use super::staging::{ORION_SETTINGS, Staged};
use super::vaults::key_of;

#[tokio::test]
async fn proposals_are_read_page_by_page_and_one_stops_a_key_and_the_organization() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let operators = &staged.operators;
    let place = ["--organization", &staged.organization, "--json"];
    operators.done(0, &[&["vault", "create", "savings", "--reason", "later"], &place[..]].concat())?;

    let all = operators.done(3, &["proposals"])?;
    let all = all["proposals"].as_array().context("proposals")?;
    ensure!(all.len() == 2, "{all:?}");
    let newest = operators.done(3, &["proposals", "--limit", "1"])?;
    ensure!(newest["proposals"] == json!([all[0]]), "{newest}");
    let older = operators.done(3, &["proposals", "--before", text(&all[0], "id")?])?;
    ensure!(older["proposals"] == json!([all[1]]), "{older}");
    ensure!(operators.done(3, &["proposal", text(&all[1], "id")?])? == all[1]);

    let asked = deployment.path("request.json");
    let request = |value: &str| {
        let to = Wallet::random().address();
        json!({"escrowAddress": staged.escrow, "to": to, "value": value, "chainId": 31_337}).to_string()
    };
    let dry_run = ["dry-run", asked.to_str().context("path")?];
    for (value, verdict) in [("1", "approve"), ("20000000000000000000", "reject")] {
        fs::write(&asked, request(value))?;
        let run: Value = operators.done(1, &[&dry_run[..], &place].concat())?;
        ensure!(run["bindings"][0]["verdict"] == verdict, "{run}");
        let output = operators.run(1, &[&dry_run[..], &place[..2]].concat())?;
        let told = String::from_utf8(output.stdout)?;
        ensure!(told.contains(&format!("orion (enforce, orion): {verdict}")), "{told}");
    }
    // An auditor reads, and stops nothing.
    let key = key_of(&deployment, staged.escrow)?;
    for target in [&["freeze", "key", key.as_str()][..], &["freeze", "organization"]] {
        let frozen = [target, &place].concat();
        operators.refused(3, &frozen, "403")?;
        ensure!(operators.done(1, &frozen)?["frozen"] == true);
        let thaw = ["propose", "--organization", &staged.organization, "--reason", "go on", "--change"];
        let change = deployment.path("thaw.json");
        let key = target.get(2);
        fs::write(&change, json!({"kind": "thaw", "key": key, "vault": null}).to_string())?;
        // Only what is frozen is thawed.
        operators.done(0, &[&thaw[..], &[change.to_str().context("path")?]].concat())?;
    }
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
