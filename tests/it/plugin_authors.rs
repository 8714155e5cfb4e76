//! What a plugin's author does, with nothing but the binary and a toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::routing::post;
use countersign_tests::anvil::Anvil;
use countersign_tests::environment;
use countersign_tests::process::ending;
use countersign_tests::vendor::Counterpart;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stand::CHAIN_ID;

/// Runs `countersign plugin ..` in a folder.
fn plugin(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = ending(environment::gateway_binary()?);
    Ok(command.arg("plugin").args(arguments).current_dir(folder).output()?)
}

fn answer(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let output = plugin(folder, &[arguments, &["--json"]].concat())?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn guest(name: &str) -> Result<String> {
    let path = environment::gateway_binary()?.with_file_name(format!("../guests/{name}.wasm"));
    Ok(path.to_str().context("path")?.to_owned())
}

fn cases(folder: &TempDir, cases: &Value) -> Result<PathBuf> {
    let path = folder.path().join("cases.json");
    fs::write(&path, cases.to_string())?;
    Ok(path)
}

#[test]
fn a_folder_that_is_there_is_not_written_into() -> Result<()> {
    let folder = TempDir::new()?;
    answer(folder.path(), &["new", "spend-limit"])?;
    let again = plugin(folder.path(), &["new", "spend-limit"])?;
    assert!(String::from_utf8_lossy(&again.stderr).contains("`spend-limit` exists already"));
    Ok(())
}

#[test]
fn a_project_of_no_known_language_is_not_built() -> Result<()> {
    let folder = TempDir::new()?;
    let output = plugin(folder.path(), &["build", "."])?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("no `Cargo.toml`, `package.json` or `pyproject.toml`"), "{complaint}");
    Ok(())
}

#[test]
fn a_case_that_fails_shows_what_was_expected_and_what_came() -> Result<()> {
    let folder = TempDir::new()?;
    let address = "0x00000000000000000000000000000000000000bb";
    let answered = |decision: &str| {
        json!([{
            "capability": "http",
            "question": {
                "upstream": "screening", "method": "POST", "path": "/v1/review", "parameters": [],
                "headers": [["content-type", "application/json"]],
                "body": {"text": format!(
                    "{{\"organization\":\"o\",\"transactionId\":\"t\",\"chain\":\"eip155:1\",\"kind\":\"transfer\",\
                     \"sender\":\"{address}\",\"recipient\":\"{address}\",\"value\":\"5\",\"function\":null}}"
                )},
            },
            "answer": {"Ok": {"Ok": {"status": 200, "headers": [], "body": {"json": {"decision": decision}}}}},
        }])
    };
    let path = cases(
        &folder,
        &json!({
            "given": {
                "settings": {"upstream": "screening", "path": "/v1/review"},
                "verified": {
                    "organization_id": "o", "transaction_id": "t", "sender": address, "recipient": address, "value": "5",
                },
            },
            "cases": [
                {"name": "a yes", "given": {"host_calls": answered("approve")}, "expect": {"verdict": "approve"}},
                {"name": "a no", "given": {"host_calls": answered("reject")}, "expect": {"verdict": "approve"}},
                {
                    "name": "not asked", "given": {"host_calls": [answered("approve")[0], answered("reject")[0]]},
                    "expect": {"verdict": "approve"},
                },
                {"name": "nobody asked", "expect": {"failure": "replay_mismatch"}},
            ],
        }),
    )?;
    let path = path.to_str().context("path")?;
    let output = plugin(folder.path(), &["test", &guest("http_review")?, path])?;
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("ok     a yes\nFAILED a no\n"), "{text}");
    assert!(text.contains("- \"approve\"\n           + \"reject\"\n"), "{text}");
    let unasked =
        "FAILED not asked\n         host_calls\n           - [\"http: POST /v1/review of `screening`\"]\n";
    assert!(text.contains(unasked), "{text}");
    assert!(text.ends_with("ok     nobody asked\n2 passed, 2 failed\n"), "{text}");
    Ok(())
}

#[test]
fn a_run_that_could_not_fail_is_refused() -> Result<()> {
    let folder = TempDir::new()?;
    for (held, complaint) in [
        (json!({"cases": []}), "there are no cases to run: `"),
        (json!({"cases": [{"name": "one", "expect": {}}]}), "case `one` of `"),
    ] {
        let path = cases(&folder, &held)?;
        let output = plugin(folder.path(), &["test", &guest("hello")?, path.to_str().context("path")?])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(complaint), "{held}: {said}");
        assert!(output.stdout.is_empty(), "{held}");
    }
    Ok(())
}

#[test]
fn a_plugin_that_aborts_fails_every_case_that_does_not_say_so() -> Result<()> {
    let folder = TempDir::new()?;
    let given = json!({"settings": "\"panic\""});
    let path = cases(
        &folder,
        &json!({"given": given, "cases": [
            {"name": "reserves nothing", "expect": {"reservations": []}},
            {"name": "aborts", "expect": {"failure": "abort", "reservations": []}},
        ]}),
    )?;
    let output = plugin(folder.path(), &["test", &guest("hostile")?, path.to_str().context("path")?])?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.starts_with("FAILED reserves nothing\n         failure\n           - null\n"), "{text}");
    assert!(text.ends_with("ok     aborts\n1 passed, 1 failed\n"), "{text}");
    Ok(())
}

#[test]
fn a_case_says_that_a_gateway_would_not_have_waited_so_long() -> Result<()> {
    let folder = TempDir::new()?;
    let given = json!({"settings": "\"endless loop\""});
    let path = cases(
        &folder,
        &json!({"cases": [
            {"name": "endless", "given": given, "expect": {"failure": "timeout"}},
            {"name": "quick", "given": {"settings": "\"behave\""}, "expect": {"verdict": "approve"}},
        ]}),
    )?;
    let tested = answer(folder.path(), &["test", &guest("hostile")?, path.to_str().context("path")?])?;
    let note = tested["cases"][0]["note"].as_str().context("note")?;
    assert!(note.contains("a gateway denies what takes longer than 500 ms"), "{note}");
    assert_eq!(tested["cases"][1]["note"], Value::Null, "{tested}");
    Ok(())
}

#[test]
fn what_a_case_gives_and_no_gateway_would_is_named() -> Result<()> {
    let folder = TempDir::new()?;
    for (given, said) in [
        (json!({"verified": {"amount": "1"}}), "case `one`: there is no `given.verified.amount`"),
        (json!({"verified": {"value": 1}}), "verified.value: invalid type: integer `1`, expected a string"),
        (json!({"state_reads": [{"key": "a"}]}), "state_reads[0]: missing field `value`"),
        (
            json!({"verified": {"recipient": "0x00000000000000000000000000000000000000Bb"}}),
            "case `one`: `given.verified`: `recipient` is `0x00000000000000000000000000000000000000Bb`; a gateway tells \
             an address: `0x` and 40 hexadecimal digits, the letters small",
        ),
    ] {
        let path = cases(
            &folder,
            &json!({"cases": [{"name": "one", "given": given, "expect": {"verdict": "abstain"}}]}),
        )?;
        let output = plugin(folder.path(), &["test", &guest("hello")?, path.to_str().context("path")?])?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(said), "{said}: {complaint}");
    }
    Ok(())
}

#[test]
fn what_is_no_plugin_is_told_what_to_do_about_it() -> Result<()> {
    let folder = TempDir::new()?;
    for (bytes, advice) in [
        (&b"\0asm\x01\0\0\0"[..], "wasm-tools component new"),
        (b"", "is empty"),
        (b"(component)", "is not a WebAssembly component"),
        (b"\0asm\x0d\0\x01\0", "must export `countersign:policy/policy`"),
        (b"\0asm\x0d\0\x01\0\xff\xff", "wasm-tools validate"),
    ] {
        let path = folder.path().join("no-plugin.wasm");
        fs::write(&path, bytes)?;
        let output = plugin(folder.path(), &["check", "no-plugin.wasm"])?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(advice), "{advice}: {complaint}");
    }
    Ok(())
}

#[test]
fn bad_settings_are_faults_with_their_fields() -> Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("settings.json"), r#"{"limits": []}"#)?;
    let output =
        plugin(folder.path(), &["check", &guest("velocity")?, "--settings", "settings.json", "--json"])?;
    assert_eq!(output.status.code(), Some(5));
    let checked: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(checked["faults"], json!(["settings: `limits` must hold 1 to 16 limits"]));
    assert_eq!(checked["wantedCapabilities"], json!(["log", "settings", "state"]));
    Ok(())
}

#[test]
fn a_check_says_what_is_exported_and_which_grants_are_missing() -> Result<()> {
    let folder = TempDir::new()?;
    let component = guest("velocity")?;
    let arguments = ["check", &component, "--grant", "settings", "--grant", "log", "--json"];
    let output = plugin(folder.path(), &arguments)?;
    assert_eq!(output.status.code(), Some(5));
    let checked: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        checked["faults"],
        json!([
            "the component imports `state`, which is not among the grants: add `--grant state`, or do not use it"
        ])
    );
    assert_eq!(checked["exports"].as_array().map(Vec::len), Some(1), "{checked}");
    assert!(
        checked["exports"][0].as_str().is_some_and(|name| name.starts_with("countersign:policy/policy@"))
    );
    let enough = answer(folder.path(), &[&arguments[..6], &["--grant", "state"]].concat())?;
    assert_eq!(enough["faults"], json!([]));
    Ok(())
}

#[test]
fn a_check_tells_what_a_large_component_costs_and_asks_it_about_its_own_examples() -> Result<()> {
    let folder = TempDir::new()?;
    let checked = answer(folder.path(), &["check", &guest("allowlist")?])?;
    assert!(checked["remarks"][0].as_str().is_some_and(|remark| remark.contains("64 MiB")), "{checked}");
    Ok(())
}

/// What a service and a node answer now is a case that needs neither from then on.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_recorded_without_a_gateway_and_replayed_without_the_services() -> Result<()> {
    let folder = TempDir::new()?;
    let review = async || r#"{"decision": "review", "reason": "ask Ada"}"#;
    let service = Counterpart::start(Router::new().route("/v2/review", post(review))).await?;
    let named = format!("screening={}/v2", service.url());
    let settings = json!({"upstream": "screening", "path": "/review"});
    let path = cases(
        &folder,
        &json!({"given": {"settings": settings}, "cases": [{"name": "now", "expect": {"verdict": "abstain"}}]}),
    )?;
    let (component, path) = (guest("http_review")?, path.to_str().context("path")?.to_owned());
    let asked = ["record", "--component", &component, "--cases", &path, "--upstream", &named, "--route"];
    let headers = ["--request-header", "content-type"];

    let undeclared = plugin(folder.path(), &[&asked[..], &["GET /other"], &headers].concat())?;
    let told: Value = serde_json::from_slice(&undeclared.stdout)?;
    assert_eq!(told["cases"][0]["expect"]["failure"], "http_refused", "{told}");

    let recorded = plugin(folder.path(), &[&asked[..], &["POST /review"], &headers].concat())?;
    ensure!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let told: Value = serde_json::from_slice(&recorded.stdout)?;
    assert_eq!(told["cases"][0]["expect"]["reason_code"], "review", "{told}");
    fs::write(folder.path().join("recorded.json"), &recorded.stdout)?;
    drop(service);
    let tested = answer(folder.path(), &["test", &component, "recorded.json"])?;
    assert_eq!((&tested["passed"], &tested["failed"]), (&json!(1), &json!(0)), "{tested}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_recorded_from_a_node_without_a_gateway() -> Result<()> {
    let folder = TempDir::new()?;
    let node = Anvil::start(CHAIN_ID).await?;
    let settings = "pinned;eth_getBalance 0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    let chain = json!({"chain": format!("eip155:{CHAIN_ID}")});
    let path = cases(
        &folder,
        &json!({"cases": [{
            "name": "now", "given": {"settings": format!("\"{settings}\""), "verified": chain}, "expect": {"verdict": "abstain"},
        }]}),
    )?;
    let (component, path) = (guest("reader")?, path.to_str().context("path")?.to_owned());
    let named = format!("eip155:{CHAIN_ID}={}", node.node().url());
    let recorded =
        plugin(folder.path(), &["record", "--component", &component, "--cases", &path, "--node", &named])?;
    ensure!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let told: Value = serde_json::from_slice(&recorded.stdout)?;
    let analysis = told["cases"][0]["expect"]["analysis"].as_str().context("analysis")?;
    assert!(analysis.starts_with("block 0 0x"), "{analysis}");
    assert!(analysis.ends_with("\n0x21e19e0c9bab2400000"), "{analysis}");
    fs::write(folder.path().join("recorded.json"), &recorded.stdout)?;
    drop(node);
    let tested = answer(folder.path(), &["test", &component, "recorded.json"])?;
    assert_eq!((&tested["passed"], &tested["failed"]), (&json!(1), &json!(0)), "{tested}");
    Ok(())
}

#[test]
fn a_recording_says_where_from() -> Result<()> {
    let folder = TempDir::new()?;
    let output = plugin(folder.path(), &["record", "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45"])?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("needs `--data-dir` or `--config`"), "{complaint}");
    Ok(())
}

#[test]
fn a_benchmark_counts_the_same_fuel_every_time() -> Result<()> {
    let folder = TempDir::new()?;
    let path = cases(&folder, &json!({"cases": [{"name": "one", "expect": {"verdict": "abstain"}}]}))?;
    let path = path.to_str().context("path")?;
    let measure = || answer(folder.path(), &["bench", &guest("hello")?, path, "--count", "10"]);
    let (first, second) = (measure()?, measure()?);
    for instance in ["fresh", "reused"] {
        assert_eq!(first[instance]["evaluations"], 10, "{first}");
        assert!(first[instance]["medianMicros"].as_f64().is_some_and(|micros| micros > 0.0), "{first}");
    }
    assert_eq!(first["reusedStopped"], Value::Null);
    assert_eq!(
        first.get("note"),
        Some(&Value::Null),
        "no evaluation took longer than a gateway waits: {first}"
    );
    assert!(first["memoryPeakBytes"].as_u64().is_some_and(|bytes| bytes >= 65_536), "{first}");
    assert!(first["fuel"].as_u64().is_some_and(|fuel| fuel > 100), "{first}");
    assert_eq!(first["fuel"], second["fuel"]);
    Ok(())
}
