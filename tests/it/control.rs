//! Commands while the gateway runs: carried out by it, at once, through its control socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::environment;
use countersign_tests::gateway::Installation;
use countersign_tests::main_job::text;
use countersign_tests::wait;
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, Stand, request_hash, transfer};

/// Runs a command on the installation and returns what it answers.
pub(crate) fn order(installation: &Installation, arguments: &[&str]) -> Result<Value> {
    let data_dir = installation.data_dir();
    let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
    let output = installation.command(&[arguments, &["--data-dir", data_dir, "--json"]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Has a transfer approved by everybody while `freeze` holds, and executed once it is lifted.
async fn holds_back_until_lifted(freeze: impl Fn(&Installation) -> Result<Vec<String>>) -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);

    let arguments = freeze(&stand.installation)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(order(&stand.installation, &arguments)?["frozen"], true);
    job.approve_as_agent(hash).await?.expect(201)?;
    let vote = job.approve_as_user(hash).await?;
    assert_eq!(vote.status, 201, "{}", vote.body);
    let held = job.transaction(hash).await?.context("the transaction is gone")?;
    assert_eq!(held["status"], "APPROVED", "{held}");
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());

    let lifted = order(&stand.installation, &[&arguments[..], &["--lift"]].concat())?;
    assert_eq!(lifted["frozen"], false);
    let executed = job.final_transaction(hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", gateway.output());
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_key_revoked_meanwhile_is_refused_at_once() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let made = ["apikey", "create", "--label", "admin", "--name", "of an hour"];
    let made = order(&stand.installation, &made)?;
    assert_eq!(made["devOnly"], true);
    let key = Credential::ApiKey(text(&made, "apiKey")?);
    let path = format!("/users/{}", stand.wallet.address());
    assert_eq!(gateway.client().get(&path, key).await?.status, 404);

    let revoked = order(&stand.installation, &["apikey", "revoke", text(&made, "id")?])?;
    assert!(revoked["revokedAtMicros"].is_number(), "{revoked}");
    let refused = gateway.client().get(&path, key).await?;
    assert_eq!(refused.status, 401, "{}", refused.body);
    let listed = order(&stand.installation, &["apikey", "list"])?;
    let listed = listed["apiKeys"].as_array().context("no list of keys")?;
    assert!(listed.iter().any(|key| key["id"] == made["id"] && key["revokedAtMicros"].is_number()));

    stand.finish(gateway).await
}

#[tokio::test]
async fn a_frozen_organization_signs_nothing_until_it_is_lifted() -> Result<()> {
    holds_back_until_lifted(|_| Ok(vec!["freeze".into(), "organization".into()])).await
}

#[tokio::test]
async fn a_frozen_key_signs_nothing_until_it_is_lifted() -> Result<()> {
    holds_back_until_lifted(|installation| {
        let listed = order(installation, &["key", "list"])?;
        let keys = listed["keys"].as_array().context("no list of keys")?;
        let wallet = keys.iter().find(|key| key["purpose"] == "wallet").context("no wallet key")?;
        Ok(vec!["freeze".into(), "key".into(), text(wallet, "id")?.to_owned()])
    })
    .await
}

#[tokio::test]
async fn nothing_of_a_frozen_vault_is_signed_until_it_is_lifted() -> Result<()> {
    holds_back_until_lifted(|installation| {
        let listed = order(installation, &["key", "list"])?;
        let keys = listed["keys"].as_array().context("no list of keys")?;
        let wallet = keys.iter().find(|key| key["purpose"] == "wallet").context("no wallet key")?;
        let key = text(wallet, "id")?;
        let made = order(installation, &["vault", "create", "cold storage"])?;
        let put = order(installation, &["vault", "put", "cold storage", key])?;
        assert_eq!((&put["id"], &put["vault"]), (&wallet["id"], &made["id"]));
        Ok(vec!["freeze".into(), "vault".into(), "cold storage".into()])
    })
    .await
}

/// Without operators: the command that binds a plugin names the vault, too.
#[tokio::test]
async fn a_plugin_installed_for_a_vault_judges_the_keys_that_lie_there() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    order(&stand.installation, &["vault", "create", "cold storage"])?;
    let component = environment::gateway_binary()?.with_file_name("../guests/limiter.wasm");
    let settings = stand.installation.data_dir().join("none.json");
    fs::write(&settings, "0")?;
    let install = ["plugin", "install", component.to_str().context("path")?, "--name", "limiter", "--gate"];
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "state"];
    let place = ["--settings", settings.to_str().context("path")?, "--vault", "cold storage"];
    order(&stand.installation, &[&install[..], &grants, &place].concat())?;
    let job = stand.job(&gateway);
    let proposed = job.propose(&transfer(escrow)).await?.expect(201)?;
    assert_ne!(proposed["status"], "REJECTED", "{proposed}");
    let listed = order(&stand.installation, &["key", "list"])?;
    let keys = listed["keys"].as_array().context("no list of keys")?;
    let wallet = keys.iter().find(|key| key["purpose"] == "wallet").context("no wallet key")?;
    order(&stand.installation, &["vault", "put", "cold storage", text(wallet, "id")?])?;
    let proposed = job.propose(&transfer(escrow)).await?.expect(201)?;
    assert_eq!(proposed["status"], "REJECTED", "{proposed}");
    stand.finish(gateway).await
}

/// Otherwise whoever froze a vault would freeze nothing of what is made next.
#[tokio::test]
async fn a_vendors_key_made_anew_lies_where_the_last_one_lay() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let vault = order(&stand.installation, &["vault", "create", "cold storage"])?;
    let create = ["key", "create", "privy-authorization"];
    let first = order(&stand.installation, &[&create[..], &["--vault", "cold storage"]].concat())?;
    assert_eq!(first["vault"], vault["id"], "{first}");
    order(&stand.installation, &["freeze", "vault", "cold storage"])?;
    let second = order(&stand.installation, &create)?;
    for key in [&first, &second] {
        order(&stand.installation, &["key", "retire", text(key, "id")?])?;
    }
    let third = order(&stand.installation, &create)?;
    assert_eq!((&second["vault"], &third["vault"]), (&vault["id"], &vault["id"]), "{second} {third}");
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_plugin_installed_meanwhile_decides_the_next_transaction() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let listed = order(&stand.installation, &["plugin", "list"])?;
    let revision = listed["policyRevision"].as_u64().context("no policy")?;
    assert_eq!(listed["plugins"][0]["plugin"], "orion", "{listed}");

    let component = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    let settings = stand.installation.data_dir().join("stricter.json");
    let recipient = transfer(escrow);
    fs::write(&settings, json!({"valueLimit": "1", "denyList": [recipient.to]}).to_string())?;
    let install = [
        ["plugin", "install", component.to_str().context("path")?, "--name"],
        ["orion", "--authority", "orion", "--settings"],
    ]
    .concat();
    let install = [&install[..], &[settings.to_str().context("path")?]].concat();
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock"];
    let installed = order(&stand.installation, &[&install[..], &grants].concat())?;
    assert_eq!(installed["policyRevision"], revision + 1);

    let rejected = stand.job(&gateway).propose(&recipient).await?.expect(201)?;
    assert_eq!(rejected["status"], "REJECTED", "{rejected}");
    Ok(())
}

/// Without operators, too, a candidate is heard in the shade before it decides, and goes again.
#[tokio::test]
async fn a_candidate_is_installed_as_a_shadow_compared_enforced_and_unbound() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let wanted = transfer(stand.user(&gateway).await?);
    let installation = &stand.installation;
    let component = environment::gateway_binary()?.with_file_name("../guests/orion.wasm");
    let settings = installation.data_dir().join("stricter.json");
    fs::write(&settings, json!({"valueLimit": "1", "denyList": [wanted.to]}).to_string())?;
    let install = ["plugin", "install", component.to_str().context("path")?, "--name", "orion"];
    let grants = ["--grant", "log", "--grant", "settings", "--grant", "clock", "--authority", "orion"];
    let install = [&install[..], &grants, &["--settings", settings.to_str().context("path")?]].concat();

    let nowhere = "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45";
    for (flag, missing, rule) in [
        (
            "--key-id",
            nowhere,
            "bindings.scope.keys: key `01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45` does not exist",
        ),
        ("--chain", "eip155:424242", "bindings.scope.chains: chain `eip155:424242` is not served here"),
    ] {
        let refusal = order(installation, &[&install[..], &[flag, missing]].concat()).unwrap_err();
        ensure!(refusal.to_string().contains(rule), "{refusal}");
    }
    let listed = order(installation, &["key", "list"])?;
    let keys = listed["keys"].as_array().context("no list of keys")?;
    let wallet = keys.iter().find(|key| key["purpose"] == "wallet").context("no wallet key")?;
    let chain = format!("eip155:{CHAIN_ID}");
    let place = ["--key-id", text(wallet, "id")?, "--chain", &chain];
    order(installation, &[&install[..], &["--mode", "shadow"], &place].concat())?;
    let proposed = stand.job(&gateway).propose(&wanted).await?.expect(201)?;
    assert_ne!(proposed["status"], "REJECTED", "a shadow decides nothing: {proposed}");
    let data_dir = installation.data_dir();
    let diff = ["plugin", "diff", "orion", "--json", "--data-dir", data_dir.to_str().context("path")?];
    let told: Value = wait::until("the shadow's word", Duration::from_mins(1), async || {
        let told: Value = serde_json::from_slice(&installation.command(&diff)?.stdout)?;
        Ok((told["compared"] == 1).then_some(told))
    })
    .await?;
    assert_eq!(told["changed"], 1, "{told}");

    order(installation, &[&install[..], &["--mode", "enforce"]].concat())?;
    let rejected = stand.job(&gateway).propose(&wanted).await?.expect(201)?;
    assert_eq!(rejected["status"], "REJECTED", "{rejected}");
    let unbind = ["plugin", "unbind", "orion"];
    let no_shadow = order(installation, &[&unbind[..], &["--mode", "shadow"]].concat()).unwrap_err();
    ensure!(no_shadow.to_string().contains("binds no plugin `orion` to shadow"), "{no_shadow}");
    order(installation, &[&install[..], &["--mode", "shadow"]].concat())?;
    let revision = order(installation, &[&unbind[..], &["--mode", "shadow"]].concat())?;
    let listed = order(installation, &["plugin", "list"])?;
    assert_eq!(listed["policyRevision"], revision["policyRevision"], "{listed}");
    let modes = listed["plugins"].as_array().context("plugins")?.iter().map(|one| &one["mode"]);
    let modes: Vec<_> = modes.filter(|mode| !mode.is_null()).collect();
    assert_eq!(modes, ["enforce"], "{listed}");
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_refusal_of_the_running_gateway_is_the_commands() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let unknown = "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45";
    let running = order(&stand.installation, &["freeze", "key", unknown]).unwrap_err().to_string();
    assert!(gateway.stop().await?.success());
    let stopped = order(&stand.installation, &["freeze", "key", unknown]).unwrap_err().to_string();
    assert!(running.contains("key"), "{running}");
    assert_eq!(running, stopped);
    Ok(())
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_gateway() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let socket = stand.installation.data_dir().join("control.sock");
    let gateway = stand.installation.start().await?;
    assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    assert!(gateway.stop().await?.success());
    assert!(!socket.exists());
    // Without a gateway the command does it itself.
    assert_eq!(order(&stand.installation, &["plugin", "list"])?["plugins"][0]["plugin"], "orion");

    let gateway = stand.installation.start().await?;
    gateway.kill()?;
    assert!(socket.exists());
    assert_eq!(order(&stand.installation, &["plugin", "list"])?["plugins"][0]["plugin"], "orion");
    let _gateway = stand.installation.start().await?;
    assert_eq!(order(&stand.installation, &["plugin", "list"])?["plugins"][0]["plugin"], "orion");
    Ok(())
}

/// T18: what nobody has signed yet can be taken back, and then nobody can bring it back.
#[tokio::test]
async fn a_transaction_is_aborted_while_the_gateway_runs() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);

    let listed = order(&stand.installation, &["transaction", "list"])?;
    let waiting = &listed["transactions"][0];
    assert_eq!((&waiting["requestHash"], &waiting["status"]), (&json!(hash), &json!("PENDING")), "{listed}");
    let id = text(waiting, "id")?;
    let aborted = order(&stand.installation, &["transaction", "abort", id])?;
    assert_eq!(
        (&aborted["status"], &aborted["reason"]),
        (&json!("REJECTED"), &json!("aborted")),
        "{aborted}"
    );
    let shown = order(&stand.installation, &["transaction", "show", id])?;
    assert_eq!((&shown["state"]["name"], &shown["votes"]), (&json!("aborted"), &json!([])), "{shown}");
    assert_eq!(order(&stand.installation, &["transaction", "list"])?["transactions"], json!([]));

    assert_eq!(job.approve_as_agent(hash).await?.status, 409);
    let stored = job.transaction(hash).await?.context("the transaction is gone")?;
    assert_eq!(
        (&stored["status"], &stored["failureReason"]),
        (&json!("REJECTED"), &json!("aborted")),
        "{stored}"
    );
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());
    stand.finish(gateway).await
}
