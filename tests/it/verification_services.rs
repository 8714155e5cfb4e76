//! Verification services by the command line and by the configuration file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::deployment::Deployment;
use countersign_tests::gateway::Installation;
use countersign_tests::gpg::Gpg;
use countersign_tests::main_job::text;
use countersign_tests::process::Service;
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::control::order;
use crate::operators::ceremony;
use crate::pair::Pair;
use crate::stand::Stand;

const DEADLINE: Duration = Duration::from_mins(1);
const INBOX: &str = "0x1111111111111111111111111111111111111111";

/// Numbers of the services that clients are offered.
async fn offered(client: &Client) -> Result<Vec<u64>> {
    let told = client.get("/verification-services/active", Credential::Nobody).await?.expect(200)?;
    Ok(told.as_array().context("no list")?.iter().filter_map(|service| service["id"].as_u64()).collect())
}

/// What a command prints for people, or how it refuses.
fn say(installation: &Installation, arguments: &[&str]) -> Result<String> {
    let data_dir = installation.data_dir();
    let place = ["--data-dir", data_dir.to_str().context("the data directory's path is not UTF-8")?];
    let output = installation.command(&[&["verification-service"], arguments, &place].concat())?;
    let said = if output.status.success() { output.stdout } else { output.stderr };
    Ok(String::from_utf8(said)?)
}

#[tokio::test]
async fn a_service_outside_is_added_listed_disabled_and_enabled_by_commands() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let (gpg, folder) = (Gpg::new()?, tempfile::tempdir()?);
    let (key, file) = (gpg.generate("orion@example.org")?, folder.path().join("orion.asc"));
    fs::write(&file, &key)?;
    let file = file.to_str().context("path")?;
    assert_eq!(
        order(&stand.installation, &["verification-service", "list"])?,
        json!({"verificationServices": []})
    );

    let add = ["verification-service", "add", "--name", "Orion", "--inbox", INBOX, "--description", "judges"];
    let added = order(&stand.installation, &[&add[..], &["--public-key", file]].concat())?;
    let fingerprint = gpg.fingerprint("orion@example.org")?;
    ensure!(added["createdAtMicros"].is_u64(), "{added}");
    let expected = json!({
        "id": 1, "name": "Orion", "inbox": INBOX, "active": true, "fingerprint": fingerprint, "publicKey": key,
        "builtIn": false, "description": "judges", "createdAtMicros": added["createdAtMicros"],
    });
    assert_eq!(added, expected);
    assert_eq!(offered(gateway.client()).await?, [1]);

    let disabled = order(&stand.installation, &["verification-service", "disable", "1"])?;
    assert_eq!((&disabled["id"], &disabled["active"]), (&json!(1), &json!(false)));
    assert_eq!(offered(gateway.client()).await?, [0; 0]);
    let listed = order(&stand.installation, &["verification-service", "list"])?;
    assert_eq!(listed, json!({"verificationServices": [disabled]}));
    let line = format!("1    disabled outside  {fingerprint}  {INBOX}  Orion\n");
    assert_eq!(say(&stand.installation, &["list"])?, line);

    // What is refused changes nothing, and says what is wrong.
    let again =
        say(&stand.installation, &["add", "--name", "Other", "--inbox", INBOX, "--public-key", file])?;
    assert!(again.contains("a verification service with this inbox exists"), "{again}");
    fs::write(file, "no key")?;
    let elsewhere = ["add", "--name", "Other", "--inbox", "0x2222222222222222222222222222222222222222"];
    let nonsense = say(&stand.installation, &[&elsewhere[..], &["--public-key", file]].concat())?;
    assert!(nonsense.contains("the public key must be one ASCII-armored block"), "{nonsense}");
    let neither = say(&stand.installation, &elsewhere)?;
    assert!(neither.contains("--public-key") && neither.contains("--built-in"), "{neither}");
    let unknown = say(&stand.installation, &["enable", "2"])?;
    assert!(unknown.contains("verification service"), "{unknown}");

    // Without a gateway the command does it by itself.
    assert!(gateway.stop().await?.success());
    let enabled = order(&stand.installation, &["verification-service", "enable", "1"])?;
    assert_eq!(enabled["active"], true);
    let gateway = stand.installation.start().await?;
    assert_eq!(offered(gateway.client()).await?, [1]);
    stand.finish(gateway).await
}

/// A gateway's services, by its command line; the gateway need not run.
fn listed(deployment: &Deployment) -> Result<Value> {
    let output = deployment.run(&["verification-service", "list", "--json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout)?;
    Ok(told["verificationServices"].clone())
}

/// Serves once with what the file says now.
async fn serve_once(deployment: &Deployment) -> Result<Vec<u64>> {
    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    service.line_after("ready ", DEADLINE).await?;
    let offered = offered(&Client::new(&deployment.url())).await?;
    ensure!(service.terminate(DEADLINE).await?.success());
    Ok(offered)
}

/// T31: a file that one person can write brings back nothing that was stopped; it stops things.
#[tokio::test]
async fn the_configuration_file_switches_services_off_and_never_on_again() -> Result<()> {
    let (gpg, mut deployment) = (Gpg::new()?, Deployment::new()?);
    ceremony(&deployment)?;
    let charter = deployment.path("charter.toml");
    deployment.init(&["--charter", charter.to_str().context("path")?])?;
    let key = deployment.path("orion.asc");
    fs::write(&key, gpg.generate("orion@example.org")?)?;
    let server = deployment.server.clone();
    let says = |active: bool| {
        format!(
            "{server}[[verification_services]]\nname = \"Orion\"\ninbox = \"{INBOX}\"\npublic_key_file = \"{}\"\n\
             active = {active}\n",
            key.display()
        )
    };
    deployment.server = says(true);
    assert_eq!(serve_once(&deployment).await?, [1]);
    assert!(deployment.run(&["verification-service", "disable", "1"])?.status.success());
    assert_eq!(serve_once(&deployment).await?, [0; 0], "the file says that it is active");
    let refusal = deployment.fails(&["verification-service", "enable", "1"], 1)?;
    assert!(refusal.contains("this deployment has operators"), "{refusal}");

    // Another one, which the file alone stops.
    deployment.server = says(true).replace(INBOX, "0x2222222222222222222222222222222222222222");
    fs::write(&key, gpg.generate("other@example.org")?)?;
    assert_eq!(serve_once(&deployment).await?, [2]);
    deployment.server = says(false).replace(INBOX, "0x2222222222222222222222222222222222222222");
    assert_eq!(serve_once(&deployment).await?, [0; 0]);
    assert_eq!(listed(&deployment)?.as_array().map(Vec::len), Some(2));

    // The same inbox with another key is no service of this deployment.
    fs::write(&key, text(&listed(&deployment)?[0], "publicKey")?)?;
    let mut service = Service::start("/usr/bin/env".as_ref(), &deployment.serving()?)?;
    assert!(service.line_after("ready ", DEADLINE).await.is_err());
    assert!(service.output().contains("is stored with another key"), "{}", service.output());
    Ok(())
}

/// A key that votes for a service names it; only `dev` has one that does without.
#[tokio::test]
async fn an_orion_key_is_made_for_a_service_that_is_there() -> Result<()> {
    let (gpg, mut deployment) = (Gpg::new()?, Deployment::new()?);
    deployment.init(&[])?;
    let create = ["apikey", "create", "--label", "orion", "--name", "verifier", "--json"];
    let refusal = deployment.fails(&create, 1)?;
    assert!(refusal.contains("must name the verification service that it speaks for"), "{refusal}");
    let create = [&create[..], &["--verification-service", "1"]].concat();
    let refusal = deployment.fails(&create, 1)?;
    assert!(refusal.contains("verification service"), "{refusal}");

    let file = deployment.path("orion.asc");
    fs::write(&file, gpg.generate("orion@example.org")?)?;
    let add = ["verification-service", "add", "--name", "Orion", "--inbox", INBOX, "--public-key"];
    assert!(deployment.run(&[&add[..], &[file.to_str().context("path")?]].concat())?.status.success());
    let made = deployment.run(&create)?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout)?;
    assert_eq!((&made["verificationService"], &made["devOnly"]), (&json!(1), &json!(false)), "{made}");
    Ok(())
}

/// Who has everything that the file names waits for nobody at the start.
#[tokio::test]
async fn a_start_that_lacks_no_service_needs_no_lock() -> Result<()> {
    let pair = Pair::new().await?;
    let services =
        format!("[[verification_services]]\nname = \"Orion\"\ninbox = \"{INBOX}\"\nbuilt_in = \"rsa2048\"\n");
    pair.cluster.configure(&services)?;
    let first = pair.cluster.start(0).await?;
    assert_eq!(offered(first.client()).await?, [1]);
    first.kill()?;
    let mut other = PgConnection::connect(pair.database_url()).await?;
    let lock = "SELECT CAST(pg_advisory_lock(hashtextextended('verification-services', 0)) AS TEXT)";
    sqlx::query(lock).execute(&mut other).await?;
    let second = pair.cluster.start(1).await?;
    assert_eq!(offered(second.client()).await?, [1]);
    Ok(other.close().await?)
}
