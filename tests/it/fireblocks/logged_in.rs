//! A wallet that nobody enrolled: its first login makes the user, and everything else is theirs to do.

use anyhow::{Context, Result};
use countersign_tests::main_job::{Transfer, text};
use reqwest::Method;
use serde_json::json;

use super::{API_KEY, ETHER, HASH, RECIPIENT, Scene};
use crate::stand::{CHAIN_ID, request_hash};

#[tokio::test]
async fn a_wallet_that_logged_in_first_gets_to_an_execution_by_fireblocks() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    let (job, client) = (scene.stand.job(&gateway), gateway.client());
    let access = job.log_in().await?;
    scene.token.get_or_init(|| access);
    let made = scene.request_certificate(&gateway, false).await?.expect(201)?;
    scene.fireblocks.enrol(text(&made, "csr")?, API_KEY)?;
    scene.complete(&gateway).await?;
    let checked = scene.validate(&gateway).await?.expect(200)?;
    assert_eq!(checked["valid"], true, "{checked}");

    // The address in the vault signs nothing for its user: the organization's admin vouches for it.
    let choice = json!({
        "escrowAddress": scene.escrow, "executionType": 0, "executionProvider": "fireblocks",
        "agentProvider": "none", "chainId": CHAIN_ID,
    });
    let choose = async |headers: &[(&str, &str)]| {
        client.send(Method::PUT, "/settings", scene.user(), serde_json::to_vec(&choice)?, headers).await
    };
    let alone = choose(&[]).await?;
    assert!((400..500).contains(&alone.status), "{}", alone.body);
    let settings = choose(&[("x-api-key", &gateway.bootstrap.admin_api_key)]).await?.expect(200)?;
    assert_eq!(settings["executionProvider"], "fireblocks", "{settings}");

    let transfer = Transfer {
        escrow: scene.escrow,
        to: RECIPIENT.parse()?,
        value: alloy_primitives::U256::from(ETHER / 10),
        request_nonce: None,
    };
    let proposed = job.propose(&transfer).await?.expect(201)?;
    let name = request_hash(&proposed);
    let taken = scene.fireblocks.taken(name).context("nothing arrived")?;
    assert_eq!(taken.body["destination"]["oneTimeAddress"]["address"], RECIPIENT);
    scene.fireblocks.set_status(name, "COMPLETED", Some(HASH))?;
    let executed = job.final_transaction(name).await?;
    assert_eq!((&executed["status"], &executed["executionTxHash"]), (&json!("EXECUTED"), &json!(HASH)));
    scene.check_requests()?;
    scene.stand.finish(gateway).await
}
