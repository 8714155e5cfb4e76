//! A credential that is taken away stops working, and so do the votes it gave (T13).

use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::gateway::Installation;
use countersign_tests::main_job::text;
use serde_json::Value;

use crate::stand::{Stand, request_hash};

/// Revokes the API key with this label, while the gateway is stopped.
fn revoke(installation: &Installation, label: &str) -> Result<()> {
    let data_dir = installation.data_dir();
    let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
    let listed = installation.command(&["apikey", "list", "--data-dir", data_dir, "--json"])?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let keys = listed["apiKeys"].as_array().context("no list of keys")?;
    let key = keys.iter().find(|key| key["label"] == label).context("no key with that label")?;
    let revoked = installation.command(&["apikey", "revoke", text(key, "id")?, "--data-dir", data_dir])?;
    ensure!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    Ok(())
}

#[tokio::test]
async fn a_revoked_keys_vote_no_longer_counts() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);
    stand.job(&gateway).approve_as_agent(hash).await?.expect(201)?;
    assert!(gateway.stop().await?.success());
    revoke(&stand.installation, "agent")?;

    let gateway = stand.installation.start().await?;
    let job = stand.job(&gateway);
    let user = format!("/users/{}", stand.wallet.address());
    let refused = gateway.client().get(&user, Credential::ApiKey(&gateway.bootstrap.agent_api_key)).await?;
    assert_eq!(refused.status, 401, "{}", refused.body);
    job.approve_as_user(hash).await?.expect(201)?;
    let status = job.approval_status(hash).await?;
    assert_eq!(status["status"], "PENDING", "{status}");
    assert!(status["required"].as_array().is_some_and(|roles| roles.contains(&"agent".into())), "{status}");
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());

    stand.finish(gateway).await
}

/// T35: what `dev` made is for trying out, not for service.
#[tokio::test]
async fn serve_refuses_a_directory_made_by_dev() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    assert!(gateway.stop().await?.success());
    let data_dir = stand.installation.data_dir();
    let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
    let served = stand.installation.command(&["serve", "--data-dir", data_dir])?;
    assert!(!served.status.success());
    Ok(())
}
