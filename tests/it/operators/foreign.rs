//! A component that no toolchain of ours has made, at every command that takes one.

use std::fs;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use serde_json::{Value, json};

use super::DEADLINE;
use super::staging::{ORION_SETTINGS, Staged};

/// Hand-written, see `limit.wat`; the build script makes a component of it.
const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/limit.wasm"));

fn told(arguments: &[&str]) -> Result<Value> {
    let output = Deployment::alone(&[arguments, &["--json"]].concat())?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn a_component_of_a_foreign_toolchain_is_examined_signed_stored_and_obeyed() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let path = deployment.path("limit.wasm");
    fs::write(&path, COMPONENT)?;
    let path = path.to_str().context("path")?.to_owned();
    let checked = told(&["plugin", "check", &path])?;
    ensure!(checked["name"] == "foreign-limit" && checked["version"] == "1.2.3", "{checked}");
    ensure!(checked["faults"] == json!([]) && checked["wantedCapabilities"] == json!([]), "{checked}");

    let case = |name: &str, value: &str, verdict: &str| {
        json!({
            "name": name, "given": {"verified": {"value": value}},
            "expect": {"verdict": verdict, "reason_code": "limit", "confidence_ppm": 1_000_000},
        })
    };
    let cases = deployment.path("cases.json");
    let (below, above) = ("9999999999999999999", "10000000000000000000");
    let both = json!({"cases": [case("below", below, "approve"), case("above", above, "reject")]});
    fs::write(&cases, both.to_string())?;
    let cases = cases.to_str().context("path")?;
    let tested = told(&["plugin", "test", &path, cases])?;
    ensure!(tested["passed"] == 2 && tested["failed"] == 0, "{tested}");
    let measured = told(&["plugin", "bench", &path, cases, "--count", "10"])?;
    ensure!(measured["fresh"]["evaluations"] == 10 && measured["fuel"].as_u64() > Some(10), "{measured}");

    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let limit = staged.upload_component("foreign-limit", &path, "{}", &[])?;
    staged.bound(&limit, "enforce", &["--gate"])?;
    let transfer = staged.transfer().await?;
    ensure!(transfer["status"] != "REJECTED", "{transfer}");
    let id = staged.transaction_of(&transfer).await?;
    let recorded = deployment.run(&["plugin", "record", &id, "--plugin", "foreign-limit"])?;
    let recorded: Value = serde_json::from_slice(&recorded.stdout)?;
    ensure!(recorded["cases"][0]["expect"]["verdict"] == "approve", "{recorded}");
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
