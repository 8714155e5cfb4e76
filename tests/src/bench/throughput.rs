//! The whole gateway: transactions over HTTP until their signatures are stored, against the bare `C_Sign`
//! loop, with processor time by thread.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::anvil::Anvil;
use countersign_tests::gateway::{Gateway, Installation};
use countersign_tests::main_job::MainJob;
use countersign_tests::wallet::Wallet;
use hsm::KeyAlgorithm;
use serde_json::json;

use crate::instant_node::InstantNode;
use crate::ledger::Ledger;
use crate::load::{self, Answered, Expected, Request};
use crate::processor::{Snapshot, resident_mebibytes};
use crate::report::Report;
use crate::runtimes::{LOAD_THREADS, NODE_THREADS, Runtimes};
use crate::scale::Scale;
use crate::signing::{Bare, BareRound, Token};
use crate::statistics::{micros_each, number, rate};
use crate::{baseline, throughput_report};

const INSTANT_CHAIN: u64 = 31_337;
const ANVIL_CHAIN: u64 = 31_338;
/// Escrow keys; a key's transactions need consecutive nonces, so that each is under way once at most.
const USERS: usize = 64;
const CONNECTIONS: usize = 16;
const FUNDS_WEI: u128 = 1_000_000_000_000_000_000_000;
const SUSTAINED_ROUNDS: u32 = 3;

/// Defaults but for what is named here: rates are limits for strangers, and following a transaction to its
/// end is kept out of the time in which others are created.
const CONFIGURATION: &str = "[server]\ncredential_burst = 1000000\nsource_burst = 1000000\n\n\
    [limits]\npoll_interval_ms = 4000\nunavailable_pause_ms = 4000\n";

/// Processor microseconds per signature.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) total: f64,
    pub(crate) store: f64,
    pub(crate) plugins: f64,
    pub(crate) hsm: f64,
    /// Of this process: sending requests and answering as a node.
    pub(crate) own: f64,
    /// Not a time: calls to the node.
    pub(crate) node_calls: f64,
}

pub(crate) struct Round {
    pub(crate) bare: BareRound,
    pub(crate) answered: Answered,
    /// From request to answer.
    pub(crate) path: Cost,
    /// Afterwards, until every transaction has ended.
    pub(crate) following: Cost,
}

/// Everything that was measured of the gateway.
pub(crate) struct Measured {
    pub(crate) rounds: Vec<Round>,
    /// Following included.
    pub(crate) sustained: Option<Answered>,
    pub(crate) flooded: Flooded,
    pub(crate) anvil: Answered,
    pub(crate) anvil_micros: f64,
    pub(crate) handler_micros: f64,
    pub(crate) node_call_micros: f64,
    pub(crate) idle_mebibytes: f64,
    pub(crate) loaded_mebibytes: f64,
    pub(crate) signatures: usize,
}

/// Signing while a stranger on the same machine tries keys as fast as it is answered (T25).
pub(crate) struct Flooded {
    pub(crate) answered: Answered,
    pub(crate) guesses_per_second: f64,
}

struct Stand<'a> {
    runtimes: &'a Runtimes,
    node: InstantNode,
    gateway: Gateway,
    ledger: Ledger,
    address: SocketAddr,
    escrows: Vec<Address>,
}

pub(crate) async fn measure(
    token: &Token,
    runtimes: &Runtimes,
    scale: &Scale,
    report: &Report,
) -> Result<()> {
    let node = runtimes.node.spawn(InstantNode::start(INSTANT_CHAIN)).await??;
    let anvil = Anvil::start(ANVIL_CHAIN).await?;
    let chains = [(INSTANT_CHAIN, node.url()), (ANVIL_CHAIN, anvil.node().url())];
    let installation = Installation::new(&configuration(&chains, None))?;
    let gateway = installation.start().await?;
    let ledger = Ledger::open(&sqlite_url(&installation.data_dir())).await?;
    let address = address_of(gateway.client().origin())?;
    let mut stand = Stand { runtimes, node, gateway, ledger, address, escrows: Vec::new() };
    let measured = stand.measure(token, &anvil, scale).await;
    let measured = measured.with_context(|| stand.gateway.output())?;
    stand.stop().await?;
    throughput_report::print(&measured, report)
}

/// The rounds alone, on a PostgreSQL database.
pub(crate) async fn rounds_on_postgres(
    token: &Token,
    runtimes: &Runtimes,
    scale: &Scale,
    url: &str,
) -> Result<Vec<Round>> {
    let node = runtimes.node.spawn(InstantNode::start(INSTANT_CHAIN)).await??;
    let installation = Installation::new(&configuration(&[(INSTANT_CHAIN, node.url())], Some(url)))?;
    let gateway = installation.start().await?;
    let ledger = Ledger::open(url).await?;
    let address = address_of(gateway.client().origin())?;
    let mut stand = Stand { runtimes, node, gateway, ledger, address, escrows: Vec::new() };
    let measured = async {
        stand.create_users().await?;
        stand.rounds(token, scale).await
    };
    let measured = measured.await.with_context(|| stand.gateway.output())?;
    stand.stop().await?;
    Ok(measured)
}

impl Stand<'_> {
    async fn measure(&mut self, token: &Token, anvil: &Anvil, scale: &Scale) -> Result<Measured> {
        self.create_users().await?;
        for escrow in &self.escrows {
            anvil.node().set_balance(*escrow, U256::from(FUNDS_WEI)).await?;
        }
        let requests = self.requests(INSTANT_CHAIN);
        // One transaction loads the plugin into this process.
        self.load(&requests[..1], 1, Duration::from_millis(1)).await?;
        let idle_mebibytes = resident_mebibytes(self.gateway.process_id())?;
        let rounds = self.rounds(token, scale).await?;
        let sustained = if scale.http_rounds > 1 {
            let answered = self.load(&requests, CONNECTIONS, scale.http_round * SUSTAINED_ROUNDS).await?;
            self.ledger.drained().await?;
            Some(answered)
        } else {
            None
        };
        let flooded = self.flooded_round(&requests, scale).await?;
        let (anvil, anvil_micros) = self.anvil_round(anvil, scale).await?;
        Ok(Measured {
            rounds,
            sustained,
            flooded,
            anvil,
            anvil_micros,
            handler_micros: baseline::handler_micros(self.runtimes, &self.body(0, INSTANT_CHAIN)).await?,
            node_call_micros: baseline::node_call_micros(self.runtimes, self.node.url()).await?,
            idle_mebibytes,
            loaded_mebibytes: resident_mebibytes(self.gateway.process_id())?,
            signatures: self.ledger.signatures().await?,
        })
    }

    /// After a short one that is not counted.
    async fn rounds(&mut self, token: &Token, scale: &Scale) -> Result<Vec<Round>> {
        let requests = self.requests(INSTANT_CHAIN);
        self.load(&requests, CONNECTIONS, scale.http_round / 8).await?;
        self.ledger.drained().await?;
        let mut rounds = Vec::new();
        for _ in 0..scale.http_rounds {
            rounds.push(self.round(token, &requests, scale).await?);
        }
        Ok(rounds)
    }

    async fn create_users(&mut self) -> Result<()> {
        for _ in 0..USERS {
            let wallet = Wallet::random();
            let job = MainJob {
                client: self.gateway.client(),
                bootstrap: &self.gateway.bootstrap,
                wallet: &wallet,
                chain_id: INSTANT_CHAIN,
            };
            let escrow = job.create_user().await?;
            self.escrows.push(escrow);
        }
        Ok(())
    }

    async fn round(&mut self, token: &Token, requests: &[Request], scale: &Scale) -> Result<Round> {
        let bare = token.bare(KeyAlgorithm::Secp256k1, Bare::Nothing, scale.cores, scale.http_round / 3)?;
        let begin = self.moment()?;
        let answered = self.load(requests, CONNECTIONS, scale.http_round).await?;
        let answered_at = self.moment()?;
        self.ledger.drained().await?;
        let end = self.moment()?;
        let path = answered_at.since(&begin, answered.count);
        let following = end.since(&answered_at, answered.count);
        Ok(Round { bare, answered, path, following })
    }

    async fn flooded_round(&mut self, requests: &[Request], scale: &Scale) -> Result<Flooded> {
        let guesses = Arc::new(AtomicUsize::new(0));
        let stranger = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let key = format!("ck_admin_{}_{}", "0".repeat(12), "A".repeat(43));
        let path = format!("/users/{}", self.escrows[0]);
        let guess = load::get(&path, self.address, &key);
        let flood = load::flood(self.address, stranger, guess, Arc::clone(&guesses));
        let flood = self.runtimes.load.spawn(flood);
        let begun = Instant::now();
        let answered = self.load(requests, CONNECTIONS, scale.http_round).await?;
        let guesses_per_second = rate(guesses.load(Ordering::Relaxed), begun.elapsed());
        ensure!(!flood.is_finished(), "the stranger gave up");
        flood.abort();
        self.ledger.drained().await?;
        Ok(Flooded { answered, guesses_per_second })
    }

    async fn anvil_round(&mut self, anvil: &Anvil, scale: &Scale) -> Result<(Answered, f64)> {
        let requests = self.requests(ANVIL_CHAIN);
        let before = Snapshot::of(anvil.process_id())?;
        let answered = self.load(&requests, CONNECTIONS, scale.http_round).await?;
        let spent = Snapshot::of(anvil.process_id())?.total_since(&before);
        self.ledger.drained().await?;
        let micros = micros_each(spent, answered.count);
        Ok((answered, micros))
    }

    /// Sends transactions and makes sure that each one answered has its signature in the database.
    async fn load(
        &mut self,
        requests: &[Request],
        connections: usize,
        duration: Duration,
    ) -> Result<Answered> {
        let before = self.ledger.signatures().await?;
        let (address, requests) = (self.address, requests.to_vec());
        let expected = Expected { status: "201", body_contains: "\"status\":\"APPROVED\"" };
        let load = async move { load::run(address, &requests, connections, duration, expected).await };
        let answered = self.runtimes.load.spawn(load).await??;
        let signed = self.ledger.signatures().await? - before;
        ensure!(signed == answered.count, "{} answers, but {signed} stored signatures", answered.count);
        Ok(answered)
    }

    fn requests(&self, chain_id: u64) -> Vec<Request> {
        let key = &self.gateway.bootstrap.admin_api_key;
        let bodies = (0..self.escrows.len()).map(|number| self.body(number, chain_id));
        bodies.map(|body| load::post("/transactions", self.address, key, &body)).collect()
    }

    fn body(&self, number: usize, chain_id: u64) -> String {
        transfer(self.escrows[number], chain_id)
    }

    async fn stop(self) -> Result<()> {
        self.ledger.close().await?;
        let status = self.gateway.stop().await?;
        ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }

    fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            gateway: Snapshot::of(self.gateway.process_id())?,
            own: Snapshot::of(std::process::id())?,
            node_calls: self.node.calls(),
        })
    }
}

struct Moment {
    gateway: Snapshot,
    own: Snapshot,
    node_calls: usize,
}

impl Moment {
    fn since(&self, earlier: &Moment, signatures: usize) -> Cost {
        let each = |time| micros_each(time, signatures);
        let of_gateway = |prefix| each(self.gateway.threads_since(&earlier.gateway, prefix));
        let of_own = |prefix| each(self.own.threads_since(&earlier.own, prefix));
        Cost {
            total: each(self.gateway.total_since(&earlier.gateway)),
            store: of_gateway("sqlx-sqlite"),
            plugins: of_gateway("plugin-"),
            hsm: of_gateway("hsm-"),
            own: of_own(LOAD_THREADS) + of_own(NODE_THREADS),
            node_calls: number(self.node_calls - earlier.node_calls) / number(signatures),
        }
    }
}

/// The body of a transfer of 0.0001 ether, which no person has to approve.
pub(crate) fn transfer(escrow: Address, chain_id: u64) -> String {
    let to = Address::with_last_byte(0xbb);
    json!({"escrowAddress": escrow, "to": to, "value": "100000000000000", "chainId": chain_id}).to_string()
}

/// For the chains by id and node; on SQLite unless a database is named.
pub(crate) fn configuration(chains: &[(u64, &str)], database_url: Option<&str>) -> String {
    let database = database_url.map(|url| format!("\n[database]\nurl = \"{url}\"\n"));
    let chain = |(id, url): &(u64, &str)| {
        format!("\n[[chains]]\nid = \"eip155:{id}\"\nrpc_urls = \"{url}\"\nconfirmations = 1\n")
    };
    let chains: String = chains.iter().map(chain).collect();
    [CONFIGURATION, &database.unwrap_or_default(), &chains].concat()
}

pub(crate) fn sqlite_url(data_dir: &Path) -> String {
    format!("sqlite://{}?mode=ro", data_dir.join("countersign.db").display())
}

pub(crate) fn address_of(origin: &str) -> Result<SocketAddr> {
    let address = origin.strip_prefix("http://").context("the gateway's origin is not http")?;
    Ok(address.parse()?)
}
