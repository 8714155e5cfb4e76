//! T20: the machine goes down the moment a client has its 201. What it was told is in the files.

use std::fs;
use std::path::Path;

use alloy_primitives::U256;
use anyhow::Result;
use countersign_tests::configuration::PEOPLE_FROM_WEI;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::Transfer;
use countersign_tests::process::signal;

use crate::stand::{Stand, request_hash, transfer};

/// A copy of all files as they are now, sockets and locks left out.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Leaves of the installation what its files hold now. What is in the kernel's memory counts as written: that the token
/// and the database have it on the disk is their part.
fn cut_power(stand: &Stand, gateway: Gateway) -> Result<()> {
    signal(gateway.process_id(), "STOP")?;
    let data_dir = stand.installation.data_dir();
    let kept = data_dir.with_extension("kept");
    copy(&data_dir, &kept)?;
    gateway.kill()?;
    fs::remove_dir_all(&data_dir)?;
    Ok(fs::rename(&kept, &data_dir)?)
}

#[tokio::test]
async fn an_address_that_was_given_out_can_pay_after_a_power_cut() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.job(&gateway).create_user().await?;
    cut_power(&stand, gateway)?;

    stand.fund(escrow).await?;
    let gateway = stand.installation.start().await?;
    let job = stand.job(&gateway);
    assert_eq!(job.find_user().await?, Some(escrow));
    let payment = Transfer { value: U256::from(PEOPLE_FROM_WEI / 100), ..transfer(escrow) };
    let accepted = job.propose(&payment).await?.expect(201)?;
    let executed = job.final_transaction(request_hash(&accepted)).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", gateway.output());
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_transaction_that_was_acknowledged_is_there_after_a_power_cut() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    stand.job(&gateway).approve_as_agent(request_hash(&proposed)).await?.expect(201)?;
    cut_power(&stand, gateway)?;

    let gateway = stand.installation.start().await?;
    let job = stand.job(&gateway);
    let status = job.approval_status(request_hash(&proposed)).await?;
    assert_eq!((&status["status"], &status["agent"]), (&"PENDING".into(), &true.into()), "{status}");
    job.approve_as_user(request_hash(&proposed)).await?.expect(201)?;
    assert_eq!(job.final_transaction(request_hash(&proposed)).await?["status"], "EXECUTED");
    Ok(())
}
