//! The main job for a person to watch: request, judgement by the Orion plugin, approvals, signature in
//! the HSM, broadcast, proof. Steps go to standard error; the last line of standard output is the
//! result as one JSON object.

use std::io::{Write, stderr, stdout};

use alloy_primitives::U256;
use anyhow::{Context, Result, bail, ensure};
use countersign_tests::anvil::Anvil;
use countersign_tests::configuration::{self, Chain, DENIED_RECIPIENT, PEOPLE_FROM_WEI};
use countersign_tests::evaluations;
use countersign_tests::gateway::{Gateway, Installation};
use countersign_tests::main_job::{MainJob, Transfer, ensure_outstanding, text};
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

const CHAIN_ID: u64 = 31_337;
const FUNDS_WEI: u128 = 5_000_000_000_000_000_000;

// One thread: children are bound to the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Leaving the `select!` drops the other branches, and with the demo everything it started.
    let result = tokio::select! {
        result = demonstrate() => result?,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    writeln!(stdout(), "{result}")?;
    Ok(())
}

async fn demonstrate() -> Result<Value> {
    say("a local EVM node")?;
    let anvil = Anvil::start(CHAIN_ID).await?;
    detail(&format!("{} with chain id {CHAIN_ID}", anvil.node().url()))?;

    say("the gateway, on SQLite, with a fresh SoftHSM token and the Orion plugin")?;
    let chain = Chain { id: CHAIN_ID, rpc_url: anvil.node().url(), confirmations: 1 };
    let installation = Installation::new(&configuration::render(&[chain], None))?;
    let gateway = installation.start().await?;
    detail(&format!(
        "ready at {}, operators at {}",
        gateway.client().origin(),
        gateway.bootstrap.operator_url
    ))?;

    let walked = walk(&anvil, &gateway).await;
    let Walked { transaction, rejected, raw } = walked.with_context(|| gateway.output())?;

    say("the audit log, verified without the gateway")?;
    let status = gateway.stop().await?;
    ensure!(status.success(), "the gateway ended with {status}");
    let audit = installation.verify_audit()?;
    ensure!(audit["verified"] == true, "the audit log does not verify: {audit}");
    detail(&format!("{} entries, unbroken", audit["entries"]))?;
    let evaluations =
        evaluations::of_transaction(&installation.data_dir(), text(&transaction, "requestHash")?).await?;
    ensure!(!evaluations.is_empty(), "no plugin has evaluated the transaction");
    Ok(json!({
        "status": transaction["status"],
        "transactionHash": transaction["executionTxHash"],
        "rawTransaction": raw,
        "from": transaction["escrowAddress"],
        "to": transaction["to"],
        "value": transaction["value"],
        "chainId": transaction["chainId"],
        "evaluations": evaluations,
        "approvals": approvals(&transaction),
        "rejected": {"status": rejected["status"], "analysis": analysis(&rejected)?},
        "audit": {"entries": audit["entries"], "verified": audit["verified"]},
    }))
}

struct Walked {
    transaction: Value,
    rejected: Value,
    raw: String,
}

async fn walk(anvil: &Anvil, gateway: &Gateway) -> Result<Walked> {
    let wallet = Wallet::random();
    let job = MainJob {
        client: gateway.client(),
        bootstrap: &gateway.bootstrap,
        wallet: &wallet,
        chain_id: CHAIN_ID,
    };

    say("a user, with an escrow key that the HSM makes")?;
    let escrow = job.create_user().await?;
    anvil.node().set_balance(escrow, U256::from(FUNDS_WEI)).await?;
    detail(&format!("user {} has escrow {escrow}, funded with 5 ETH", wallet.address()))?;

    say("a transfer to a deny-listed address")?;
    let value = U256::from(PEOPLE_FROM_WEI);
    let denied = Transfer { escrow, to: DENIED_RECIPIENT.parse()?, value, request_nonce: None };
    let rejected = job.propose(&denied).await?.expect(201)?;
    ensure!(rejected["status"] == "REJECTED", "Orion let a deny-listed recipient pass: {rejected}");
    detail(&format!("REJECTED by Orion: {}", analysis(&rejected)?))?;

    say("a transfer of 1 ETH to somebody else")?;
    let transfer = Transfer { escrow, to: Wallet::random().address(), value, request_nonce: None };
    let proposed = job.propose(&transfer).await?.expect(201)?;
    let request_hash = text(&proposed, "requestHash")?;
    ensure!(proposed["status"] == "PENDING", "expected PENDING: {proposed}");
    detail(&format!("approved by Orion: {}", analysis(&proposed)?))?;
    ensure_outstanding(&job.approval_status(request_hash).await?, &["agent", "user"])?;
    detail("PENDING: at this value the policy requires the user and an agent as well")?;

    say("the user approves, with an Ethereum signature over the intent")?;
    let vote = job.approve_as_user(request_hash).await?.expect(201)?;
    ensure!(vote["type"] == "user" && vote["approved"] == true, "no user's approval: {vote}");
    ensure_outstanding(&job.approval_status(request_hash).await?, &["agent"])?;
    detail("counted; the agent's is still required")?;

    say("the agent approves, with its API key")?;
    job.approve_as_agent(request_hash).await?.expect(201)?;
    let transaction = job.final_transaction(request_hash).await?;
    ensure!(transaction["status"] == "EXECUTED", "expected EXECUTED: {transaction}");
    let hash = text(&transaction, "executionTxHash")?;
    detail(&format!("signed in the HSM, broadcast, EXECUTED as {hash}"))?;

    let received = anvil.node().balance(transfer.to).await?;
    ensure!(received == value, "the recipient holds {received} wei");
    let raw = anvil.node().raw_transaction(hash).await?;
    detail("the recipient holds exactly 1 ETH")?;
    Ok(Walked { transaction, rejected, raw })
}

/// Of people and plugins alike.
fn approvals(transaction: &Value) -> Vec<Value> {
    let list = |name: &str| transaction[name].as_array().cloned().unwrap_or_default();
    [list("approvals"), list("apiKeyApprovals")].concat()
}

/// Orion's own words about a transaction.
fn analysis(transaction: &Value) -> Result<&str> {
    text(&transaction["orionMetadata"], "analysis").context("Orion has not evaluated the transaction")
}

fn say(step: &str) -> Result<()> {
    Ok(writeln!(stderr(), "\n-> {step}")?)
}

fn detail(fact: &str) -> Result<()> {
    Ok(writeln!(stderr(), "   {fact}")?)
}
