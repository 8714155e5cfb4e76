//! How long an auditor waits: `countersign audit verify` on a log that the gateway has written itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use countersign_tests::gateway::Installation;
use countersign_tests::main_job::MainJob;
use countersign_tests::wallet::Wallet;

use crate::instant_node::InstantNode;
use crate::ledger::Ledger;
use crate::load::{self, Expected, Request};
use crate::report::{Figure, Report, progress};
use crate::runtimes::Runtimes;
use crate::statistics::{median, micros, number};
use crate::throughput;

const CHAIN: u64 = 31_337;
const ENTRIES: usize = 200_000;
const USERS: usize = 16;
/// Between two looks at how long the log is.
const STRETCH: Duration = Duration::from_secs(10);
const VERIFICATIONS: usize = 3;

pub(crate) async fn measure(runtimes: &Runtimes, report: &Report) -> Result<()> {
    let node = runtimes.node.spawn(InstantNode::start(CHAIN)).await??;
    let installation = Installation::new(&throughput::configuration(&[(CHAIN, node.url())], None))?;
    write(&installation, runtimes).await?;
    progress("verifying the audit log")?;
    let (mut times, mut entries) = (Vec::new(), 0);
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        let verified = installation.verify_audit()?;
        times.push(micros(begun.elapsed()));
        let counted = verified["entries"].as_u64().context("no count of entries")?;
        entries = usize::try_from(counted)?;
    }
    let whole = median(times);
    let section = report.section("audit", "`countersign audit verify`, SQLite, the whole command")?;
    section.figure(&Figure::new(format!("{entries} entries"), whole / 1000.0, "ms"))?;
    section.figure(&Figure::new("for each entry", whole / number(entries), "us"))
}

/// Signs until the log is long enough; every entry is one of genuine work.
async fn write(installation: &Installation, runtimes: &Runtimes) -> Result<()> {
    let gateway = installation.start().await?;
    let address = throughput::address_of(gateway.client().origin())?;
    let mut requests: Vec<Request> = Vec::new();
    for _ in 0..USERS {
        let wallet = Wallet::random();
        let (client, bootstrap) = (gateway.client(), &gateway.bootstrap);
        let escrow = MainJob { client, bootstrap, wallet: &wallet, chain_id: CHAIN }.create_user().await?;
        let body = throughput::transfer(escrow, CHAIN);
        requests.push(load::post("/transactions", address, &bootstrap.admin_api_key, &body));
    }
    let mut ledger = Ledger::open(&throughput::sqlite_url(&installation.data_dir())).await?;
    let expected = Expected { status: "201", body_contains: "\"status\":\"APPROVED\"" };
    loop {
        let entries = ledger.audit_entries().await?;
        progress(&format!("filling the audit log: {entries} of {ENTRIES}"))?;
        if entries >= ENTRIES {
            break;
        }
        let requests = requests.clone();
        let signing = async move { load::run(address, &requests, USERS, STRETCH, expected).await };
        runtimes.load.spawn(signing).await??;
    }
    ledger.drained().await?;
    ledger.close().await?;
    let status = gateway.stop().await?;
    ensure!(status.success(), "the gateway ended with {status}");
    Ok(())
}
