//! Clients work through two gateways while one after the other is killed: nothing that was acknowledged is lost, nothing
//! is signed or paid twice (T11, T18, T19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::{Client, Credential};
use countersign_tests::cluster::Node;
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer, text};
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::pair::Pair;
use crate::stand::CHAIN_ID;

const CLIENTS: usize = 6;
/// Transactions acknowledged before each kill, and after the last.
const STEPS: [usize; 4] = [8, 20, 32, 44];

/// What clients share: where the gateways listen, whatever becomes of them, and what they were told.
struct Load {
    gateways: [Client; 2],
    admin: String,
    reviewers: [String; 2],
    escrow: Address,
    acknowledged: AtomicUsize,
    over: AtomicBool,
    /// Payments whose vote was acknowledged, by request hash.
    paid: Mutex<BTreeMap<String, Transfer>>,
    numbers: AtomicUsize,
}

impl Load {
    /// Sends until some gateway answers: a client that hears nothing repeats itself, at the other one.
    async fn insist(&self, first: usize, path: &str, key: &str, body: &Value) -> Result<Value> {
        let mut turn = first;
        let heard = wait::until("an answer", FINAL_DEADLINE, async || {
            turn += 1;
            let client = &self.gateways[turn % 2];
            let bytes = serde_json::to_vec(body)?;
            let sent = client.send(Method::POST, path, Credential::ApiKey(key), bytes, &[]);
            // Killed before the answer, or while it starts anew.
            let Ok(Ok(reply)) = tokio::time::timeout(Duration::from_secs(5), sent).await else {
                return Ok(None);
            };
            match reply.status {
                201 => Ok(Some(reply.json()?)),
                429 | 503 => Ok(None),
                other => anyhow::bail!("{path} was answered {other}: {}", reply.body),
            }
        });
        heard.await
    }

    /// Creates, approves, and begins anew until the load is over.
    async fn work(&self, client: usize) -> Result<()> {
        while !self.over.load(Ordering::SeqCst) {
            let number = self.numbers.fetch_add(1, Ordering::SeqCst);
            let transfer = Transfer {
                escrow: self.escrow,
                to: Wallet::random().address(),
                value: U256::from(1000 + number),
                request_nonce: Some(number as u64),
            };
            let made =
                self.insist(client + number, "/transactions", &self.admin, &transfer.body(CHAIN_ID)).await?;
            let hash = text(&made, "requestHash")?;
            ensure!(made["status"] == "PENDING", "{made}");
            let path = format!("/transactions/{hash}/approvals");
            for (index, reviewer) in self.reviewers.iter().enumerate() {
                self.vote(client + number + index, &path, reviewer).await?;
            }
            self.paid.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_owned(), transfer);
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// A vote whose answer was lost may have had its effect: then the transaction is not pending any more.
    async fn vote(&self, first: usize, path: &str, reviewer: &str) -> Result<()> {
        let mut turn = first + 1;
        let body = serde_json::to_vec(&json!({"approved": true}))?;
        let heard = wait::until("a vote to be heard", FINAL_DEADLINE, async || {
            turn += 1;
            let client = &self.gateways[turn % 2];
            let sent = client.send(Method::POST, path, Credential::ApiKey(reviewer), body.clone(), &[]);
            let Ok(Ok(reply)) = tokio::time::timeout(Duration::from_secs(5), sent).await else {
                return Ok(None);
            };
            match reply.status {
                201 | 409 => Ok(Some(())),
                429 | 503 => Ok(None),
                other => anyhow::bail!("{path} was answered {other}: {}", reply.body),
            }
        });
        heard.await
    }

    async fn acknowledged(&self, number: usize) -> Result<()> {
        wait::until("clients to get on", FINAL_DEADLINE, async || {
            Ok((self.acknowledged.load(Ordering::SeqCst) >= number).then_some(()))
        })
        .await
    }
}

/// Kills one gateway after the other under the load, and starts each again.
async fn kill_in_turn(pair: &Pair, gateways: [Node; 2], load: &Load) -> Result<[Node; 2]> {
    let [mut next, mut other] = gateways;
    let mut index = 0;
    for step in &STEPS[..STEPS.len() - 1] {
        load.acknowledged(*step).await?;
        next.kill()?;
        let again = pair.cluster.start(index).await?;
        (next, other) = (other, again);
        index = 1 - index;
    }
    load.acknowledged(STEPS[STEPS.len() - 1]).await?;
    load.over.store(true, Ordering::SeqCst);
    Ok([next, other])
}

/// Everything on the list, page by page: nobody knows how many were paid until the last kill.
async fn listed(pair: &Pair, gateway: &Node) -> Result<Vec<Value>> {
    let mut path = format!("/transactions/users/{}?limit=100", pair.wallet.address());
    let mut all = Vec::new();
    loop {
        let reply = gateway.client().get(&path, pair.admin()).await?;
        let next = reply.headers.get("link").map(|link| link.to_str().map(str::to_owned)).transpose()?;
        all.extend(reply.expect(200)?.as_array().context("no list")?.iter().cloned());
        let Some(next) = next else { return Ok(all) };
        let next = next.strip_prefix('<').and_then(|next| next.strip_suffix(">; rel=\"next\""));
        next.context("no link to the next page")?.clone_into(&mut path);
    }
}

async fn count(database: &mut PgConnection, sql: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(database).await?)
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_nothing_is_paid_twice() -> Result<()> {
    let pair = Pair::new().await?;
    let reviewers = pair.reviewers()?;
    for index in 0..2 {
        pair.cluster.set(index, "limits.permit_seconds", 3);
        pair.cluster.set(index, "database.lease_ms", 3000);
        // The test asks for the list time and again.
        pair.cluster.set(index, "telemetry.log_filter", "info,gateway_api::layers::access=warn");
    }
    let gateways = [pair.cluster.start(0).await?, pair.cluster.start(1).await?];
    let escrow = pair.user(&gateways[0]).await?;
    let load = Load {
        gateways: [gateways[0].client().clone(), gateways[1].client().clone()],
        admin: pair.cluster.admin_api_key.clone(),
        reviewers,
        escrow,
        acknowledged: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        paid: Mutex::default(),
        numbers: AtomicUsize::new(0),
    };
    let clients = try_join_all((0..CLIENTS).map(|client| load.work(client)));
    let (gateways, _) = tokio::try_join!(kill_in_turn(&pair, gateways, &load), clients)?;

    let payments = load.paid.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let hashes = wait::until("every payment to be executed", FINAL_DEADLINE, async || {
        let list = listed(&pair, &gateways[0]).await?;
        ensure!(list.len() == payments.len(), "{} of {} payments are listed", list.len(), payments.len());
        for found in &list {
            ensure!(payments.contains_key(text(found, "requestHash")?), "nobody asked for {found}");
            ensure!(matches!(text(found, "status")?, "APPROVED" | "EXECUTED"), "{found}");
        }
        let done = list.iter().filter(|found| found["status"] == "EXECUTED");
        let hashes: BTreeSet<_> = done.filter_map(|found| found["executionTxHash"].as_str()).collect();
        Ok((hashes.len() == payments.len())
            .then(|| hashes.into_iter().map(str::to_owned).collect::<Vec<_>>()))
    });
    let hashes = match hashes.await {
        Ok(hashes) => hashes,
        Err(error) => {
            let (unfinished, output) =
                (pair.unfinished().await?, gateways.each_ref().map(Node::output).concat());
            anyhow::bail!("{error:#}\n{unfinished}\n{output}");
        }
    };

    let chain = pair.anvil.node();
    for transfer in payments.values() {
        assert_eq!(chain.balance(transfer.to).await?, transfer.value, "paid once");
    }
    assert_eq!(chain.transaction_count(escrow).await?, U256::from(hashes.len()));
    let sent: BTreeSet<_> =
        pair.node.calls("eth_sendRawTransaction").iter().map(ToString::to_string).collect();
    assert_eq!(sent.len(), hashes.len(), "what was sent again were the same bytes");
    let mut database = PgConnection::connect(pair.database_url()).await?;
    let twice =
        "SELECT COUNT(*) FROM (SELECT digest FROM permits GROUP BY digest HAVING COUNT(*) > 1) AS twice";
    assert_eq!(count(&mut database, twice).await?, 0, "one permit for each digest");
    drop(gateways);
    pair.cluster.verify_audit()
}
