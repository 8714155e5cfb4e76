//! An address is a text; it selects no key and enrols nobody by itself (T4, T6).

use anyhow::Result;
use countersign_tests::wallet::Wallet;
use serde_json::json;

use crate::stand::{CHAIN_ID, Stand, transfer};

#[tokio::test]
async fn an_hsm_address_cannot_be_claimed_or_enrolled() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let client = gateway.client();

    let claim = json!({"ethereumAddress": Wallet::random().address(), "escrowAddress": escrow});
    let claimed = client.post("/users", job.admin(), &claim).await?;
    assert_eq!(claimed.status, 409, "{}", claimed.body);

    let enrolment = json!({"ethereumAddress": escrow});
    let enrolled = client.post("/users", job.admin(), &enrolment).await?;
    assert!(matches!(enrolled.status, 400 | 409), "{}: {}", enrolled.status, enrolled.body);
    Ok(())
}

#[tokio::test]
async fn an_unknown_escrow_address_has_no_transactions() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let stranger = transfer(Wallet::random().address());
    let refused =
        gateway.client().post("/transactions", stand.job(&gateway).admin(), &stranger.body(CHAIN_ID)).await?;
    assert!(matches!(refused.status, 400 | 404), "{}: {}", refused.status, refused.body);
    Ok(())
}

#[tokio::test]
async fn every_user_gets_an_address_of_its_own() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let first = stand.job(&gateway).create_user().await?;
    let other = Wallet::random();
    let mut job = stand.job(&gateway);
    job.wallet = &other;
    assert_ne!(first, job.create_user().await?);
    assert_eq!(stand.job(&gateway).find_user().await?, Some(first));
    Ok(())
}
