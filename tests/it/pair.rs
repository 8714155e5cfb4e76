//! Two gateways over one PostgreSQL database and one token, with a chain behind them.

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result};
use countersign_tests::anvil::Anvil;
use countersign_tests::client::{Client, Credential, Reply, hex};
use countersign_tests::cluster::{Cluster, Node, ORIGIN};
use countersign_tests::configuration::{Chain, PEOPLE_FROM_WEI};
use countersign_tests::environment::rfc3339_now;
use countersign_tests::lying_node::{Gate, Lie, LyingNode};
use countersign_tests::main_job::{FINAL_DEADLINE, Transfer, text};
use countersign_tests::postgres::Postgres;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::stand::{CHAIN_ID, ETHER, transfer};

const UNFINISHED: &str =
    "SELECT string_agg(concat_ws(' ', t.id, t.state, t.state_facts, 'updated', t.updated_at,
        'attempts', (SELECT string_agg(concat_ws(':', a.nonce, a.outcome, a.created_at), ',')
            FROM attempts AS a WHERE a.transaction_id = t.id),
        'outbox', (SELECT string_agg(concat_ws(':', o.due_at, o.holder, o.fencing), ',')
            FROM outbox AS o WHERE position(t.id IN o.job) > 0)), chr(10))
    FROM transactions AS t WHERE t.state <> 'executed'";

pub(crate) struct Pair {
    pub(crate) anvil: Anvil,
    pub(crate) node: LyingNode,
    pub(crate) cluster: Cluster,
    pub(crate) wallet: Wallet,
    database: Postgres,
}

impl Pair {
    pub(crate) async fn new() -> Result<Pair> {
        let anvil = Anvil::start(CHAIN_ID).await?;
        let node = LyingNode::start(anvil.node().url()).await?;
        let database = Postgres::create().await?;
        let chain = Chain { id: CHAIN_ID, rpc_url: node.url(), confirmations: 1 };
        let cluster = Cluster::initialize(2, database.url(), &chain)?;
        Ok(Pair { anvil, node, cluster, wallet: Wallet::random(), database })
    }

    /// From now on an agent has to approve what goes to addresses that nobody listed, and an arbiter, for Orion is not
    /// sure; returns their keys.
    pub(crate) fn reviewers(&self) -> Result<[String; 2]> {
        self.reviewers_of_all_but(&[Address::repeat_byte(1)])
    }

    /// The same with addresses that are listed: what goes there needs nobody.
    pub(crate) fn reviewers_of_all_but(&self, listed: &[Address]) -> Result<[String; 2]> {
        let settings = json!({
            "allowList": listed, "unlistedRecipient": "doubt",
            "approveAt": 1_000_000, "rejectBelow": 0, "reviewRole": "agent",
        });
        self.cluster.install_orion(0, &settings)?;
        Ok([self.cluster.api_key(0, "agent")?, self.cluster.api_key(0, "arbiter")?])
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn admin(&self) -> Credential<'_> {
        Credential::ApiKey(&self.cluster.admin_api_key)
    }

    /// A funded user, made through `gateway`.
    pub(crate) async fn user(&self, gateway: &Node) -> Result<Address> {
        let body = json!({"ethereumAddress": self.wallet.address()});
        let user = gateway.client().post("/users", self.admin(), &body).await?.expect(201)?;
        let escrow = text(&user, "escrowAddress")?.parse()?;
        self.anvil.node().set_balance(escrow, U256::from(5 * ETHER)).await?;
        Ok(escrow)
    }

    pub(crate) async fn transaction(&self, gateway: &Node, hash: &str) -> Result<Value> {
        let path = format!("/transactions/users/{}", self.wallet.address());
        let list = gateway.client().get(&path, self.admin()).await?.expect(200)?;
        let mut list = list.as_array().context("no list")?.iter();
        list.find(|found| found["requestHash"] == hash).cloned().context("the transaction is gone")
    }

    pub(crate) async fn ended(&self, gateway: &Node, hash: &str) -> Result<Value> {
        wait::until("the transaction to end", FINAL_DEADLINE, async || {
            let found = self.transaction(gateway, hash).await?;
            Ok(matches!(text(&found, "status")?, "EXECUTED" | "REJECTED" | "FAILED").then_some(found))
        })
        .await
    }

    /// What is not executed: state, nonces, and when it is looked at again. For the message of a failing test.
    pub(crate) async fn unfinished(&self) -> Result<String> {
        let mut database = PgConnection::connect(self.database_url()).await?;
        let lines: Option<String> = sqlx::query_scalar(UNFINISHED).fetch_one(&mut database).await?;
        Ok(lines.unwrap_or_default())
    }

    /// Asks `gateway` to pay, and returns once its permit waits for the node's answer.
    pub(crate) async fn halted(
        &self,
        gateway: &Node,
        transfer: &Transfer,
    ) -> Result<(String, std::sync::Arc<Gate>)> {
        let gate = Gate::new();
        self.node.lie("eth_estimateGas", Lie::HoldBefore(gate.clone()));
        let body = transfer.body(CHAIN_ID);
        let request = gateway.client().post("/transactions", self.admin(), &body);
        let hash = transfer.request_hash(CHAIN_ID, transfer.request_nonce.context("a nonce")?);
        tokio::select! {
            biased;
            () = gate.reached() => {}
            answer = request => anyhow::bail!("answered before the node: {}", answer?.body),
        }
        Ok((hash.to_string(), gate))
    }
}

/// The other gateway may have taken the transaction up meanwhile, and halt at the same place.
pub(crate) fn release(gate: &Gate) {
    gate.release();
    gate.release();
}

pub(crate) fn small(escrow: Address) -> Transfer {
    let value = U256::from(PEOPLE_FROM_WEI / 100);
    Transfer { value, request_nonce: Some(1), ..transfer(escrow) }
}

/// What a page sends for a login by `wallet`.
pub(crate) async fn signed_in(client: &Client, wallet: &Wallet) -> Result<Value> {
    let issued = client.post("/auth/siwe/nonce", Credential::Nobody, &json!({})).await?.expect(200)?;
    let (nonce, address, now) = (text(&issued, "nonce")?, wallet.address(), rfc3339_now());
    let domain = ORIGIN.split_once("://").context("an origin has a scheme")?.1;
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n\nURI: {ORIGIN}\nVersion: 1\n\
         Chain ID: {CHAIN_ID}\nNonce: {nonce}\nIssued At: {now}"
    );
    Ok(json!({"message": message, "signature": hex(&wallet.sign_text(&message)?)}))
}

pub(crate) async fn log_in(client: &Client, wallet: &Wallet) -> Result<Value> {
    let body = signed_in(client, wallet).await?;
    client.post("/auth/siwe/verify", Credential::Nobody, &body).await?.expect(200)
}

pub(crate) async fn refresh(client: &Client, tokens: &Value) -> Result<Reply> {
    let body = json!({"refreshToken": text(tokens, "refreshToken")?});
    client.post("/auth/refresh", Credential::Nobody, &body).await
}

pub(crate) async fn me(client: &Client, tokens: &Value) -> Result<Reply> {
    client.get("/auth/me", Credential::Token(text(tokens, "accessToken")?)).await
}
