//! What somebody who runs the gateway for the first time gets wrong: every error names its cause and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::gateway::Installation;
use countersign_tests::process::Service;
use serde_json::Value;

const INIT: [&str; 4] = ["init", "--organization", "acme", "--development"];
const DEADLINE: Duration = Duration::from_mins(1);

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not said in:\n{text}");
    }
}

#[tokio::test]
async fn a_deployment_is_made_from_an_empty_softhsm() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let absent = deployment.fails(&INIT, 1)?;
    says(&absent, &["no token labelled `acme`", "`countersign init --init-token`"]);

    let made = deployment.init(&[])?;
    let rights = fs::metadata(deployment.path("so-pin"))?.permissions().mode() & 0o777;
    assert_eq!(rights, 0o600, "the security officer's PIN is open to others");
    ensure!(made["adminApiKey"].is_string(), "{made}");
    let again = deployment.fails(&INIT, 1)?;
    says(&again, &["this deployment is initialized already"]);

    let doctor = deployment.run(&["doctor", "--json"])?;
    let parts: Value = serde_json::from_slice(&doctor.stdout)?;
    let parts = parts["parts"].as_array().context("no parts")?;
    let part = |name: &str| parts.iter().find(|part| part["part"] == name).context(name.to_owned());
    for sound in ["database", "token", "keys"] {
        ensure!(part(sound)?["ok"] == true, "{}", part(sound)?);
    }
    let node = part("chain eip155:31337")?;
    says(&node.to_string(), &["\"ok\":false", "`chains.rpc_urls`"]);

    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    service.says("`chains.rpc_urls`", DEADLINE).await?;

    let taken = deployment.fails(&["serve"], 4)?;
    says(&taken, &["is in use by a running gateway or command"]);
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}

/// A token is initialized once: what `init` would refuse anyway it refuses before.
#[test]
fn what_init_cannot_use_costs_no_token() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let security_officer = deployment.path("so-pin");
    let makes_token = ["--init-token", "--so-pin-file", security_officer.to_str().context("path")?];
    let chains = std::mem::take(&mut deployment.chains);
    says(&deployment.fails(&[&INIT[..], &makes_token[..]].concat(), 1)?, &["`chains` names no chain"]);
    deployment.chains = chains;

    crate::operators::ceremony(&deployment)?;
    let charter = deployment.path("charter.toml");
    let named = charter.to_str().context("path")?;
    let sound = fs::read_to_string(&charter)?;
    let charter_init = [&["init", "--organization", "acme", "--charter", named], &makes_token[..]].concat();
    for (from, to, rule) in [
        ("approvals_required = 2", "approvals_required = 1", "approvals_required must be at least 2"),
        ("approvals_required = 2", "approvals_required = 5", "5 approvers beside (approvals_required)"),
        ("bob.pem", "cy.pem", "public_key: a public key must be enrolled once"),
    ] {
        let unsound = sound.replace(from, to);
        ensure!(unsound != sound, "{sound}");
        fs::write(&charter, unsound)?;
        says(&deployment.fails(&charter_init, 1)?, &[named, rule]);
    }
    fs::write(&charter, sound)?;
    ensure!(!security_officer.exists(), "nothing was made");

    deployment.init(&["--charter", named])?;
    fs::remove_file(deployment.path("data/initialized"))?;
    let again = deployment.fails(&charter_init, 1)?;
    says(
        &again,
        &["a token with this label exists already", "leave off `--init-token`", "`hsm.token_label`"],
    );
    Ok(())
}

#[test]
fn an_address_in_use_is_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?;
    deployment.server =
        format!("listen = \"{address}\"\noperator_listen = \"{}\"\n", environment::free_loopback_address()?);
    let text = deployment.fails(&["serve"], 1)?;
    says(&text, &[&address.to_string(), "another program listens there", "`server.listen`"]);
    Ok(())
}

#[test]
fn a_wrong_pin_is_sent_once_and_the_way_back_is_told() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    deployment.pin = "battery staple";
    for _ in 0..2 {
        let text = deployment.fails(&["serve"], 3)?;
        says(&text, &["pin", "`hsm.pin`", "countersign doctor --clear-pin-latch"]);
    }
    deployment.pin = "correct horse";
    let doctor = deployment.run(&["doctor", "--clear-pin-latch", "--json"])?;
    let parts: Value = serde_json::from_slice(&doctor.stdout)?;
    let token = parts["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["part"] == "token"));
    assert_eq!(token.context("no token")?["ok"], true, "{parts}");
    Ok(())
}

#[test]
fn an_absent_module_is_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.module = "/nowhere/libsofthsm2.so".to_owned();
    let text = deployment.fails(&INIT, 1)?;
    says(&text, &["/nowhere/libsofthsm2.so", "`hsm.module`", "softhsm2"]);
    Ok(())
}

#[tokio::test]
async fn a_database_that_another_gateway_has_is_named() -> Result<()> {
    let shared = tempfile::tempdir()?;
    let database = shared.path().join("gateway.db");
    let configuration = format!("[database]\nurl = \"sqlite://{}\"\n", database.display());
    let (first, second) = (Installation::new(&configuration)?, Installation::new(&configuration)?);
    let running = first.start().await?;
    let refused = second.start().await.err().context("two gateways work on one file")?.to_string();
    says(&refused, &["is in use by another process", "`database.url`"]);
    ensure!(running.stop().await?.success());
    Ok(())
}

#[test]
fn mistakes_in_the_configuration_are_named() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.server += "lisden = 1\n";
    let text = deployment.fails(&["serve"], 2)?;
    says(&text, &["lisden", "config-reference"]);

    let mut deployment = Deployment::new()?;
    deployment.server += "body_bytes_max = 1\n";
    says(&deployment.fails(&["serve"], 2)?, &["`server.body_bytes_max` must be 1024 to"]);

    let deployment = Deployment::new()?;
    let text = deployment.fails(&["serve"], 2)?;
    says(&text, &["`core.organization` is not configured", "COUNTERSIGN__"]);

    let mut deployment = Deployment::new()?;
    deployment.server += "not toml";
    says(&deployment.fails(&["serve"], 2)?, &["is not TOML, line", "texts need quotes"]);
    Ok(())
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() -> Result<()> {
    let deployment = Deployment::new()?;
    let directory = deployment.path("data");
    fs::write(&directory, "a file")?;
    let text = deployment.fails(&INIT, 1)?;
    says(&text, &[directory.to_str().context("path")?, "read and write", "`core.data_dir`"]);
    fs::remove_file(&directory)?;
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    says(&deployment.fails(&INIT, 1)?, &["open to other users", "chmod 700"]);
    Ok(())
}
