//! Vaults by the binary's own commands: a quorum puts a key in, a plugin judges that key alone, and one person stops it.

use alloy_primitives::Address;
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::deployment::Deployment;
use countersign_tests::main_job::text;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};

use super::DEADLINE;
use super::staging::{ORION_SETTINGS, Staged};

/// Another user's wallet here.
pub(super) async fn another_escrow(staged: &Staged<'_>) -> Result<Address> {
    let body = json!({"ethereumAddress": Wallet::random().address(), "displayName": "Bea"});
    let user = staged.client.post("/users", Credential::ApiKey(&staged.admin), &body).await?.expect(201)?;
    Ok(text(&user, "escrowAddress")?.parse()?)
}

fn keys(deployment: &Deployment) -> Result<Vec<Value>> {
    let output = deployment.run(&["key", "list", "--json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    listed["keys"].as_array().cloned().context("keys")
}

pub(super) fn key_of(deployment: &Deployment, escrow: Address) -> Result<String> {
    let found = keys(deployment)?.into_iter().find(|key| {
        key["address"].as_str().and_then(|address| address.parse::<Address>().ok()) == Some(escrow)
    });
    Ok(text(&found.context("no such key")?, "id")?.to_owned())
}

/// Refused outright; otherwise it waits for people, or for money that this escrow does not have.
async fn is_refused(staged: &Staged<'_>, escrow: Address) -> Result<bool> {
    let to = Wallet::random().address();
    let body = json!({"escrowAddress": escrow, "to": to, "value": "1", "chainId": 31_337});
    let admin = Credential::ApiKey(&staged.admin);
    let transfer = staged.client.post("/transactions", admin, &body).await?.expect(201)?;
    Ok(transfer["status"] == "REJECTED")
}

#[tokio::test]
async fn a_quorum_puts_a_key_into_a_vault_and_a_plugin_judges_what_lies_there() -> Result<()> {
    let mut deployment = Deployment::new()?;
    let (service, made) = Staged::start(&mut deployment).await?;
    let staged = Staged::new(&deployment, &made).await?;
    let (inside, outside) = (staged.escrow, another_escrow(&staged).await?);
    let key = key_of(&deployment, inside)?;
    let place = ["--organization", &staged.organization];

    let orion = staged.upload("orion", ORION_SETTINGS, &["log", "settings", "clock"])?;
    staged.bound(&orion, "enforce", &["--authority", "orion"])?;
    let nowhere =
        ["bind", "--plugin", &orion, "--mode", "enforce", "--gate", "--kind", "transaction", "--vault", "x"];
    let nowhere = [&nowhere[..], &["--reason", "a slip"], &place].concat();
    staged.operators.refused(0, &nowhere, "no vault `x`")?;
    staged.carried(&["vault", "create", "cold storage"])?;
    staged.carried(&["vault", "put", "cold storage", &key])?;
    let shown =
        staged.operators.done(3, &[&["vault", "show", "cold storage", "--json"], &place[..]].concat())?;
    ensure!(shown["keys"][0]["id"] == key, "{shown}");

    // No transaction at all, of the vault's keys.
    let limiter = staged.upload("limiter", "0", &["log", "settings", "state"])?;
    staged.bound(&limiter, "enforce", &["--gate", "--vault", "cold storage"])?;
    ensure!(!is_refused(&staged, outside).await?, "it lies outside");
    ensure!(is_refused(&staged, inside).await?, "it lies inside");
    for command in [&["policy", "show"][..], &["plugin", "inspect", &limiter], &["plugin", "list"]] {
        let told = staged.operators.run(3, &[command, &place].concat())?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        ensure!(told.contains("in vault `cold storage`"), "{command:?}: {told}");
    }

    // On the gateway's own machine anybody may look and stop, and that is all.
    for alone in [
        &["vault", "create", "mine"][..],
        &["vault", "put", "cold storage", &key],
        &["vault", "remove", &key],
        &["key", "create", "privy-authorization", "--vault", "cold storage"],
        &["freeze", "vault", "cold storage", "--lift"],
    ] {
        let refusal = deployment.fails(alone, 1)?;
        ensure!(refusal.contains("countersign operator propose"), "{alone:?}: {refusal}");
    }
    let told = deployment.run(&["vault", "show", "cold storage"])?;
    ensure!(String::from_utf8_lossy(&told.stdout).contains(&key));
    let refusal = deployment.fails(&["freeze", "vault", "elsewhere"], 1)?;
    ensure!(refusal.contains("no vault `elsewhere`"), "{refusal}");

    // Frozen by one, and nobody takes the key out before two have thawed it.
    let freeze = [&["vault", "freeze", "cold storage"][..], &place].concat();
    ensure!(staged.operators.run(1, &freeze)?.status.success());
    let remove = [&["vault", "remove", &key, "--reason", "now"][..], &place].concat();
    staged.operators.refused(0, &remove, "the key's vault is frozen")?;
    staged.carried(&["vault", "thaw", "cold storage"])?;
    staged.carried(&["vault", "remove", &key])?;
    ensure!(!is_refused(&staged, inside).await?, "it lies outside now");
    // What is compared is what was said: of the transactions of then, wherever the key lies today.
    let compared =
        deployment.run(&["plugin", "backtest", "--revision", &limiter, "--against", "limiter", "--json"])?;
    let told: Value = serde_json::from_slice(&compared.stdout)?;
    ensure!(told["compared"] == 1 && told["changed"] == 0, "{told}");
    ensure!(keys(&deployment)?.iter().all(|key| key["vault"].is_null()));
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(())
}
