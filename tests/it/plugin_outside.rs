//! What plugins are granted to ask, from the command that grants it to the verdict, and the replay of all of it.

use std::fs;

use alloy_primitives::U256;
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use countersign_tests::client::Credential;
use countersign_tests::environment;
use countersign_tests::evaluations;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer, text};
use countersign_tests::vendor::Counterpart;
use countersign_tests::wait;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::control::order;
use crate::stand::{Stand, request_hash, transfer};

const SECRET: &str = "Bearer s3cr3t-of-the-upstream";

/// Installs a guest as a gate beside Orion.
pub(crate) fn install(stand: &Stand, guest: &str, settings: &str, grants: &[&str]) -> Result<()> {
    install_as(stand, (guest, guest), settings, grants)
}

/// The same under a name of its own.
pub(crate) fn install_as(
    stand: &Stand,
    (name, guest): (&str, &str),
    settings: &str,
    grants: &[&str],
) -> Result<()> {
    let component = environment::gateway_binary()?.with_file_name(format!("../guests/{guest}.wasm"));
    let path = stand.installation.data_dir().join("settings.json");
    fs::write(&path, settings)?;
    let (component, path) = (component.to_str().context("path")?, path.to_str().context("path")?);
    let mut arguments = vec!["plugin", "install", component, "--name", name, "--gate", "--settings", path];
    for grant in grants {
        arguments.extend(["--grant", grant]);
    }
    order(&stand.installation, &arguments).map(|_| ())
}

/// A small transfer, which nobody but plugins is asked about.
async fn propose(stand: &Stand, gateway: &Gateway, value: u64) -> Result<Value> {
    let escrow = stand.job(gateway).find_user().await?.context("there is no user")?;
    let small = Transfer { value: U256::from(value), ..transfer(escrow) };
    stand.job(gateway).propose(&small).await?.expect(201)
}

/// What plugins said about a transaction, and what a replay of it says.
async fn replayed(stand: &Stand, gateway: &Gateway, proposed: &Value) -> Result<Value> {
    let status = stand.job(gateway).approval_status(request_hash(proposed)).await?;
    order(&stand.installation, &["plugin", "replay", text(&status, "transactionId")?])
}

/// How often plugins were denied this capability.
async fn denied(gateway: &Gateway, capability: &str) -> Result<u64> {
    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    let label = format!("capability=\"{capability}\"");
    let metric = "countersign_plugin_denied_capabilities_total{";
    let lines = metrics.lines().filter(|line| line.starts_with(metric) && line.contains(&label));
    lines.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<u64>()?)).sum()
}

/// Says yes to even amounts and no to odd ones, and repeats what it was sent.
async fn screening() -> Result<Counterpart> {
    let review = async |headers: HeaderMap, body: String| {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let even = asked["value"].as_str().is_some_and(|value| value.ends_with(['0', '2', '4', '6', '8']));
        let sent = headers["authorization"].to_str().unwrap().to_owned();
        let decision = if even { "approve" } else { "reject" };
        let reason = if sent == SECRET { sent } else { "nobody".to_owned() };
        json!({ "decision": decision, "reason": reason }).to_string()
    };
    Counterpart::start(Router::new().route("/v2/review", post(review))).await
}

fn upstream(url: &str, more: &str) -> String {
    format!(
        "[egress]\nnamed_hosts = [\"{}\"]\n[[plugin_upstreams]]\nname = \"screening\"\nurl = \"{url}/v2\"\n\
         routes = [\"POST /review\"]\nrequest_headers = [\"content-type\"]\nsecret_header = \"authorization\"\n\
         secret = \"{SECRET}\"\ntimeout_ms = 15000\n{more}\n",
        url.trim_start_matches("http://"),
    )
}

const REVIEW: &str = r#"{"upstream": "screening", "path": "/review"}"#;
const ELSEWHERE: &str = r#"{"upstream": "elsewhere", "path": "/review"}"#;

#[tokio::test]
async fn an_upstream_is_asked_and_its_secret_is_nowhere_afterwards() -> Result<()> {
    let service = screening().await?;
    let stand = Stand::with_configuration(&upstream(service.url(), "shared = true")).await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    install(&stand, "http_review", REVIEW, &["log", "settings", "http:screening"])?;

    let even = propose(&stand, &gateway, 2).await?;
    assert_ne!(even["status"], "REJECTED", "{even}");
    let odd = propose(&stand, &gateway, 3).await?;
    assert_eq!(odd["status"], "REJECTED", "{odd}");
    assert_eq!(denied(&gateway, "http").await?, 0);
    drop(service);
    let unanswered = propose(&stand, &gateway, 4).await?;
    assert_eq!(unanswered["status"], "REJECTED", "fails closed: {unanswered}");

    install(&stand, "http_review", ELSEWHERE, &["log", "settings", "http:screening"])?;
    let elsewhere = propose(&stand, &gateway, 6).await?;
    assert_eq!(elsewhere["status"], "REJECTED", "{elsewhere}");
    assert_eq!(denied(&gateway, "http").await?, 1);

    for proposed in [&even, &odd, &unanswered, &elsewhere] {
        let told = replayed(&stand, &gateway, proposed).await?;
        assert_eq!(told["same"], true, "{told}");
        assert_eq!(told["evaluations"].as_array().map(Vec::len), Some(2), "{told}");
    }
    ensure!(!gateway.output().contains("s3cr3t"), "the secret is in the log");
    stand.finish(gateway).await?;
    for file in fs::read_dir(stand.installation.data_dir())? {
        let path = file?.path();
        if path.is_file() {
            let bytes = fs::read(&path)?;
            let holds = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!holds, "the secret is in {}", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_not_granted_or_another_organizations_is_not_asked() -> Result<()> {
    let service = screening().await?;
    let other = "organization = \"01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45\"";
    let stand = Stand::with_configuration(&upstream(service.url(), other)).await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    let refused = |grants: &[&str]| install(&stand, "http_review", REVIEW, grants).unwrap_err().to_string();
    let foreign = refused(&["log", "settings", "http:screening"]);
    assert!(foreign.contains("`plugin_upstreams` has no `screening` for this organization"), "{foreign}");
    let bare = refused(&["log", "settings", "http"]);
    assert!(bare.contains("`http:NAME`"), "{bare}");
    let without = refused(&["log", "settings"]);
    assert!(without.contains("the component imports `http`, which is not granted"), "{without}");
    assert_eq!(denied(&gateway, "http").await?, 1, "the last of them had a component that wanted it");
    stand.finish(gateway).await
}

#[tokio::test]
async fn the_chain_is_read_by_the_methods_that_are_granted() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let settings = format!("\"pinned; eth_getBalance {escrow:#x}\"");
    install(&stand, "reader", &settings, &["log", "settings", "chain:eth_getBalance"])?;
    let read = propose(&stand, &gateway, 2).await?;
    assert_ne!(read["status"], "REJECTED", "{read}");
    let told = replayed(&stand, &gateway, &read).await?;
    assert_eq!(told["same"], true, "{told}");
    let asked = stand.node.calls("eth_getBalance");
    let pinned = asked.iter().find(|parameters| parameters[1]["blockHash"].is_string());
    let pinned = pinned.with_context(|| format!("nobody asked at a block's hash: {asked:?}"))?;
    assert_eq!(pinned[1]["requireCanonical"], true);

    install(&stand, "reader", &settings, &["log", "settings", "chain:eth_getCode"])?;
    let refused = propose(&stand, &gateway, 3).await?;
    assert_eq!(refused["status"], "REJECTED", "{refused}");
    assert_eq!(denied(&gateway, "chain").await?, 1);
    let unknown = install(&stand, "reader", &settings, &["log", "settings", "chain:eth_sendRawTransaction"]);
    assert!(unknown.unwrap_err().to_string().contains("is not a method that plugins may call"));
    stand.finish(gateway).await
}

#[tokio::test]
async fn history_holds_what_was_executed_before() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    install(&stand, "hostile", "\"history\"", &["log", "settings", "state", "clock", "history"])?;
    let job = stand.job(&gateway);
    let first = propose(&stand, &gateway, 2).await?;
    job.final_transaction(request_hash(&first)).await?;
    let again = Transfer {
        to: text(&first, "to")?.parse()?,
        value: U256::from(3),
        ..transfer(job.find_user().await?.context("there is no user")?)
    };
    let second = job.propose(&again).await?.expect(201)?;
    job.final_transaction(request_hash(&second)).await?;
    for proposed in [&first, &second] {
        let told = replayed(&stand, &gateway, proposed).await?;
        assert_eq!(told["same"], true, "{told}");
    }
    stand.finish(gateway).await?;
    let said = evaluations::of_transaction(&stand.installation.data_dir(), request_hash(&second)).await?;
    let asked = said.iter().find(|one| one["plugin"] == "hostile").context("hostile was not asked")?;
    let analysis = asked["analysis"].as_str().context("no analysis")?;
    assert!(analysis.starts_with("1 2 1 ["), "one of value 2 to one recipient: {analysis}");
    Ok(())
}

const TEN_AN_HOUR: &str =
    r#"{"limits": [{"name": "hourly", "windowSeconds": 3600, "per": "key", "maxCount": "10"}]}"#;

#[tokio::test]
async fn of_64_requests_at_once_velocity_lets_through_what_there_is_room_for() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    install(&stand, "velocity", TEN_AN_HOUR, &["log", "settings", "state"])?;
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
    stand.finish(gateway).await
}
