//! T11 on a real chain: transactions that are stuck, dropped or reorganized away.

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use anyhow::{Context, Result};
use countersign_tests::configuration::PEOPLE_FROM_WEI;
use countersign_tests::lying_node::Lie;
use countersign_tests::main_job::{FINAL_DEADLINE, MainJob, Transfer, text};
use countersign_tests::wait;
use serde_json::{Value, json};

use crate::stand::{Stand, request_hash, transfer};

/// A transfer that nobody has to approve.
async fn propose_small(job: &MainJob<'_>, transfer: &Transfer) -> Result<String> {
    let accepted = job.propose(transfer).await?.expect(201)?;
    Ok(request_hash(&accepted).to_owned())
}

fn small(escrow: Address) -> Transfer {
    Transfer { value: U256::from(PEOPLE_FROM_WEI / 100), ..transfer(escrow) }
}

/// Waits until the gateway has sent `count` different signed transactions.
async fn sent(stand: &Stand, count: usize) -> Result<Vec<Value>> {
    wait::until("signed transactions to be sent", FINAL_DEADLINE, async || {
        let mut distinct: Vec<Value> = Vec::new();
        for call in stand.node.calls("eth_sendRawTransaction") {
            if !distinct.contains(&call) {
                distinct.push(call);
            }
        }
        Ok((distinct.len() >= count).then_some(distinct))
    })
    .await
}

fn bytes(raw: &Value) -> Result<Bytes> {
    Ok(serde_json::from_value(raw[0].clone())?)
}

fn decoded(raw: &Value) -> Result<TxEnvelope> {
    Ok(TxEnvelope::decode_2718(&mut bytes(raw)?.as_ref())?)
}

/// The node's view of what was sent.
async fn described(stand: &Stand, raw: &Value) -> Result<Value> {
    stand.anvil.node().call("eth_getTransactionByHash", json!([keccak256(bytes(raw)?)])).await
}

/// Waits until the node has what was sent, which it is told only after this proxy has remembered it.
async fn pooled(stand: &Stand, raw: &Value) -> Result<Value> {
    wait::until("what was sent to be in the pool", FINAL_DEADLINE, async || {
        let found = described(stand, raw).await?;
        Ok((!found.is_null()).then_some(found))
    })
    .await
}

#[tokio::test]
async fn a_stuck_transaction_is_outbid_under_its_own_nonce_and_paid_once() -> Result<()> {
    let stand = Stand::with_chain("stuck_after_ms = 1000").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let chain = stand.anvil.node();
    chain.set_automine(false).await?;
    let transfer = small(escrow);
    let hash = propose_small(&job, &transfer).await?;
    let both = sent(&stand, 2).await.with_context(|| gateway.output())?;
    let (before, after) = (decoded(&both[0])?, decoded(&both[1])?);
    assert_eq!(before.nonce(), after.nonce());
    assert_eq!((before.to(), before.value()), (after.to(), after.value()));
    let fees = |sent: &TxEnvelope| {
        let tip = sent.max_priority_fee_per_gas().context("not of EIP-1559")?;
        anyhow::Ok([sent.max_fee_per_gas(), tip])
    };
    for (old, new) in fees(&before)?.into_iter().zip(fees(&after)?) {
        assert!(new * 1000 >= old * 1125, "{old} then {new}");
    }
    wait::until("a replacement to be in the pool", FINAL_DEADLINE, async || {
        for raw in &sent(&stand, 2).await?[1..] {
            if !described(&stand, raw).await?.is_null() {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await?;

    chain.set_automine(true).await?;
    chain.mine(2).await?;
    let executed = job.final_transaction(&hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", gateway.output());
    assert_eq!(chain.balance(transfer.to).await?, transfer.value);
    assert_eq!(chain.transaction_count(escrow).await?, U256::ONE);
    stand.finish(gateway).await
}

#[tokio::test]
async fn a_dropped_transaction_is_sent_again() -> Result<()> {
    let stand = Stand::with_chain("").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let chain = stand.anvil.node();
    chain.set_automine(false).await?;
    let transfer = small(escrow);
    let hash = propose_small(&job, &transfer).await?;
    let first = sent(&stand, 1).await?;
    let dropped = pooled(&stand, &first[0]).await?;
    chain.call("anvil_dropTransaction", json!([text(&dropped, "hash")?])).await?;
    pooled(&stand, &first[0]).await.with_context(|| gateway.output())?;
    chain.mine(2).await?;
    let executed = job.final_transaction(&hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(sent(&stand, 1).await?.len(), 1, "another signature was made for what was only lost");
    assert_eq!(chain.balance(transfer.to).await?, transfer.value);
    Ok(())
}

#[tokio::test]
async fn a_reorganized_transaction_executes_on_the_chain_that_stays() -> Result<()> {
    let stand = Stand::with_chain("").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let chain = stand.anvil.node();
    chain.set_automine(false).await?;
    let snapshot = chain.call("evm_snapshot", json!([])).await?;
    let transfer = small(escrow);
    let hash = propose_small(&job, &transfer).await?;
    let raw = sent(&stand, 1).await?;
    pooled(&stand, &raw[0]).await?;
    chain.mine(1).await?;
    let found = described(&stand, &raw[0]).await?;
    assert!(!found["blockNumber"].is_null(), "{found}");
    let seen = stand.node.calls("eth_getTransactionReceipt").len();
    wait::until("the gateway to have seen the block", FINAL_DEADLINE, async || {
        Ok((stand.node.calls("eth_getTransactionReceipt").len() > seen + 1).then_some(()))
    })
    .await?;
    // One confirmation of two: nothing has ended yet.
    let waiting = job.transaction(&hash).await?.context("the transaction is gone")?;
    assert_eq!(waiting["status"], "APPROVED", "{waiting}");

    assert_eq!(chain.call("evm_revert", json!([snapshot])).await?, true);
    assert_eq!(chain.balance(transfer.to).await?, U256::ZERO);
    pooled(&stand, &raw[0]).await.with_context(|| gateway.output())?;
    chain.mine(2).await?;
    let executed = job.final_transaction(&hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(chain.balance(transfer.to).await?, transfer.value);
    assert_eq!(chain.transaction_count(escrow).await?, U256::ONE);
    Ok(())
}

/// Two nodes must agree, and one of them says that all is done.
#[tokio::test]
async fn one_lying_node_of_two_makes_nothing_executed_and_hides_nothing() -> Result<()> {
    let stand = Stand::with_a_second_node("agreement = 2").await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let chain = stand.anvil.node();
    chain.set_automine(false).await?;
    let transfer = small(escrow);
    let hash = propose_small(&job, &transfer).await?;
    let raw = sent(&stand, 1).await.with_context(|| gateway.output())?;
    let waiting = pooled(&stand, &raw[0]).await?;
    let latest = chain.call("eth_getBlockByNumber", json!(["latest", false])).await?;
    // Deep in a chain whose every block is the same.
    stand.node.lie(
        "eth_getTransactionReceipt",
        Lie::Answer(json!({
            "transactionHash": waiting["hash"], "blockHash": latest["hash"], "blockNumber": "0x0",
            "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1",
        })),
    );
    stand.node.lie("eth_getTransactionCount", Lie::Answer(json!("0x5")));
    lied_to(&stand).await?;
    let waiting = job.transaction(&hash).await?.context("the transaction is gone")?;
    assert_eq!(waiting["status"], "APPROVED", "{waiting}");
    assert_eq!(chain.transaction_count(escrow).await?, U256::ZERO);

    chain.mine(2).await?;
    stand.node.lie("eth_getTransactionReceipt", Lie::Answer(json!(null)));
    stand.node.lie("eth_getTransactionByHash", Lie::Answer(json!(null)));
    lied_to(&stand).await?;
    let waiting = job.transaction(&hash).await?.context("the transaction is gone")?;
    assert_eq!(waiting["status"], "APPROVED", "{waiting}");

    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getTransactionCount"] {
        stand.node.tell_the_truth(method);
    }
    let executed = job.final_transaction(&hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}");
    assert_eq!(chain.balance(transfer.to).await?, transfer.value);
    Ok(())
}

/// Waits until the gateway has heard the present lies several times.
async fn lied_to(stand: &Stand) -> Result<()> {
    let calls = || stand.node.calls("eth_getTransactionReceipt").len();
    let before = calls();
    let heard = async || Ok((calls() > before + 5).then_some(()));
    wait::until("the gateway to have been lied to", FINAL_DEADLINE, heard).await
}
