//! A plugin's limit against clients that ask two gateways at once (T17): what is signed stays within it to the last unit.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::cluster::Node;
use countersign_tests::main_job::{Transfer, text};
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use futures::future::try_join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::pair::Pair;
use crate::stand::CHAIN_ID;

const GRANTS: [&str; 3] = ["log", "settings", "state"];

/// For all of them: longer than a permit that came to nothing is waited for.
const SETTLED_DEADLINE: Duration = Duration::from_mins(3);

/// Two gateways, one limit, and a client's side of it.
struct Limited {
    pair: Pair,
    gateways: [Node; 2],
    escrow: Address,
    /// Where transfers go that need nobody's approval.
    listed: Vec<Address>,
    /// Keys of an agent and of an arbiter.
    reviewers: [String; 2],
    numbers: AtomicU64,
}

impl Limited {
    async fn new(limit: &Value) -> Result<Limited> {
        let pair = Pair::new().await?;
        let listed: Vec<_> = (0..96).map(|_| Wallet::random().address()).collect();
        let reviewers = pair.reviewers_of_all_but(&listed)?;
        pair.cluster.install_gate(0, "velocity", &json!({ "limits": [limit] }), &GRANTS)?;
        let gateways = [pair.cluster.start(0).await?, pair.cluster.start(1).await?];
        let escrow = pair.user(&gateways[0]).await?;
        Ok(Limited { pair, gateways, escrow, listed, reviewers, numbers: AtomicU64::new(0) })
    }

    /// Asks both gateways for all of these at the same time, each for every other one. Whoever lost too many races for the
    /// counter is told so (503), and repeats the same request.
    async fn propose(&self, transfers: &[(Address, u64)]) -> Result<Vec<Value>> {
        let asked = transfers.iter().zip(self.gateways.iter().cycle()).map(async |((to, value), gateway)| {
            let request_nonce = Some(self.numbers.fetch_add(1, Ordering::SeqCst));
            let transfer =
                Transfer { escrow: self.escrow, to: *to, value: U256::from(*value), request_nonce };
            let body = transfer.body(CHAIN_ID);
            wait::until("an answer that settles it", SETTLED_DEADLINE, async || {
                let reply = gateway.client().post("/transactions", self.pair.admin(), &body).await?;
                if reply.status == 503 { Ok(None) } else { reply.expect(201).map(Some) }
            })
            .await
        });
        try_join_all(asked.collect::<Vec<_>>()).await
    }

    async fn vote(&self, gateway: &Node, proposed: &Value, key: &str, approved: bool) -> Result<()> {
        let path = format!("/transactions/{}/approvals", text(proposed, "requestHash")?);
        let vote = json!({ "approved": approved });
        gateway.client().post(&path, Credential::ApiKey(key), &vote).await?.expect(201).map(|_| ())
    }

    async fn abort(&self, index: usize, proposed: &Value) -> Result<()> {
        let path = format!("/transactions/{}/approval-status", text(proposed, "requestHash")?);
        let status = self.gateways[index].client().get(&path, self.pair.admin()).await?.expect(200)?;
        let aborted =
            self.pair.cluster.order(index, &["transaction", "abort", text(&status, "transactionId")?])?;
        ensure!(aborted["reason"] == "aborted", "{aborted}");
        Ok(())
    }

    /// Waits until so many are executed and the token has signed for no other; answers what they moved.
    async fn signed(&self, number: usize) -> Result<U256> {
        let path = format!("/transactions/users/{}?limit=100&status=EXECUTED", self.pair.wallet.address());
        let executed = wait::until("what was let through to be executed", SETTLED_DEADLINE, async || {
            let list = self.gateways[1].client().get(&path, self.pair.admin()).await?.expect(200)?;
            let list = list.as_array().context("no list")?.clone();
            Ok((list.len() >= number).then_some(list))
        });
        let executed = executed.await.with_context(|| self.gateways.each_ref().map(Node::output).concat())?;
        ensure!(executed.len() == number, "{} were executed, {number} were let through", executed.len());
        let sent = self.pair.node.calls("eth_sendRawTransaction");
        let sent: BTreeSet<_> = sent.iter().map(ToString::to_string).collect();
        ensure!(sent.len() == number, "{} different transactions were sent", sent.len());
        let chain = self.pair.anvil.node();
        ensure!(chain.transaction_count(self.escrow).await? == U256::from(number), "others are on chain");
        ensure!(self.count("SELECT COUNT(*) FROM attempts").await? == number, "others were prepared");
        ensure!(self.count("SELECT COUNT(*) FROM permits").await? == number, "others were permitted");
        let mut moved = U256::ZERO;
        for one in &executed {
            moved += text(one, "value")?.parse::<U256>()?;
        }
        Ok(moved)
    }

    async fn count(&self, query: &str) -> Result<usize> {
        let mut database = PgConnection::connect(self.pair.database_url()).await?;
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut database).await?;
        Ok(usize::try_from(found)?)
    }

    /// Every denial was the limit's, told as such.
    async fn denied_by_velocity(&self, number: usize) -> Result<()> {
        let said = "SELECT COUNT(DISTINCT transaction_id) FROM evaluations WHERE subject_name = 'velocity'
                    AND purpose = 'decision' AND result LIKE '%\"reject\"%'";
        let denied = self.count(said).await?;
        ensure!(denied == number, "velocity denied {denied} instead of {number}");
        Ok(())
    }
}

fn with_status<'a>(proposed: &'a [Value], status: &str) -> impl Iterator<Item = &'a Value> {
    proposed.iter().filter(move |one| one["status"] == status)
}

/// Three of ten places are held by transactions that wait for people. One is refused, one taken back: their places are
/// free again, for exactly two of those who ask then. The third is approved and keeps its own.
#[tokio::test]
async fn exactly_the_limit_is_signed_and_what_ended_unsigned_leaves_its_place() -> Result<()> {
    let limit = json!({"name": "hourly", "windowSeconds": 3600, "per": "key", "maxCount": "10"});
    let limited = Limited::new(&limit).await?;
    let waiting = [(); 3].map(|()| (Wallet::random().address(), 1));
    let waiting = limited.propose(&waiting).await?;
    ensure!(with_status(&waiting, "PENDING").count() == 3, "{waiting:?}");

    let all: Vec<_> = limited.listed.iter().zip(1..).map(|(to, value)| (*to, value)).collect();
    let (first, second) = all.split_at(64);
    let proposed = limited.propose(first).await?;
    ensure!(with_status(&proposed, "REJECTED").count() == 57, "{proposed:?}");
    limited.signed(7).await?;

    let [agent, arbiter] = &limited.reviewers;
    let [one, other] = &limited.gateways;
    limited.vote(one, &waiting[0], agent, false).await?;
    limited.abort(1, &waiting[1]).await?;
    let proposed = limited.propose(second).await?;
    ensure!(with_status(&proposed, "REJECTED").count() == 30, "{proposed:?}");
    limited.signed(9).await?;

    limited.vote(one, &waiting[2], agent, true).await?;
    limited.vote(other, &waiting[2], arbiter, true).await?;
    limited.signed(10).await?;
    let late = limited.propose(&[(Wallet::random().address(), 1); 2]).await?;
    ensure!(with_status(&late, "REJECTED").count() == 2, "{late:?}");
    limited.signed(10).await?;
    limited.denied_by_velocity(57 + 30 + 2).await?;
    limited.pair.cluster.verify_audit()
}

#[tokio::test]
async fn no_more_than_the_amount_is_signed_and_nothing_is_denied_that_fits() -> Result<()> {
    let most = U256::from(1_000);
    let limit = json!({"name": "wei", "windowSeconds": 3600, "per": "organization", "maxAmount": "1000"});
    let limited = Limited::new(&limit).await?;
    // Different amounts, large and small ones mixed.
    let values = (1..=64).map(|index| index * 29 % 67);
    let transfers: Vec<_> = limited.listed.iter().copied().zip(values).collect();
    let proposed = limited.propose(&transfers).await?;
    let denied: Vec<_> = with_status(&proposed, "REJECTED").collect();
    let moved = limited.signed(proposed.len() - denied.len()).await?;
    ensure!(moved <= most, "{moved} were moved");
    for one in &denied {
        let value: U256 = text(one, "value")?.parse()?;
        ensure!(moved + value > most, "{one} was denied, although {moved} were moved");
    }
    limited.denied_by_velocity(denied.len()).await?;
    limited.pair.cluster.verify_audit()
}
