//! Policies that change while clients sign: every decision rests on one whole revision, no request fails, and nothing of
//! what was replaced stays in memory.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::cluster::Node;
use countersign_tests::guest;
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer, text};
use countersign_tests::process::resident_kib;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use futures::future::try_join_all;
use gateway_domain::policy::subject_digest;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use tokio::task::spawn_blocking;

use crate::pair::Pair;
use crate::stand::CHAIN_ID;

/// Activations before the first look at the memory, and after it.
const WARM_UP: usize = 32;
const ACTIVATIONS: usize = 96;
/// Components of each kind: more than a gateway keeps at hand, so that it lets go of some and loads them again.
const COMPONENTS: usize = 4;
const PREPARED_MAX: usize = 3;
const CLIENTS: usize = 4;
/// What a gateway may have grown by, in percent of what it had.
const GROWTH_PERCENT_MAX: u64 = 25;

/// Two kinds of revisions of a gate beside Orion that let everything through: guest, settings, grants, and the reason that
/// each gives. Under the settings of the other neither lets anything through.
const KINDS: [(&str, &str, &[&str], &str); 2] = [
    ("orion", r#"{"newRecipient": "ignore"}"#, &["clock", "log", "settings"], "no_findings"),
    ("hostile", r#""behave""#, &["clock", "history", "log", "settings", "state"], "behaved"),
];

/// Clients that sign as fast as they are answered, at both gateways.
struct Load {
    gateways: [Client; 2],
    admin: String,
    escrow: Address,
    over: AtomicBool,
    asked: AtomicUsize,
}

impl Load {
    async fn work(&self, first: usize) -> Result<()> {
        let mut turn = first;
        while !self.over.load(Ordering::SeqCst) {
            turn += 1;
            let transfer = Transfer {
                escrow: self.escrow,
                to: Wallet::random().address(),
                value: U256::from(1),
                request_nonce: None,
            };
            let client = &self.gateways[turn % 2];
            let body = transfer.body(CHAIN_ID);
            let made = client.post("/transactions", Credential::ApiKey(&self.admin), &body).await?;
            let made = made.expect(201)?;
            ensure!(made["status"] == "APPROVED" || made["status"] == "EXECUTED", "{made}");
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Has a command bind a revision of the other kind than the one before, through the other gateway.
async fn bind(pair: &Arc<Pair>, folder: &Path, number: usize) -> Result<()> {
    let (name, settings, grants, _) = KINDS[number % KINDS.len()];
    let component = guest::numbered(name, u8::try_from(number / KINDS.len() % COMPONENTS)?, folder)?;
    let file = folder.join("settings.json");
    fs::write(&file, settings)?;
    let file = file.to_str().context("path")?.to_owned();
    let pair = Arc::clone(pair);
    let ordered = spawn_blocking(move || {
        let mut install =
            vec!["plugin", "install", &component, "--name", "gate", "--gate", "--settings", &file];
        install.extend(grants.iter().flat_map(|grant| ["--grant", grant]));
        pair.cluster.order(number % 2, &install)
    });
    ordered.await?.map(|_| ())
}

/// Binds so many one after another, each once somebody was judged under the one before.
async fn activate(pair: &Arc<Pair>, folder: &Path, load: &Load, numbers: Range<usize>) -> Result<()> {
    for number in numbers {
        bind(pair, folder, number).await?;
        let before = load.asked.load(Ordering::SeqCst);
        wait::until("somebody to be judged by it", FINAL_DEADLINE, async || {
            Ok((load.asked.load(Ordering::SeqCst) > before).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Every evaluation was made of one revision: what it says that it ran, under which settings and grants, is what its
/// revision's digest was made of, and the reason is that revision's.
async fn ensure_whole(pair: &Pair) -> Result<usize> {
    let mut database = PgConnection::connect(pair.database_url()).await?;
    let found =
        sqlx::query("SELECT subject_digest, result, record FROM evaluations WHERE subject_name = 'gate'");
    let found = found.fetch_all(&mut database).await?;
    let mut subjects = BTreeSet::new();
    for row in &found {
        let (result, record): (Value, Value) =
            (serde_json::from_str(row.get("result"))?, serde_json::from_str(row.get("record"))?);
        let reason =
            result["verdict"]["reason_code"].as_str().with_context(|| format!("failed: {result}"))?;
        let kind = KINDS.iter().find(|kind| kind.3 == reason);
        let (_, settings, grants, _) = kind.with_context(|| format!("nobody gives the reason {result}"))?;
        ensure!(record["settings"] == *settings, "`{reason}` under the settings of another: {record}");
        ensure!(as_set(&record["grants"])? == as_set(&json!(grants))?, "other grants: {record}");
        let component: B256 = text(&record, "component")?.parse()?;
        let subject = subject_digest(component, settings, &as_set(&json!(grants))?);
        let stored: B256 = row.get::<String, _>("subject_digest").parse()?;
        ensure!(subject == stored, "the component of another revision: {record}");
        subjects.insert(subject);
    }
    ensure!(subjects.len() == KINDS.len() * COMPONENTS, "{} revisions were asked", subjects.len());
    Ok(found.len())
}

fn as_set(list: &Value) -> Result<BTreeSet<String>> {
    let list = list.as_array().context("no list")?;
    Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[tokio::test]
async fn policies_change_under_load_and_no_decision_mixes_them() -> Result<()> {
    let (pair, folder) = (Arc::new(Pair::new().await?), tempfile::tempdir()?);
    for index in 0..2 {
        pair.cluster.set(index, "plugins.prepared_max", PREPARED_MAX);
        // A permit that its gateway did not come to use under this load is renewed before the test gives up.
        pair.cluster.set(index, "limits.permit_seconds", 3);
        pair.cluster.set(index, "telemetry.log_filter", "info,gateway_api::layers::access=warn");
    }
    let gateways = [pair.cluster.start(0).await?, pair.cluster.start(1).await?];
    let load = Load {
        gateways: gateways.each_ref().map(|gateway| gateway.client().clone()),
        admin: pair.cluster.admin_api_key.clone(),
        escrow: pair.user(&gateways[0]).await?,
        over: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
    };
    bind(&pair, folder.path(), 0).await?;
    let replaced = async {
        activate(&pair, folder.path(), &load, 1..WARM_UP).await?;
        let before = resident(&gateways)?;
        activate(&pair, folder.path(), &load, WARM_UP..WARM_UP + ACTIVATIONS).await?;
        let after = resident(&gateways)?;
        load.over.store(true, Ordering::SeqCst);
        anyhow::Ok((before, after))
    };
    let clients = try_join_all((0..CLIENTS).map(|client| load.work(client)));
    let ((before, after), _) = tokio::try_join!(replaced, clients).with_context(|| output(&gateways))?;

    let asked = load.asked.load(Ordering::SeqCst);
    let chain = pair.anvil.node();
    let mined = wait::until("everything to be signed and mined", FINAL_DEADLINE, async || {
        Ok((chain.transaction_count(load.escrow).await? == U256::from(asked)).then_some(()))
    });
    if let Err(error) = mined.await {
        anyhow::bail!("{error:#}\n{}\n{}", pair.unfinished().await?, output(&gateways));
    }
    let evaluations = ensure_whole(&pair).await?;
    ensure!(evaluations >= asked, "{evaluations} evaluations of {asked} transactions");
    for (before, after) in before.into_iter().zip(after) {
        ensure!(
            after * 100 <= before * (100 + GROWTH_PERCENT_MAX),
            "{before} KiB after the warm-up, {after} KiB at the end, after {asked} transactions"
        );
    }
    drop(gateways);
    pair.cluster.verify_audit()
}

fn resident(gateways: &[Node; 2]) -> Result<[u64; 2]> {
    Ok([resident_kib(gateways[0].process_id())?, resident_kib(gateways[1].process_id())?])
}

fn output(gateways: &[Node; 2]) -> String {
    gateways.each_ref().map(Node::output).concat()
}
