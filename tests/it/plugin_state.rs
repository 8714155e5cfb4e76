//! The capability `state`, from the command that grants it to the transactions that it holds back.

use std::fs;

use alloy_primitives::U256;
use anyhow::{Context, Result};
use countersign_tests::environment;
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer};
use countersign_tests::wait;
use futures::future::try_join_all;
use serde_json::Value;

use crate::control::order;
use crate::stand::{Stand, transfer};

/// Installs the fixture that approves ten transactions an hour, as a gate beside Orion.
fn install(stand: &Stand, grants: &[&str]) -> Result<()> {
    let component = environment::gateway_binary()?.with_file_name("../guests/limiter.wasm");
    let settings = stand.installation.data_dir().join("limit.json");
    fs::write(&settings, "10")?;
    let (component, settings) = (component.to_str().context("path")?, settings.to_str().context("path")?);
    let mut arguments =
        vec!["plugin", "install", component, "--name", "limiter", "--gate", "--settings", settings];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    order(&stand.installation, &arguments).map(|_| ())
}

#[tokio::test]
async fn state_that_is_not_granted_is_refused_when_the_plugin_is_installed() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let _gateway = stand.installation.start().await?;
    let refused = install(&stand, &["log", "settings"]).unwrap_err().to_string();
    assert!(refused.contains("the component imports `state`, which is not granted"), "{refused}");
    let unknown = install(&stand, &["log", "settings", "sate"]).unwrap_err().to_string();
    assert!(unknown.contains("`sate` is not a capability"), "{unknown}");
    Ok(())
}

#[tokio::test]
async fn of_64_requests_at_once_exactly_the_limit_is_executed() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    install(&stand, &["log", "settings", "state"])?;
    let job = stand.job(&gateway);
    let transfers: Vec<Transfer> =
        (1..=64).map(|value| Transfer { value: U256::from(value), ..transfer(escrow) }).collect();
    let replies = try_join_all(transfers.iter().map(|transfer| job.propose(transfer))).await?;
    let replies: Vec<Value> = replies.into_iter().map(|reply| reply.expect(201)).collect::<Result<_>>()?;
    let rejected = replies.iter().filter(|proposed| proposed["status"] == "REJECTED").count();
    assert_eq!(rejected, 54);
    let executed = format!("/transactions/users/{}?status=EXECUTED", stand.wallet.address());
    wait::until("ten transactions to be executed", FINAL_DEADLINE, async || {
        let list = gateway.client().get(&executed, job.admin()).await?.expect(200)?;
        Ok(list.as_array().filter(|list| list.len() == 10).map(|_| ()))
    })
    .await?;
    Ok(())
}
