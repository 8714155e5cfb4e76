//! Attacks of plugins on the real gateway: each is denied by name, and neither the gateway nor the plugin beside it
//! notices.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::evaluations;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::{Transfer, text};
use countersign_tests::process::resident_kib;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use crate::plugin_outside::{install, install_as};
use crate::stand::{Stand, request_hash, transfer};

/// What the plugin does, and under which name the gateway stops it.
const ATTACKS: [(&str, &str); 15] = [
    ("memory bomb", "memory_limit"),
    ("slow memory bomb", "memory_limit"),
    ("deep recursion", "stack_overflow"),
    ("deep frames", "out_of_bounds"),
    ("panic", "abort"),
    ("count and panic", "abort"),
    ("log flood", "log_limit"),
    ("long log line", "log_limit"),
    ("state reads", "state_limit"),
    ("long state value", "state_limit"),
    ("history flood", "call_limit"),
    ("long answer", "output_too_large"),
    ("alias bomb", "output_too_large"),
    ("bad encoding", "invalid_output"),
    ("confidence", "bad_confidence"),
];
const GRANTS: [&str; 5] = ["log", "settings", "state", "clock", "history"];
/// Half of what one bomb takes.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

pub(crate) async fn propose(stand: &Stand, gateway: &Gateway, value: u64) -> Result<Value> {
    let escrow = stand.job(gateway).find_user().await?.context("there is no user")?;
    let small = Transfer { value: U256::from(value), ..transfer(escrow) };
    stand.job(gateway).propose(&small).await?.expect(201)
}

/// How often the sandbox has stopped a plugin for this.
pub(crate) async fn stopped(gateway: &Gateway, code: &str) -> Result<u64> {
    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    let label = format!("code=\"{code}\"");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("countersign_plugin_failures_total{") && line.contains(&label));
    lines.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<u64>()?)).sum()
}

async fn attack_with_each(stand: &Stand, gateway: &Gateway) -> Result<()> {
    for (number, (attack, code)) in ATTACKS.iter().enumerate() {
        install(stand, "hostile", &json!(attack).to_string(), &GRANTS)?;
        let before = stopped(gateway, code).await?;
        let proposed = propose(stand, gateway, 1 + number as u64).await?;
        ensure!(proposed["status"] == "REJECTED", "{attack}: {proposed}");
        let after = stopped(gateway, code).await?;
        ensure!(after == before + 1, "{attack} was not stopped by `{code}`");
        gateway.operator().get("/readyz", Credential::Nobody).await?.expect(200)?;
    }
    Ok(())
}

/// What a plugin said before it was stopped for good may be unknown; nothing then says that it would say it again.
#[tokio::test]
async fn what_left_no_record_is_not_said_to_be_the_same() -> Result<()> {
    let stand = Stand::with_configuration("[plugins]\ndeadline_ms = 5000\n").await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    install(&stand, "hostile", "\"endless loop\"", &GRANTS)?;
    let proposed = propose(&stand, &gateway, 1).await?;
    let status = stand.job(&gateway).approval_status(request_hash(&proposed)).await?;
    let data_dir = stand.installation.data_dir();
    let replay = ["plugin", "replay", text(&status, "transactionId")?, "--json", "--data-dir"];
    let replay = [&replay[..], &[data_dir.to_str().context("path")?]].concat();
    let output = stand.installation.command(&replay)?;
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let heard = told["evaluations"].as_array().context("evaluations")?;
    let hostile = heard.iter().find(|one| one["plugin"] == "hostile").context("hostile was not asked")?;
    ensure!(hostile["outcome"]["kind"] == "not_recorded", "{told}");
    ensure!(told["same"] == false && output.status.code() == Some(5), "{told}");
    stand.finish(gateway).await?;
    // What was asked, of whom and under which bounds is on record all the same.
    let found = rows(&stand, "SELECT result, record FROM evaluations WHERE subject_name = 'hostile'").await?;
    let [row] = &found[..] else { anyhow::bail!("{} evaluations of it are stored", found.len()) };
    let result: Value = serde_json::from_str(row.get("result"))?;
    ensure!(result["failure"]["code"] == "timeout", "{result}");
    let record: Value = serde_json::from_str(row.get("record"))?;
    ensure!(record["settings"] == "\"endless loop\"" && record["verified"]["value"] == "1", "{record}");
    ensure!(record["engine"].is_string() && record["limits"].is_string(), "{record}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_outlives_whatever_a_plugin_does() -> Result<()> {
    let stand = Stand::with_configuration(
        "[plugins]\nbreaker_failures_max = 1000\ndeadline_ms = 20000\nmemory_bytes_max = 134217728\n",
    )
    .await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    attack_with_each(&stand, &gateway).await?;
    let resident = resident_kib(gateway.process_id())?;
    attack_with_each(&stand, &gateway).await?;
    let grown = resident_kib(gateway.process_id())?.saturating_sub(resident);
    ensure!(grown < GROWTH_MAX_KIB, "the second round left {grown} KiB more behind than the first");

    // The same component, behaving: its binding remembers nothing of what it wrote before it panicked.
    install(&stand, "hostile", "\"count\"", &GRANTS)?;
    let counted = propose(&stand, &gateway, 100).await?;
    let job = stand.job(&gateway);
    job.final_transaction(request_hash(&counted)).await?;
    stand.finish(gateway).await?;
    let said = evaluations::of_transaction(&stand.installation.data_dir(), request_hash(&counted)).await?;
    let said = said.iter().find(|one| one["plugin"] == "hostile").context("hostile was not asked")?;
    let analysis = said["analysis"].as_str().context("no analysis")?;
    ensure!(analysis.starts_with("true false Some([1])"), "{analysis}");
    Ok(())
}

/// Of the gateway's database.
async fn rows(stand: &Stand, query: &'static str) -> Result<Vec<SqliteRow>> {
    let path = stand.installation.data_dir().join("countersign.db");
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let rows = sqlx::query(query).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows)
}

/// Names of all that plugins remember, by binding.
async fn remembered(stand: &Stand) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for row in rows(stand, "SELECT lineage, name FROM plugin_state").await? {
        found.entry(row.get("lineage")).or_default().insert(row.get("name"));
    }
    Ok(found)
}

/// Nobody takes a name of the state for a path or a pattern: what a plugin calls `../count` is a row of its own binding.
#[tokio::test]
async fn names_of_state_that_lead_elsewhere_stay_in_their_binding() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    stand.user(&gateway).await?;
    install_as(&stand, ("neighbour", "hostile"), "\"count\"", &GRANTS)?;
    install(&stand, "hostile", "\"odd names\"", &GRANTS)?;
    let mut said = Vec::new();
    for value in 1..=2 {
        let proposed = propose(&stand, &gateway, value).await?;
        stand.job(&gateway).final_transaction(request_hash(&proposed)).await?;
        said.push(proposed);
    }
    stand.finish(gateway).await?;
    let first = evaluations::of_transaction(&stand.installation.data_dir(), request_hash(&said[0])).await?;
    let second = evaluations::of_transaction(&stand.installation.data_dir(), request_hash(&said[1])).await?;
    let analysis = |said: &[Value], plugin: &str| {
        said.iter()
            .find(|one| one["plugin"] == plugin)
            .map(|one| one["analysis"].as_str().unwrap().to_owned())
    };
    // Fourteen values and fourteen counters, which are full the second time; nobody else's `count`.
    ensure!(analysis(&first, "hostile").as_deref() == Some("14 14 14 None"), "{first:?}");
    ensure!(analysis(&second, "hostile").as_deref() == Some("0 14 0 None"), "{second:?}");
    let counted = analysis(&second, "neighbour").context("the neighbour was not asked")?;
    ensure!(counted.starts_with("true false Some([2])"), "{counted}");

    let found = remembered(&stand).await?;
    let mut sizes: Vec<_> = found.values().map(BTreeSet::len).collect();
    sizes.sort_unstable();
    ensure!(sizes == [1, 28], "{found:#?}");
    let odd = found.values().find(|names| names.len() == 28).context("nothing is remembered")?;
    for name in
        ["value/../count", "value/../counter/60/count", "counter/60/counter/..", "value/%2e%2e%2fcount"]
    {
        ensure!(odd.contains(name), "{found:#?}");
    }
    Ok(())
}
