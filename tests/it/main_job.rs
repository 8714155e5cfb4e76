//! The main job through the real binary, on both databases, and what a lying node makes of it.

use alloy_primitives::U256;
use anyhow::Result;
use countersign_tests::configuration::{DENIED_RECIPIENT, ORION_LIMIT_WEI, PEOPLE_FROM_WEI};
use countersign_tests::lying_node::Lie;
use countersign_tests::main_job::{Transfer, ensure_outstanding, text};
use countersign_tests::wallet::Wallet;
use serde_json::json;

use crate::stand::{Stand, request_hash, transfer};

#[tokio::test]
async fn request_to_receipt_on_sqlite() -> Result<()> {
    request_to_receipt(Stand::on_sqlite().await?).await
}

#[tokio::test]
async fn request_to_receipt_on_postgres() -> Result<()> {
    request_to_receipt(Stand::on_postgres().await?).await
}

async fn request_to_receipt(stand: Stand) -> Result<()> {
    let gateway = stand.installation.start().await?;
    let job = stand.job(&gateway);
    let escrow = stand.user(&gateway).await?;
    let (transfer, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);
    assert_eq!(proposed["payloadType"], "trusted");
    assert_eq!(proposed["executionType"], 0);
    ensure_outstanding(&job.approval_status(hash).await?, &["agent", "user"])?;

    let agent = job.approve_as_agent(hash).await?.expect(201)?;
    assert_eq!((&agent["type"], &agent["label"]), (&json!("admin"), &json!("agent")));
    assert_eq!(agent["transactionStatus"], "PENDING");
    let status = job.approval_status(hash).await?;
    ensure_outstanding(&status, &["user"])?;
    assert_eq!(
        (&status["agent"], &status["user"], &status["orion"]),
        (&json!(true), &json!(false), &json!(true))
    );

    let user = job.approve_as_user(hash).await?.expect(201)?;
    assert_eq!((&user["type"], &user["approved"]), (&json!("user"), &json!(true)));
    let executed = job.final_transaction(hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", gateway.output());

    let node = stand.anvil.node();
    assert_eq!(node.balance(transfer.to).await?, transfer.value);
    assert_eq!(node.transaction_count(escrow).await?, U256::ONE);
    let on_chain =
        node.call("eth_getTransactionByHash", json!([text(&executed, "executionTxHash")?])).await?;
    assert_eq!(on_chain["type"], "0x2");
    assert_eq!(on_chain["from"], json!(escrow));

    stand.finish(gateway).await
}

#[tokio::test]
async fn orion_rejects_a_denied_recipient_and_a_value_over_its_limit() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let denied = Transfer { to: DENIED_RECIPIENT.parse()?, ..transfer(escrow) };
    let excessive = Transfer { value: U256::from(ORION_LIMIT_WEI + 1), ..transfer(escrow) };
    for proposal in [denied, excessive] {
        let rejected = job.propose(&proposal).await?.expect(201)?;
        assert_eq!(rejected["status"], "REJECTED", "{rejected}");
        let vote = job.approve_as_agent(request_hash(&rejected)).await?;
        assert_eq!(vote.status, 409, "{}", vote.body);
    }
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());
    Ok(())
}

#[tokio::test]
async fn below_the_threshold_nobody_is_asked() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let small = Transfer { value: U256::from(PEOPLE_FROM_WEI / 100), ..transfer(escrow) };
    let accepted = job.propose(&small).await?.expect(201)?;
    assert!(matches!(text(&accepted, "status")?, "APPROVED" | "EXECUTED"), "{accepted}");
    assert_eq!(job.final_transaction(request_hash(&accepted)).await?["status"], "EXECUTED");
    Ok(())
}

#[tokio::test]
async fn one_rejection_ends_the_transaction() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);
    job.vote(hash, &gateway.bootstrap.agent_api_key, false).await?.expect(201)?;
    let late = job.approve_as_user(hash).await?;
    assert_eq!(late.status, 409, "{}", late.body);
    let status = job.approval_status(hash).await?;
    assert_eq!((&status["status"], &status["rejectedBy"]), (&json!("REJECTED"), &json!(["agent"])));
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());
    Ok(())
}

#[tokio::test]
async fn an_escrow_without_funds_fails_and_gives_its_nonce_back() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let job = stand.job(&gateway);
    let escrow = job.create_user().await?;
    let small = || Transfer { value: U256::from(PEOPLE_FROM_WEI / 100), ..transfer(escrow) };
    let failed = job.propose(&small()).await?.expect(201)?;
    let failed = job.final_transaction(request_hash(&failed)).await?;
    assert_eq!(failed["status"], "FAILED", "{failed}");
    stand.fund(escrow).await?;
    let next = job.propose(&small()).await?.expect(201)?;
    assert_eq!(job.final_transaction(request_hash(&next)).await?["status"], "EXECUTED");
    Ok(())
}

/// T5: people approved within ceilings, then the node quotes nonsense.
#[tokio::test]
async fn a_lying_node_gets_no_signature() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);
    job.approve_as_agent(hash).await?.expect(201)?;
    let million_gwei = json!("0x38d7ea4c68000");
    stand.node.lie("eth_gasPrice", Lie::Answer(million_gwei.clone()));
    stand.node.lie("eth_maxPriorityFeePerGas", Lie::Answer(million_gwei));
    stand.node.lie(
        "eth_feeHistory",
        Lie::Alter(|mut history| {
            history["baseFeePerGas"] = json!(["0x38d7ea4c68000", "0x38d7ea4c68000"]);
            history
        }),
    );
    stand.node.lie(
        "eth_getBlockByNumber",
        Lie::Alter(|mut block| {
            block["baseFeePerGas"] = json!("0x38d7ea4c68000");
            block
        }),
    );
    stand.node.lie("eth_estimateGas", Lie::Answer(json!("0x1c9c380")));
    let vote = job.approve_as_user(hash).await?;
    assert!(vote.status == 201 || vote.status == 503, "{}", vote.body);
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty());
    assert_eq!(stand.anvil.node().transaction_count(escrow).await?, U256::ZERO);
    Ok(())
}

/// T11: the node says no, yet the transaction is mined.
#[tokio::test]
async fn a_node_that_refuses_and_mines_is_paid_once() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let job = stand.job(&gateway);
    let (transfer, proposed) = stand.pending(&gateway, escrow).await?;
    let hash = request_hash(&proposed);
    stand.node.lie(
        "eth_sendRawTransaction",
        Lie::DoAndRefuse { code: -32_003, message: "transaction underpriced" },
    );
    job.approve_as_agent(hash).await?.expect(201)?;
    job.approve_as_user(hash).await?.expect(201)?;
    let executed = job.final_transaction(hash).await?;
    assert_eq!(executed["status"], "EXECUTED", "{executed}\n{}", gateway.output());
    assert_eq!(stand.anvil.node().balance(transfer.to).await?, transfer.value);
    assert_eq!(stand.anvil.node().transaction_count(escrow).await?, U256::ONE);
    Ok(())
}

#[tokio::test]
async fn another_wallet_cannot_approve() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let stranger = Wallet::random();
    let mut job = stand.job(&gateway);
    job.wallet = &stranger;
    job.create_user().await?;
    let vote = job.approve_as_user(request_hash(&proposed)).await?;
    assert_eq!(vote.status, 403, "{}", vote.body);
    Ok(())
}
