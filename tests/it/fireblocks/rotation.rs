//! The token's key that seals API keys rotates.

use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::gateway::Installation;
use countersign_tests::main_job::text;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::{API_KEY, DEADLINE, Scene};
use crate::pair::{Pair, log_in};

const ROTATED: &str = "[core.secrets]\nkey_epoch = 2\n";
const FAR: &str = "[core.secrets]\nkey_epoch = 4\n";
const LOST: &str = "[core.secrets]\nkey_epoch = 7\n";
const FORGOTTEN: &str = "[core.secrets]\nkey_epoch = 2\noldest_key_epoch = 2\n";

/// The gateway reads the user's API key back.
async fn opens(client: &Client, user: &Wallet, agent: &str) -> Result<()> {
    let path = format!("/fireblocks/config/execution/{}", user.address());
    let config = client.get(&path, Credential::ApiKey(agent)).await?.expect(200)?;
    ensure!(text(&config, "apiKey")? == API_KEY, "{config}");
    Ok(())
}

async fn sealed_anew(output: impl Fn() -> String) -> Result<()> {
    wait::until("the API key is sealed anew", DEADLINE, async || {
        let told = output();
        Ok((told.contains("sealed Fireblocks API keys anew") && told.contains("left=0")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_key_that_seals_api_keys_rotates_and_what_it_sealed_is_sealed_anew() -> Result<()> {
    let scene = Scene::new().await?;
    let installation = &scene.stand.installation;
    let gateway = installation.start().await?;
    scene.integrate(&gateway).await?;
    assert!(gateway.stop().await?.success());

    installation.configure(FORGOTTEN)?;
    let refused = installation.start().await.err().map(|error| format!("{error:#}"));
    let refused = refused.unwrap_or_default();
    assert!(refused.contains("1 Fireblocks API keys are sealed under rotation 1, before"), "{refused}");

    installation.configure(ROTATED)?;
    let gateway = installation.start().await?;
    opens(gateway.client(), &scene.stand.wallet, &gateway.bootstrap.agent_api_key).await?;
    sealed_anew(|| gateway.output()).await?;
    opens(gateway.client(), &scene.stand.wallet, &gateway.bootstrap.agent_api_key).await?;
    assert!(gateway.stop().await?.success());

    installation.configure(FORGOTTEN)?;
    let gateway = installation.start().await?;
    opens(gateway.client(), &scene.stand.wallet, &gateway.bootstrap.agent_api_key).await?;
    scene.validate(&gateway).await?.expect(200)?;
    scene.check_requests()?;
    assert!(gateway.stop().await?.success());

    // Nor is it forgotten by a configuration that goes back.
    installation.configure(FAR)?;
    let gateway = installation.start().await?;
    sealed_anew(|| gateway.output()).await?;
    assert!(gateway.stop().await?.success());
    installation.configure(ROTATED)?;
    let refused = installation.start().await.err().map(|error| format!("{error:#}"));
    let refused = refused.unwrap_or_default();
    assert!(refused.contains("1 Fireblocks API keys are sealed under rotation 4, after"), "{refused}");
    installation.configure(FAR)?;
    let gateway = installation.start().await?;
    opens(gateway.client(), &scene.stand.wallet, &gateway.bootstrap.agent_api_key).await?;
    scene.stand.finish(gateway).await?;

    let sound = doctor(installation)?;
    ensure!(sound["ok"] == true && sound["facts"][0] == "1 sealed under rotation 4", "{sound}");
    // As where the token was brought back from before the rotation, and its database was not.
    let path = installation.data_dir().join("countersign.db");
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?;
    sqlx::query("UPDATE fireblocks_integrations SET api_key_epoch = 7").execute(&mut database).await?;
    database.close().await?;
    installation.configure(LOST)?;
    let missing = "sealed under rotation 7 of `core.secrets`, whose key is not on the token";
    let found = doctor(installation)?;
    ensure!(found["cause"].as_str().is_some_and(|cause| cause.contains(missing)), "{found}");
    let refused = installation.start().await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains(missing), "{refused}");
    Ok(())
}

/// What `doctor` finds of secrets.
fn doctor(installation: &Installation) -> Result<Value> {
    let data_dir = installation.data_dir();
    let (data_dir, config) = (data_dir.to_str().context("path")?, data_dir.with_file_name("config.toml"));
    let place = ["--data-dir", data_dir, "--config", config.to_str().context("path")?];
    let output = installation.command(&[&["doctor", "--json"], &place[..]].concat())?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let parts = found["parts"].as_array().context("no parts")?;
    parts.iter().find(|part| part["part"] == "secrets").cloned().context("nothing is said of secrets")
}

/// Gateways over one database are rotated one after another.
#[tokio::test]
async fn gateways_at_different_rotations_open_what_the_other_seals() -> Result<()> {
    let pair = Pair::new().await?;
    for index in 0..2 {
        pair.cluster.set(index, "fireblocks.enabled", true);
        pair.cluster.set(index, "fireblocks.validation_pause_ms", 0);
        // SoftHSM makes nothing else while it makes an RSA key, which takes long on a busy machine.
        for (name, milliseconds) in [
            ("hsm.sign_timeout_ms", 60_000),
            ("hsm.generate_timeout_ms", 300_000),
            ("hsm.canary_timeout_ms", 120_000),
            ("server.request_timeout_ms", 120_000),
        ] {
            pair.cluster.set(index, name, milliseconds);
        }
    }
    pair.cluster.set(1, "core.secrets.key_epoch", 2);
    let agent = pair.cluster.api_key(0, "agent")?;
    let (behind, ahead) = (pair.cluster.start(0).await?, pair.cluster.start(1).await?);
    let person =
        json!({"ethereumAddress": pair.wallet.address(), "escrowAddress": Wallet::random().address()});
    ahead.client().post("/users", pair.admin(), &person).await?.expect(201)?;
    let tokens = log_in(ahead.client(), &pair.wallet).await?;
    let user = Credential::Token(text(&tokens, "accessToken")?);
    let subject = json!({"commonName": "My Organization", "organization": "My Org", "country": "US"});
    ahead.client().post("/fireblocks/generate-csr/execution", user, &subject).await?.expect(201)?;
    let access = json!({"apiKey": API_KEY, "vaultAccountId": "0", "environment": "sandbox", "region": "US"});
    for sealing in [&ahead, &behind] {
        let client = sealing.client();
        client.post("/fireblocks/complete/execution", user, &access).await?.expect(200)?;
        for client in [ahead.client(), behind.client()] {
            opens(client, &pair.wallet, &agent).await?;
        }
    }

    behind.kill()?;
    pair.cluster.set(0, "core.secrets.key_epoch", 2);
    let caught_up = pair.cluster.start(0).await?;
    sealed_anew(|| caught_up.output()).await?;
    for client in [ahead.client(), caught_up.client()] {
        opens(client, &pair.wallet, &agent).await?;
    }
    pair.cluster.verify_audit()
}
