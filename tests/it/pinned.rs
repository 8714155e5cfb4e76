//! Encrypted payloads at a Kubo node: pinned there under the name that is put on record, whatever the node does first.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use anyhow::{Result, ensure};
use countersign_tests::kubo::{Kubo, KuboMood, cid_of};
use countersign_tests::main_job::text;
use countersign_tests::wait;
use countersign_tests::wallet::Wallet;
use countersign_tests::{lying_node::Lie, registry};
use serde_json::Value;

use crate::encrypted::{Sealed, random_hash};
use crate::stand::ETHER;

const DEADLINE: Duration = Duration::from_secs(30);

/// A gateway that has to pin with this node, and whose answers wait only a moment for what it publishes.
async fn pinning(kubo: &Kubo) -> Result<Sealed> {
    Sealed::with(&format!("wait_ms = 300\n[ipfs]\nkubo_url = \"{}\"\n", kubo.url())).await
}

async fn on_record(sealed: &Sealed, request_hash: B256) -> Result<bool> {
    let node = sealed.stand.anvil.node();
    Ok(registry::cid_digest(node, sealed.relayer()?, request_hash).await? != B256::ZERO)
}

/// Waits until the payload is pinned and on record, and the transaction executed.
async fn ends_well(sealed: &Sealed, kubo: &Kubo, made: &Value, message: &str) -> Result<()> {
    let (cid, request_hash) = (text(made, "ipfsCid")?, text(made, "requestHash")?);
    assert_eq!(cid, cid_of(message.as_bytes()));
    wait::until("the node to have it", DEADLINE, async || Ok(kubo.pinned(cid))).await?;
    assert_eq!(kubo.pinned(cid).as_deref(), Some(message.as_bytes()));
    let job = sealed.stand.job(&sealed.gateway);
    let published = wait::until("the record", DEADLINE, async || {
        let found = job.transaction(request_hash).await?;
        Ok(found.filter(|found| found["submissionTxHash"].is_string()))
    });
    assert_eq!(published.await?["ipfsCid"], cid);
    assert!(on_record(sealed, request_hash.parse()?).await?);
    let executed = job.final_transaction(request_hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", sealed.gateway.output());
    ensure!(kubo.faults().is_empty(), "the node found fault with requests: {:#?}", kubo.faults());
    Ok(())
}

#[tokio::test]
async fn a_payload_is_pinned_by_the_node_under_the_name_computed_here() -> Result<()> {
    let kubo = Kubo::start().await?;
    let sealed = pinning(&kubo).await?;
    let to = Wallet::random().address();
    let (request, message) = sealed.payment(random_hash(), to, ETHER / 2)?;
    let made = sealed.send(&request).await?;
    ends_well(&sealed, &kubo, &made, &message).await?;
    assert_eq!(sealed.stand.anvil.node().balance(to).await?, U256::from(ETHER / 2));
    assert_eq!(kubo.requests(), 1);
    sealed.stand.finish(sealed.gateway).await
}

/// A pin that fails holds up the record, which names the content; not what people have asked for.
#[tokio::test]
async fn a_pin_that_fails_is_made_again_and_the_record_after_it() -> Result<()> {
    let kubo = Kubo::start().await?;
    let mut sealed = pinning(&kubo).await?;
    kubo.set_mood(KuboMood::Refuse(500));
    // Nothing is paid before the gateway was killed.
    sealed.stand.node.lie("eth_sendRawTransaction", Lie::Unavailable);
    let request_hash = random_hash();
    let (request, message) = sealed.payment(request_hash, Wallet::random().address(), ETHER / 2)?;
    let made = sealed.send(&request).await?;
    assert!(made.get("submissionTxHash").is_none(), "{made}");
    wait::until("further tries", DEADLINE, async || Ok((kubo.requests() > 2).then_some(()))).await?;
    assert_eq!(kubo.pinned(text(&made, "ipfsCid")?), None);

    sealed.gateway.kill()?;
    sealed.stand.node.tell_the_truth("eth_sendRawTransaction");
    sealed.gateway = sealed.stand.installation.start().await?;
    let job = sealed.stand.job(&sealed.gateway);
    let executed = job.final_transaction(text(&made, "requestHash")?).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", sealed.gateway.output());
    assert!(executed.get("submissionTxHash").is_none(), "{executed}");
    assert!(!on_record(&sealed, request_hash).await?, "on record without being kept");

    kubo.set_mood(KuboMood::Honest);
    ends_well(&sealed, &kubo, &made, &message).await?;
    let sent = sealed.stand.anvil.node().transaction_count(sealed.relayer()?).await?;
    assert_eq!(sent, U256::from(1), "one record, however often it was tried");
    sealed.stand.finish(sealed.gateway).await
}

#[tokio::test]
async fn a_node_that_names_the_content_otherwise_is_not_believed() -> Result<()> {
    let kubo = Kubo::start().await?;
    let sealed = pinning(&kubo).await?;
    kubo.set_mood(KuboMood::Misname);
    let request_hash = random_hash();
    let (request, message) = sealed.payment(request_hash, Wallet::random().address(), ETHER / 2)?;
    let made = sealed.send(&request).await?;
    wait::until("further tries", DEADLINE, async || Ok((kubo.requests() > 2).then_some(()))).await?;
    assert!(made.get("submissionTxHash").is_none(), "{made}");
    assert_eq!(text(&made, "ipfsCid")?, cid_of(message.as_bytes()), "the gateway's own name");
    assert!(!on_record(&sealed, request_hash).await?);
    sealed.gateway.says("OtherName", DEADLINE).await?;

    kubo.set_mood(KuboMood::Honest);
    ends_well(&sealed, &kubo, &made, &message).await?;
    sealed.stand.finish(sealed.gateway).await
}
