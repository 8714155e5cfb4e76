//! People log in with wallets that know nothing of this project.

use alloy_primitives::U256;
use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::environment::rfc3339_now;
use countersign_tests::login_clients::Library;
use countersign_tests::wallet::Wallet;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, Stand};

/// What a page sends for a login by `wallet`.
async fn signed_in(client: &Client, wallet: &Wallet) -> Result<Value> {
    let issued = client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.expect(200)?;
    let nonce = issued["nonce"].as_str().context("a nonce is text")?;
    let (origin, address, now) = (client.origin(), wallet.address(), rfc3339_now());
    let domain = origin.split_once("://").context("an origin has a scheme")?.1;
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n\nURI: {origin}\nVersion: 1\n\
         Chain ID: {CHAIN_ID}\nNonce: {nonce}\nIssued At: {now}"
    );
    let signature = hex(&wallet.sign_text(&message)?);
    Ok(json!({"message": message, "signature": signature}))
}

async fn log_in(client: &Client, wallet: &Wallet) -> Result<Value> {
    let body = signed_in(client, wallet).await?;
    client.post("/auth/siwe/verify", Credential::Nobody, &body).await?.expect(200)
}

fn token<'a>(tokens: &'a Value, name: &str) -> Result<&'a str> {
    tokens[name].as_str().with_context(|| format!("`{name}` is missing"))
}

async fn me(client: &Client, tokens: &Value) -> Result<Reply> {
    client.get("/auth/me", Credential::Token(token(tokens, "accessToken")?)).await
}

async fn refresh(client: &Client, tokens: &Value) -> Result<Reply> {
    let body = json!({"refreshToken": token(tokens, "refreshToken")?});
    client.post("/auth/refresh", Credential::Nobody, &body).await
}

#[tokio::test]
async fn other_peoples_software_logs_in() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    for library in Library::ALL {
        let origin = client.origin().to_owned();
        let tokens = tokio::task::spawn_blocking(move || library.log_in(&origin, CHAIN_ID)).await??;
        assert_eq!(me(client, &tokens).await?.expect(200)?, tokens["user"], "{library:?}");
    }
    stand.finish(gateway).await
}

#[tokio::test]
async fn sessions_outlive_the_process_and_end_at_once() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let (one, two) =
        (log_in(gateway.client(), &stand.wallet).await?, log_in(gateway.client(), &stand.wallet).await?);
    gateway.kill()?;

    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    assert_eq!(me(client, &one).await?.status, 200);
    let newer = refresh(client, &one).await?.expect(200)?;
    gateway.kill()?;

    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    assert_eq!(me(client, &newer).await?.status, 200);
    assert_eq!(refresh(client, &one).await?.status, 401, "a used token");
    assert_eq!(me(client, &newer).await?.status, 401);
    assert_eq!(refresh(client, &newer).await?.status, 401);
    assert_eq!(me(client, &two).await?.status, 200);
    let body = json!({"refreshToken": token(&two, "refreshToken")?});
    assert_eq!(client.post("/auth/logout", Credential::Nobody, &body).await?.status, 204);
    assert_eq!(me(client, &two).await?.status, 401);
    stand.finish(gateway).await
}

#[tokio::test]
async fn somebody_who_logged_in_gets_a_key_and_spends_with_it() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let client = gateway.client();
    let tokens = log_in(client, &stand.wallet).await?;
    assert_eq!(tokens["user"].get("escrowAddress"), None);
    let credential = Credential::Token(token(&tokens, "accessToken")?);
    let update = serde_json::to_vec(&json!({"chainId": CHAIN_ID}))?;
    let settings = client.send(Method::PUT, "/settings", credential, update, &[]).await?.expect(200)?;
    let escrow = settings["escrowAddress"].as_str().context("the first update makes a key")?.parse()?;
    stand.anvil.node().set_balance(escrow, U256::from(10).pow(U256::from(18))).await?;

    let made = client.post("/user-api-keys", credential, &json!({"name": "bot"})).await?.expect(201)?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let path = format!("/transactions/{}/approval-status", token(&proposed, "requestHash")?);
    let by_key = client.get(&path, Credential::ApiKey(token(&made, "key")?)).await?.expect(200)?;
    assert_eq!(client.get(&path, credential).await?.expect(200)?, by_key);

    let revoke = format!("/user-api-keys/{}", token(&made, "id")?);
    client.send(Method::DELETE, &revoke, credential, Vec::new(), &[]).await?.expect(200)?;
    assert_eq!(client.get(&path, Credential::ApiKey(token(&made, "key")?)).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn the_signing_key_rotates_and_tokens_of_the_key_before_stay_good() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let old = log_in(gateway.client(), &stand.wallet).await?;
    assert!(gateway.stop().await?.success());

    stand.installation.configure("[core.sessions]\ntoken_key_epoch = 2\n")?;
    let gateway = stand.installation.start().await?;
    assert_eq!(me(gateway.client(), &old).await?.status, 200);
    let new = refresh(gateway.client(), &old).await?.expect(200)?;
    let header =
        |tokens: &Value| token(tokens, "accessToken").map(|token| token.split('.').next().map(str::to_owned));
    assert_ne!(header(&old)?, header(&new)?, "the `kid` is the same");
    assert!(gateway.stop().await?.success());

    stand.installation.configure("[core.sessions]\ntoken_key_epoch = 3\n")?;
    let gateway = stand.installation.start().await?;
    assert_eq!(me(gateway.client(), &old).await?.status, 401, "two rotations ago");
    assert_eq!(me(gateway.client(), &new).await?.status, 200);
    Ok(())
}

/// A known key finds nothing under this hash; an unknown one is not let in.
async fn key_is_known(client: &Client, key: &str) -> Result<bool> {
    let path = format!("/transactions/0x{:064}/approval-status", 7);
    let status = client.get(&path, Credential::ApiKey(key)).await?.status;
    anyhow::ensure!(status == 404 || status == 401, "answered {status}");
    Ok(status == 404)
}

/// A session, and an API key made in it.
async fn session_and_key(client: &Client, wallet: &Wallet) -> Result<(Value, String)> {
    let session = log_in(client, wallet).await?;
    let credential = Credential::Token(token(&session, "accessToken")?);
    let made = client.post("/user-api-keys", credential, &json!({"name": "bot"})).await?.expect(201)?;
    let key = token(&made, "key")?.to_owned();
    Ok((session, key))
}

#[tokio::test]
async fn the_key_that_hashes_credentials_rotates_and_old_hashes_go_when_told() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let (kept, old_key) = session_and_key(gateway.client(), &stand.wallet).await?;
    let left_alone = log_in(gateway.client(), &stand.wallet).await?;
    assert!(gateway.stop().await?.success());

    stand.installation.configure("[core.credentials]\nkey_epoch = 2\n")?;
    let gateway = stand.installation.start().await?;
    assert!(key_is_known(gateway.client(), &old_key).await?);
    let kept = refresh(gateway.client(), &kept).await?.expect(200)?;
    let (_, new_key) = session_and_key(gateway.client(), &stand.wallet).await?;
    assert!(gateway.stop().await?.success());

    stand.installation.configure("[core.credentials]\nkey_epoch = 2\noldest_key_epoch = 2\n")?;
    let gateway = stand.installation.start().await?;
    assert!(!key_is_known(gateway.client(), &old_key).await?);
    assert!(key_is_known(gateway.client(), &new_key).await?);
    assert_eq!(refresh(gateway.client(), &left_alone).await?.status, 401);
    refresh(gateway.client(), &kept).await?.expect(200)?;
    assert!(gateway.stop().await?.success());

    // Keys are derived, not stored: a step back loses nothing.
    stand.installation.configure("[core.credentials]\nkey_epoch = 2\n")?;
    let gateway = stand.installation.start().await?;
    assert!(key_is_known(gateway.client(), &old_key).await?);
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_spent_login_stays_spent_after_a_kill() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let (spent, kept) = (
        signed_in(gateway.client(), &stand.wallet).await?,
        signed_in(gateway.client(), &stand.wallet).await?,
    );
    let verify = async |client: &Client, body: &Value| {
        client.post("/auth/siwe/verify", Credential::Nobody, body).await
    };
    verify(gateway.client(), &spent).await?.expect(200)?;
    gateway.kill()?;

    let gateway = stand.installation.start().await?;
    assert_eq!(verify(gateway.client(), &spent).await?.status, 401);
    verify(gateway.client(), &kept).await?.expect(200)?;
    Ok(())
}
