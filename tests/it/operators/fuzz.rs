//! The operator listener before a judge who knows nothing of this project but its document.

use std::fs;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::main_job::text;
use countersign_tests::process::ending;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::staging::{ORION_SETTINGS, Staged};
use super::{DEADLINE, PEOPLE};

const GRANTS: [&str; 3] = ["log", "settings", "clock"];

/// What `hooks.py` has to know.
fn description(staged: &Staged<'_>) -> Result<Value> {
    let deployment = staged.operators.deployment;
    let revision = staged.upload("orion", ORION_SETTINGS, &GRANTS)?;
    // Twice, so that there is an earlier policy to go back to.
    for more in [&["--chain", "eip155:31337"][..], &[]] {
        staged.bound(&revision, "enforce", &[&["--authority", "orion"], more].concat())?;
    }
    let candidate = staged.upload("limiter", "0", &["log", "settings", "state"])?;
    staged.carried(&["vault", "create", "fuzzed"])?;
    let vaults = format!("/operator/v1/organizations/{}/vaults", staged.organization);
    let vault = staged.operators.done(3, &["request", "get", &vaults])?["vaults"][0]["id"].clone();
    let component = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    let given: Vec<&str> = GRANTS.iter().flat_map(|grant| ["--grant", *grant]).collect();
    let path = component.to_str().context("path")?;
    let signature = staged.operators.sign(0, path, &["--name", "again"], &given, &staged.organization)?;
    let transfer =
        json!({"escrowAddress": staged.escrow, "to": staged.escrow, "value": "1", "chainId": 31_337});
    let body = deployment.path("dry-run.json");
    fs::write(&body, transfer.to_string())?;
    let dry_runs = format!("/operator/v1/organizations/{}/dry-runs", staged.organization);
    let ask = ["request", "post", &dry_runs, "--body", body.to_str().context("path")?];
    let evaluated = staged.operators.done(0, &ask)?["id"].clone();
    let listed = |arguments: &[&str], list: &str| -> Result<Value> {
        let output = deployment.run(&[arguments, &["--json"]].concat())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice::<Value>(&output.stdout)?[list][0]["id"].clone())
    };
    let policy = format!("/operator/v1/organizations/{}/policy", staged.organization);
    let policy = staged.operators.done(3, &["request", "get", &policy])?;
    let mut bindings = policy["bindings"].clone();
    for binding in bindings.as_array_mut().into_iter().flatten() {
        binding.as_object_mut().context("binding")?.remove("id");
    }
    let people = PEOPLE.iter().zip(&staged.operators.ids).map(
        |((name, _), id)| json!({ "name": name, "id": id, "key": deployment.path(&format!("{name}.key")) }),
    );
    Ok(json!({
        "operator": deployment.operator_url(), "organization": staged.organization, "escrow": staged.escrow,
        "chainId": 31_337, "people": people.collect::<Vec<_>>(), "revision": revision, "candidate": candidate,
        "apiKey": listed(&["apikey", "list"], "apiKeys")?, "key": listed(&["key", "list"], "keys")?,
        "vault": vault, "evaluated": evaluated,
        "policy": {
            "kind": "policy", "replaces": policy["revision"], "floor": policy["floor"], "bindings": bindings,
        },
        "component": component,
        "upload": {
            "plugin": "again", "settings": "{}",
            "grants": GRANTS, "signature": fs::read_to_string(signature)?.trim(),
        },
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_listener_keeps_to_its_document() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.server +=
        "operator_burst = 1000000\nsource_burst = 1000000\n[limits]\nopen_proposals_max = 10000\n";
    let (service, made) = Staged::start(&mut deployment).await?;
    let scene = description(&Staged::new(&deployment, &made).await?)?;
    let folder = environment::root().join("tests/openapi/operator");
    let reports = TempDir::new()?;
    let mut schemathesis = ending(environment::openapi_tools()?.join("schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml"));
    schemathesis.arg("run").arg(format!("{}/openapi/operator.json", deployment.operator_url()));
    schemathesis.env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    schemathesis.env("COUNTERSIGN_SCENE", scene.to_string()).current_dir(reports.path());
    let judged = tokio::task::spawn_blocking(move || schemathesis.output()).await??;
    let said = [judged.stdout.as_slice(), &judged.stderr].map(String::from_utf8_lossy).concat();
    ensure!(judged.status.success(), "{said}");
    let reached: Vec<String> = serde_json::from_slice(&fs::read(reports.path().join("reached.json"))?)?;
    let printed = Deployment::alone(&["openapi", "operator"])?;
    let document: Value = serde_json::from_slice(&printed.stdout)?;
    let items = document["paths"].as_object().context("paths")?.values();
    let operations = items.flat_map(|item| item.as_object().into_iter().flatten());
    let names = operations.map(|(_, operation)| text(operation, "operationId"));
    let unreached: Vec<&str> = names
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(|name| !reached.iter().any(|one| one == name))
        .collect();
    assert!(unreached.is_empty(), "never answered with success: {unreached:?}");
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
