//! Installations without operators: made as such, marked for good, and nothing that any other can become.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::environment;
use countersign_tests::process::Service;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_mins(1);
const INIT: [&str; 4] = ["init", "--organization", "acme", "--development"];

/// Takes the last object away that `init` made on the token: the mark of development, as a token would lack it that was
/// brought back from before, or that never had it.
fn unmark(deployment: &Deployment) -> Result<()> {
    let mut objects: Vec<(_, PathBuf)> = Vec::new();
    for token in fs::read_dir(deployment.path("tokens"))? {
        for file in fs::read_dir(token?.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "object") {
                objects.push((fs::metadata(&path)?.modified()?, path));
            }
        }
    }
    let (_, newest) = objects.into_iter().max().context("the token holds no object")?;
    Ok(fs::remove_file(newest)?)
}

#[tokio::test]
async fn an_installation_is_for_development_only_if_it_was_made_so_and_says_it_at_every_start() -> Result<()>
{
    let mut deployment = Deployment::new()?;
    let neither = deployment.fails(&INIT[..3], 2)?;
    ensure!(neither.contains("--charter"), "{neither}");
    let both = deployment.fails(&[&INIT[..], &["--charter", "charter.toml"]].concat(), 2)?;
    ensure!(both.contains("cannot be used with"), "{both}");

    deployment.init(&[])?;
    let doctor = deployment.run(&["doctor", "--json"])?;
    let told: Value = serde_json::from_slice(&doctor.stdout)?;
    ensure!(told.to_string().contains("FOR DEVELOPMENT"), "{told}");
    for _ in 0..2 {
        let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
        service.line_after("ready ", DEADLINE).await?;
        service.says("FOR DEVELOPMENT", DEADLINE).await?;
        ensure!(service.terminate(DEADLINE).await?.success());
    }
    Ok(())
}

/// Nobody but whoever sits at the machine: one person alone decides there what is signed.
#[test]
fn an_installation_for_development_listens_on_loopback_alone() -> Result<()> {
    for key in ["listen", "operator_listen"] {
        let mut deployment = Deployment::new()?;
        deployment.init(&[])?;
        deployment.server = format!("{key} = \"0.0.0.0:0\"\n");
        let refusal = deployment.fails(&["serve"], 1)?;
        ensure!(refusal.contains(&format!("`server.{key}` is 0.0.0.0:0")), "{refusal}");
        ensure!(refusal.contains("init --charter"), "{refusal}");
        let folder = deployment.path("dev");
        let flag = format!("--{}", key.replace('_', "-"));
        let dev = ["dev", "--data-dir", folder.to_str().context("path")?, &flag, "0.0.0.0:0"];
        let output = Deployment::alone(&dev)?;
        let refusal = String::from_utf8_lossy(&output.stderr);
        ensure!(refusal.contains(&format!("`server.{key}` is 0.0.0.0:0")), "{refusal}");
    }
    Ok(())
}

#[test]
fn what_is_neither_of_operators_nor_for_development_takes_no_plugin_and_does_not_serve() -> Result<()> {
    let mut deployment = Deployment::new()?;
    deployment.init(&[])?;
    unmark(&deployment)?;
    let orion = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    let install = ["plugin", "install", orion.to_str().context("path")?, "--name", "orion"];
    let install = [&install[..], &["--grant", "log", "--authority", "orion"]].concat();
    let create = ["apikey", "create", "--label", "agent", "--name", "mine"];
    // Whatever the configuration says: there is no setting for it, and an unknown one is refused.
    for enlarging in [&install[..], &create, &["freeze", "organization", "--lift"]] {
        let refusal = deployment.fails(enlarging, 1)?;
        ensure!(refusal.contains("found it with operators"), "{enlarging:?}: {refusal}");
    }
    let refusal = deployment.fails(&["serve"], 1)?;
    ensure!(refusal.contains("found it with operators"), "{refusal}");
    let doctor = deployment.run(&["doctor", "--json"])?;
    let told: Value = serde_json::from_slice(&doctor.stdout)?;
    ensure!(told.to_string().contains("neither operators nor development"), "{told}");
    ensure!(deployment.run(&["freeze", "organization"])?.status.success(), "stopping things needs nobody");

    // Nor does saying it later help.
    fs::remove_file(deployment.path("data/initialized"))?;
    let refusal = deployment.fails(&INIT, 1)?;
    ensure!(refusal.contains("cannot become one"), "{refusal}");
    deployment.fails(&install, 1)?;
    Ok(())
}
