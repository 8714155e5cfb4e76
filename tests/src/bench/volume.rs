//! What grows with the database and what must not: start to ready, lists and look-ups, with little and with much
//! stored.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::gateway::{Gateway, Installation};
use countersign_tests::main_job::MainJob;
use countersign_tests::wait::until;
use countersign_tests::wallet::Wallet;
use serde_json::Value;

use crate::instant_node::InstantNode;
use crate::ledger::Ledger;
use crate::load::{self, Expected, Request};
use crate::report::{Figure, Goal, Report, progress};
use crate::runtimes::Runtimes;
use crate::statistics::{median, micros, percentile_micros};
use crate::throughput;
use filling::Filling;

mod filling;

const CHAIN: u64 = 31_337;
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
const KEYS: u32 = 10_000;
/// Made through the gateway, so that whatever a page shows has seals that hold: more than the largest page.
const GENUINE: usize = 220;
const STARTS: usize = 3;
/// The copies' seals do not hold and no log speaks of them; the comparison tells so, and costs what it would.
const COPIES_ARE_NO_ROWS_OF_OURS: &str = "[database]\nsweep_before_permits = false\n";
const SWEPT: &str = "countersign_store_sweep_seconds_sum ";
const ASKED_FOR: Duration = Duration::from_secs(3);

/// A list or look-up, as bytes to send.
struct Question {
    name: &'static str,
    request: Request,
    expected: Expected,
}

pub(crate) async fn measure(runtimes: &Runtimes, report: &Report) -> Result<()> {
    let node = runtimes.node.spawn(InstantNode::start(CHAIN)).await??;
    let configuration = throughput::configuration(&[(CHAIN, node.url())], None);
    let installation = Installation::new(&format!("{configuration}\n{COPIES_ARE_NO_ROWS_OF_OURS}"))?;
    progress("starting with an empty database")?;
    drop_stopped(installation.start().await?).await?;
    let empty = starts(&installation).await?;

    let gateway = installation.start().await?;
    let questions = populate(&installation, &gateway, runtimes).await?;
    drop_stopped(gateway).await?;
    let mut filling = Filling::open(&installation.data_dir()).await?;
    filling.transactions(FEW).await?;
    filling.close().await?;
    let (few, _) = latencies(&installation, runtimes, &questions).await?;

    let mut filling = Filling::open(&installation.data_dir()).await?;
    filling.keys(KEYS).await?;
    filling.transactions(MANY).await?;
    filling.close().await?;
    let full = starts(&installation).await?;
    let (many, swept) = latencies(&installation, runtimes, &questions).await?;

    let section = report.section("scale", "With 1,000,000 transactions and 10,000 keys, SQLite")?;
    let start = Figure::new("start to ready, against an empty database", full, "ms");
    section.figure(&start.against(empty).goal(Goal::AtMost(1.5)))?;
    section
        .note("the keys are rows without objects in the token: its C_Initialize is not the gateway's work")?;
    section.figure(&Figure::new("comparing every row with the audit log, after each start", swept, "s"))?;
    for ((question, few), many) in questions.iter().zip(few).zip(many) {
        let figure = Figure::new(format!("p50: {}", question.name), many, "us");
        section.figure(&figure.against(few).goal(Goal::AtMost(1.5)))?;
    }
    section
        .note("against 1,000 transactions, one request at a time; all of them of the user who is asked about")
}

/// Milliseconds until ready; the middle of a few.
async fn starts(installation: &Installation) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let gateway = installation.start().await?;
        times.push(micros(begun.elapsed()) / 1000.0);
        drop_stopped(gateway).await?;
    }
    Ok(median(times))
}

async fn drop_stopped(gateway: Gateway) -> Result<()> {
    let status = gateway.stop().await?;
    ensure!(status.success(), "the gateway ended with {status}");
    Ok(())
}

/// One user with executed transactions, and what will be asked about them.
async fn populate(
    installation: &Installation,
    gateway: &Gateway,
    runtimes: &Runtimes,
) -> Result<Vec<Question>> {
    progress("making transactions through the gateway")?;
    let wallet = Wallet::random();
    let (client, bootstrap) = (gateway.client(), &gateway.bootstrap);
    let escrow = MainJob { client, bootstrap, wallet: &wallet, chain_id: CHAIN }.create_user().await?;
    let address = throughput::address_of(client.origin())?;
    let key = bootstrap.admin_api_key.clone();
    let body = throughput::transfer(escrow, CHAIN);
    let request = load::post("/transactions", address, &key, &body);
    let made = Expected { status: "201", body_contains: "\"status\":\"APPROVED\"" };
    let count = load::times(address, request.clone(), GENUINE, made);
    runtimes.load.spawn(count).await??;
    let mut ledger = Ledger::open(&throughput::sqlite_url(&installation.data_dir())).await?;
    ledger.drained().await?;
    ledger.close().await?;

    let list = format!("/transactions/users/{}", wallet.address());
    let listed: Value = client.get(&list, Credential::ApiKey(&key)).await?.expect(200)?;
    let hash = listed[0]["requestHash"].as_str().context("a listed transaction has a requestHash")?;
    let get = |name, path: &str, body_contains| Question {
        name,
        request: load::get(path, address, &key),
        expected: Expected { status: "200", body_contains },
    };
    Ok(vec![
        get("a user by address", &format!("/users/{}", wallet.address()), "escrow"),
        get(
            "a transaction by request hash",
            &format!("/transactions/{hash}/approval-status"),
            "transactionId",
        ),
        get("a user's newest 100 transactions", &list, "EXECUTED"),
        get("a user's newest 100 executed ones", &format!("{list}?status=EXECUTED"), "EXECUTED"),
        get(
            "a user's pending transactions, of which there are none",
            &format!("{list}?status=PENDING"),
            "[]",
        ),
        get(
            "a user's rejected transactions, of which there are none",
            &format!("{list}?status=REJECTED"),
            "[]",
        ),
        Question { name: "POST /transactions to a known recipient, until signed", request, expected: made },
    ])
}

/// The p50 of every question, microseconds.
async fn latencies(
    installation: &Installation,
    runtimes: &Runtimes,
    questions: &[Question],
) -> Result<(Vec<f64>, f64)> {
    let gateway = installation.start().await?;
    progress("comparing the rows with the audit log")?;
    let swept = seconds_of_sweep(&gateway).await?;
    let address: SocketAddr = throughput::address_of(gateway.client().origin())?;
    let mut medians = Vec::new();
    for Question { name, request, expected } in questions {
        progress(&format!("asking for {name}"))?;
        let (requests, expected) = (vec![request.clone()], *expected);
        let load = async move { load::run(address, &requests, 1, ASKED_FOR, expected).await };
        let mut answered = runtimes.load.spawn(load).await??;
        medians.push(percentile_micros(&mut answered.latencies, 50));
    }
    drop_stopped(gateway).await?;
    Ok((medians, swept))
}

/// Waits for the comparison that every start begins with, so that it does not run beside what is measured.
async fn seconds_of_sweep(gateway: &Gateway) -> Result<f64> {
    until("the rows are compared with the audit log", Duration::from_mins(15), async || {
        let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(SWEPT));
        Ok(line.map(|seconds| seconds.trim().parse()).transpose()?)
    })
    .await
}
