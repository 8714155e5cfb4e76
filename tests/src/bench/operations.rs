//! Operations of the core family by how many are under way at once, beside an axum handler that does nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential, hex};
use countersign_tests::configuration::PEOPLE_FROM_WEI;
use countersign_tests::environment::{rfc3339_now, unix_seconds};
use countersign_tests::gateway::{Gateway, Installation};
use countersign_tests::main_job::{MainJob, Transfer, text};
use countersign_tests::wait;
use countersign_tests::wallet::{SignedRequest, Wallet};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::baseline;
use crate::instant_node::InstantNode;
use crate::ledger::{DRAIN_DEADLINE, Ledger};
use crate::load::{self, Answered, Expected, Script};
use crate::report::{Figure, Report, Section};
use crate::runtimes::Runtimes;
use crate::scale::Scale;
use crate::statistics::{percentile_micros, rate};
use crate::throughput::{address_of, configuration, sqlite_url};

const CHAIN: u64 = 31_337;
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
/// As many as the most that are under way: each person does one thing at a time.
const PEOPLE: usize = 64;
/// Nonces that are fetched at once while a round is prepared.
const PREPARED_AT_ONCE: usize = 16;
const AGENT_VOTE: &str = r#"{"approved":true}"#;

/// Rates are limits for strangers, and everybody here comes from one address.
const OPEN: &str = "login_burst = 10000000\nlogin_period_ms = 1000\n";
const SESSIONS: &str = "\n[core.sessions]\nper_user_max = 1000\n";

struct Stand<'a> {
    runtimes: &'a Runtimes,
    gateway: Gateway,
    ledger: Ledger,
    address: SocketAddr,
    people: Arc<Vec<Person>>,
    /// Makes every transfer another.
    transfers: u64,
}

struct Person {
    wallet: Wallet,
    escrow: Address,
}

pub(crate) async fn measure(runtimes: &Runtimes, scale: &Scale, report: &Report) -> Result<()> {
    let node = runtimes.node.spawn(InstantNode::start(CHAIN)).await??;
    let text =
        configuration(&[(CHAIN, node.url())], None).replace("[server]\n", &format!("[server]\n{OPEN}"));
    let installation = Installation::new(&(text + SESSIONS))?;
    let gateway = installation.start().await?;
    let ledger = Ledger::open(&sqlite_url(&installation.data_dir())).await?;
    let address = address_of(gateway.client().origin())?;
    let people = Arc::new(enrolled(&gateway).await?);
    let mut stand = Stand { runtimes, gateway, ledger, address, people, transfers: 0 };
    let measured = stand.measure(scale, report).await;
    measured.with_context(|| stand.gateway.output())?;
    stand.ledger.close().await?;
    let status = stand.gateway.stop().await?;
    ensure!(status.success(), "the gateway ended with {status}");
    Ok(())
}

async fn enrolled(gateway: &Gateway) -> Result<Vec<Person>> {
    let mut people = Vec::new();
    for _ in 0..PEOPLE {
        let wallet = Wallet::random();
        let job = MainJob {
            client: gateway.client(),
            bootstrap: &gateway.bootstrap,
            wallet: &wallet,
            chain_id: CHAIN,
        };
        let escrow = job.create_user().await?;
        people.push(Person { wallet, escrow });
    }
    Ok(people)
}

impl Stand<'_> {
    async fn measure(&mut self, scale: &Scale, report: &Report) -> Result<()> {
        let section = report.section(
            "operations",
            "Operations of the core family, SQLite, against an axum handler that does nothing",
        )?;
        for at_once in IN_FLIGHT {
            let nothing = baseline::handler(self.runtimes, at_once, scale.http_round / 2).await?.per_second;
            let logins = self.logins(scale.operations * at_once.min(8)).await?;
            self.run(logins, at_once).await?.print(&section, "SIWE verify", at_once, nothing)?;
            let read = self.reads(at_once, scale).await?;
            read.print(&section, "read by API key", at_once, nothing)?;
            let paid = self.payments(scale.operations * at_once.min(8), at_once).await?;
            paid.print(&section, "create, two votes, sign", at_once, nothing)?;
        }
        section.note("a payment is three requests; its rate counts until every signature is stored, its times are those of the answers")
    }

    async fn run(&self, scripts: Vec<Script>, at_once: usize) -> Result<Answered> {
        let address = self.address;
        self.runtimes.load.spawn(load::scripts(address, scripts, at_once)).await?
    }

    async fn reads(&self, at_once: usize, scale: &Scale) -> Result<Answered> {
        let key = &self.gateway.bootstrap.admin_api_key;
        let path = |person: &Person| format!("/users/{}", person.wallet.address());
        let requests: Vec<_> =
            self.people.iter().map(|person| load::get(&path(person), self.address, key)).collect();
        let (address, duration) = (self.address, scale.http_round / 2);
        let expected = Expected { status: "200", body_contains: "escrowAddress" };
        let read = async move { load::run(address, &requests, at_once, duration, expected).await };
        self.runtimes.load.spawn(read).await?
    }

    /// `count` logins, ready to be sent: nonces fetched and messages signed.
    async fn logins(&self, count: usize) -> Result<Vec<Script>> {
        let mut preparing = JoinSet::new();
        for first in 0..PREPARED_AT_ONCE.min(count) {
            let (client, people) = (self.gateway.client().clone(), Arc::clone(&self.people));
            let address = self.address;
            preparing.spawn(async move {
                let mut scripts = Vec::new();
                for number in (first..count).step_by(PREPARED_AT_ONCE) {
                    let body = login(&client, &people[number % PEOPLE].wallet).await?;
                    let expected = Expected { status: "200", body_contains: "accessToken" };
                    scripts.push(vec![(load::post_as_nobody("/auth/siwe/verify", address, &body), expected)]);
                }
                Ok::<_, anyhow::Error>(scripts)
            });
        }
        let mut scripts = Vec::new();
        while let Some(prepared) = preparing.join_next().await {
            scripts.append(&mut prepared??);
        }
        Ok(scripts)
    }

    /// `count` payments above what Orion decides alone: the agent's vote, then the user's, under which they are signed.
    async fn payments(&mut self, count: usize, at_once: usize) -> Result<Answered> {
        let scripts: Vec<Script> = (0..count).map(|number| self.payment(number)).collect::<Result<_>>()?;
        let before = self.ledger.signatures().await?;
        let started = Instant::now();
        let answered = self.run(scripts, at_once).await?;
        let ledger = &mut self.ledger;
        wait::until("every payment to be signed", DRAIN_DEADLINE, async || {
            Ok((ledger.signatures().await? - before == count).then_some(()))
        })
        .await?;
        let per_second = rate(count, started.elapsed());
        self.ledger.drained().await?;
        Ok(Answered { per_second, ..answered })
    }

    fn payment(&mut self, number: usize) -> Result<Script> {
        let person = &self.people[number % PEOPLE];
        self.transfers += 1;
        let transfer = Transfer {
            escrow: person.escrow,
            to: Address::with_last_byte(0xbb),
            value: U256::from(PEOPLE_FROM_WEI),
            request_nonce: Some(self.transfers),
        };
        let hash: B256 = transfer.request_hash(CHAIN, self.transfers);
        let path = format!("/transactions/{hash}/approvals");
        let keys = &self.gateway.bootstrap;
        let body = transfer.body(CHAIN).to_string();
        let pending = Expected { status: "201", body_contains: "PENDING" };
        let approved = Expected { status: "201", body_contains: "\"transactionStatus\":\"APPROVED\"" };
        let vote = self.signed_vote(person, &path)?;
        Ok(vec![
            (load::post("/transactions", self.address, &keys.admin_api_key, &body), pending),
            (load::post(&path, self.address, &keys.agent_api_key, AGENT_VOTE), pending),
            (vote, approved),
        ])
    }

    fn signed_vote(&self, person: &Person, path: &str) -> Result<load::Request> {
        let timestamp = unix_seconds();
        let origin = self.gateway.client().origin();
        let signed = SignedRequest { origin, method: "POST", path, body: AGENT_VOTE.as_bytes(), timestamp };
        let headers = [
            ("x-ethereum-address", person.wallet.address().to_string()),
            ("x-ethereum-signature", hex(&person.wallet.sign_request(&signed)?)),
            ("x-ethereum-timestamp", timestamp.to_string()),
        ];
        Ok(load::post_with(path, self.address, &headers, AGENT_VOTE))
    }
}

async fn login(client: &Client, wallet: &Wallet) -> Result<String> {
    let issued = client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.expect(200)?;
    let (origin, address) = (client.origin(), wallet.address());
    let domain = origin.split_once("://").context("an origin has a scheme")?.1;
    let (nonce, now) = (text(&issued, "nonce")?, rfc3339_now());
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n\nURI: {origin}\nVersion: 1\n\
         Chain ID: {CHAIN}\nNonce: {nonce}\nIssued At: {now}"
    );
    Ok(json!({"message": message, "signature": hex(&wallet.sign_text(&message)?)}).to_string())
}

impl Answered {
    fn print(mut self, section: &Section, operation: &str, at_once: usize, nothing: f64) -> Result<()> {
        let name = format!("{operation}, {at_once} in flight");
        section.figure(&Figure::new(name.as_str(), self.per_second, "per second").against(nothing))?;
        let p50 = percentile_micros(&mut self.latencies, 50);
        let p99 = percentile_micros(&mut self.latencies, 99);
        section.figure(&Figure::new(format!("{name}: p50"), p50, "us"))?;
        section.figure(&Figure::new(format!("{name}: p99 against p50"), p99, "us").against(p50))
    }
}
