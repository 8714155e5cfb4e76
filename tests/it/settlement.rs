//! Execution provider `none`: somebody else executes what was judged and approved here, and reports how it went.

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result};
use countersign_tests::client::{Client, Credential, Reply};
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::{Transfer, text};
use countersign_tests::wallet::Wallet;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stand::{Stand, request_hash, transfer};

const INTERNAL_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const HASH: &str = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";

/// What the verification service sends.
async fn report(client: &Client, name: &str, token: &str, body: &Value) -> Result<Reply> {
    let path = format!("/internal/orion-metadata/{name}/settlement");
    let (body, headers) = (serde_json::to_vec(body)?, [("x-internal-token", token)]);
    client.send(Method::PATCH, &path, Credential::Nobody, body, &headers).await
}

/// A stand whose user keeps their key themselves.
async fn with_a_key_elsewhere() -> Result<(Stand, Gateway, Address)> {
    let more = format!("[core]\ninternal_token = \"{INTERNAL_TOKEN}\"\n");
    let stand = Stand::with_configuration(&more).await?;
    let gateway = stand.installation.start().await?;
    let escrow = Wallet::random().address();
    let body = json!({"ethereumAddress": stand.wallet.address(), "escrowAddress": escrow});
    gateway.client().post("/users", stand.job(&gateway).admin(), &body).await?.expect(201)?;
    Ok((stand, gateway, escrow))
}

#[tokio::test]
async fn what_somebody_else_executed_is_executed_and_what_failed_there_failed() -> Result<()> {
    let (stand, gateway, escrow) = with_a_key_elsewhere().await?;
    let (job, operator) = (stand.job(&gateway), gateway.operator());
    let settled = json!({
        "status": "settled", "settlementTxHash": HASH, "chainId": 31_337, "blockNumber": 7, "gasUsed": "21000",
        "settledAt": "2026-01-05T10:05:00Z",
    });
    let failed = json!({"status": "failed", "failureReason": "out of gas"});
    for (told, status) in [(&settled, "EXECUTED"), (&failed, "FAILED")] {
        let (_, proposed) = stand.pending(&gateway, escrow).await?;
        let name = request_hash(&proposed);
        let early = report(&operator, name, INTERNAL_TOKEN, told).await?;
        assert_eq!(early.status, 409, "people have not agreed yet: {}", early.body);
        job.approve_as_agent(name).await?.expect(201)?;
        let voted = job.approve_as_user(name).await?.expect(201)?;
        assert_eq!(voted["transactionStatus"], "APPROVED", "{voted}");

        let guessed = report(&operator, name, &INTERNAL_TOKEN.replace('0', "1"), told).await?;
        assert_eq!(guessed.status, 401, "{}", guessed.body);
        let public = report(gateway.client(), name, INTERNAL_TOKEN, told).await?;
        assert_eq!(public.status, 404, "the public listener has no such route: {}", public.body);
        report(&operator, name, INTERNAL_TOKEN, &json!({"status": "pending"})).await?.expect(200)?;
        let taken = report(&operator, name, INTERNAL_TOKEN, told).await?.expect(200)?;
        assert_eq!(taken["settlement"]["status"], told["status"], "{taken}");
        assert_eq!(
            report(&operator, name, INTERNAL_TOKEN, told).await?.expect(200)?,
            taken,
            "an equal repeat"
        );
        let other = if status == "EXECUTED" { &failed } else { &settled };
        report(&operator, name, INTERNAL_TOKEN, other).await?.expect(409)?;

        let ended = job.transaction(name).await?.context("the transaction is gone")?;
        assert_eq!(ended["status"], status, "{ended}");
        assert_eq!(ended["orionMetadata"]["settlement"], taken["settlement"], "{ended}");
        match status {
            "EXECUTED" => assert_eq!(ended["executionTxHash"], HASH, "{ended}"),
            _ => assert_eq!(ended["failureReason"], "settlement_failed", "{ended}"),
        }
    }
    assert!(stand.node.calls("eth_sendRawTransaction").is_empty(), "nothing is sent from here");
    stand.finish(gateway).await
}

/// T24: what is executed here is moved by a receipt of our own, and by no report.
#[tokio::test]
async fn what_is_executed_here_is_settled_by_nobody() -> Result<()> {
    let more = format!("[core]\ninternal_token = \"{INTERNAL_TOKEN}\"\n");
    let stand = Stand::with_configuration(&more).await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (job, operator) = (stand.job(&gateway), gateway.operator());
    let small = Transfer { value: U256::from(1), ..transfer(escrow) };
    let made = job.propose(&small).await?.expect(201)?;
    let failed = json!({"status": "failed", "failureReason": "none of ours"});
    let name = text(&made, "requestHash")?;
    report(&operator, name, INTERNAL_TOKEN, &failed).await?.expect(409)?;
    assert_eq!(job.final_transaction(name).await?["status"], "EXECUTED");
    report(&operator, name, INTERNAL_TOKEN, &failed).await?.expect(409)?;
    stand.finish(gateway).await
}
