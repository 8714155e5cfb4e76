//! The ceremony that names new operators: it takes a PIN that is not kept here, a stopped gateway, and time.

use std::fs;

use anyhow::{Context, Result, ensure};
use countersign_tests::deployment::Deployment;
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use serde_json::Value;

use super::staging::Staged;
use super::{DEADLINE, ceremony};

#[tokio::test]
async fn new_operators_are_named_with_the_security_officers_pin_and_refused_by_one_who_is_left() -> Result<()>
{
    let (mut deployment, heirs) = (Deployment::new()?, Deployment::new()?);
    let (service, made) = Staged::start(&mut deployment).await?;
    ceremony(&heirs)?;
    let path = |deployment: &Deployment, file: &str| -> Result<String> {
        Ok(deployment.path(file).to_str().context("path")?.to_owned())
    };
    let (pin, charter) = (path(&deployment, "so-pin")?, path(&heirs, "charter.toml")?);
    let begin = ["charter-recovery", "begin", "--reason", "a fire", "--charter"];
    let begin = |charter: &str, pin: &str, status: i32| {
        deployment.fails(&[&begin[..], &[charter, "--so-pin-file", pin]].concat(), status)
    };
    let refusal = begin(&charter, &pin, 4)?;
    ensure!(refusal.contains("is in use by a running gateway"), "{refusal}");
    ensure!(service.terminate(DEADLINE).await?.success());
    let wrong = path(&deployment, "wrong-pin")?;
    fs::write(&wrong, "not the officer's")?;
    let refusal = begin(&charter, &wrong, 1)?;
    ensure!(refusal.contains("refused the security officer's PIN"), "{refusal}");
    let refusal = begin(&path(&deployment, "charter.toml")?, &pin, 1)?;
    ensure!(refusal.contains("never again"), "{refusal}");

    let arguments =
        ["charter-recovery", "begin", "--reason", "a fire", "--charter", &charter, "--so-pin-file", &pin];
    let opened = deployment.run(&[&arguments[..], &["--json"]].concat())?;
    ensure!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let opened: Value = serde_json::from_slice(&opened.stdout)?;
    let id = text(&opened, "id")?;
    let complete = ["charter-recovery", "complete", id, "--so-pin-file", &pin];
    let early = deployment.fails(&complete, 1)?;
    ensure!(early.contains("the delay is not over"), "{early}");

    // It cannot be overlooked, and an operator who is left ends it.
    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    service.says("SOMEBODY RECOVERS THE CHARTER", DEADLINE).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let told = staged.operators.done(3, &["proposals"])?;
    ensure!(told["proposals"][0]["change"]["kind"] == "recovery", "{told}");
    ensure!(staged.operators.done(1, &["refuse", "--yes", id])?["state"] == "refused");
    ensure!(service.terminate(DEADLINE).await?.success());
    let ended = deployment.fails(&complete, 1)?;
    ensure!(ended.contains("was refused"), "{ended}");
    Ok(())
}
