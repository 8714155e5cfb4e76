//! Plugins in JavaScript and Python behind the real gateway: installed, heard, and replayed.

use std::fs;

use alloy_primitives::Address;
use anyhow::{Context, Result};
use countersign_tests::configuration::PATIENT_TO_COMPILE;
use countersign_tests::environment;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::text;
use countersign_tests::wallet::Wallet;
use serde_json::{Value, json};

use crate::control::order;
use crate::plugin_outside::install;
use crate::stand::{CHAIN_ID, Stand, request_hash};

/// Tests here run on several threads, so that connections that end during a long command are noticed.
const TOKEN: Address = Address::repeat_byte(0xdd);

async fn propose(stand: &Stand, gateway: &Gateway, escrow: Address, changes: Value) -> Result<Value> {
    let mut body = json!({
        "escrowAddress": escrow, "to": Address::repeat_byte(0xbb), "value": "1", "chainId": CHAIN_ID,
    });
    for (name, value) in changes.as_object().context("changes")? {
        body[name] = value.clone();
    }
    gateway.client().post("/transactions", stand.job(gateway).admin(), &body).await?.expect(201)
}

async fn assert_replays(stand: &Stand, gateway: &Gateway, proposed: &Value) -> Result<()> {
    let status = stand.job(gateway).approval_status(request_hash(proposed)).await?;
    let told = order(&stand.installation, &["plugin", "replay", text(&status, "transactionId")?])?;
    assert_eq!(told["same"], true, "{told}");
    Ok(())
}

/// `transfer(address,uint256)`, as wallets encode it.
fn token_transfer(to: Address) -> Value {
    let arguments = format!("{}{}{:064x}", "0".repeat(24), hex::encode(to), 7);
    json!({ "to": TOKEN, "value": "0", "data": format!("0xa9059cbb{arguments}") })
}

#[tokio::test(flavor = "multi_thread")]
async fn allowlist_in_javascript_holds_transactions_to_its_list() -> Result<()> {
    let stand = Stand::with_configuration(PATIENT_TO_COMPILE).await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    // In mixed case on the way in, so that one form is what the plugin sees.
    let (listed, stranger) = (Wallet::random().address(), Wallet::random().address());
    let chain = format!("eip155:{CHAIN_ID}");
    let settings = json!({ "chains": { chain: {
        "recipients": { format!("{listed:#x}"): "Treasury" }, "tokens": { format!("{TOKEN:#x}"): "USDX" },
    } } });
    install(&stand, "allowlist", &settings.to_string(), &["settings"])?;

    let to = |to: Address| json!({ "to": to });
    for allowed in [to(listed), token_transfer(listed)] {
        let proposed = propose(&stand, &gateway, escrow, allowed).await?;
        assert_ne!(proposed["status"], "REJECTED", "{proposed}");
        assert_replays(&stand, &gateway, &proposed).await?;
    }
    // What was asked and answered is a case for its author, without a gateway.
    let last = propose(&stand, &gateway, escrow, token_transfer(stranger)).await?;
    let status = stand.job(&gateway).approval_status(request_hash(&last)).await?;
    let transaction = text(&status, "transactionId")?.to_owned();
    let data_dir = stand.installation.data_dir();
    let data_dir = data_dir.to_str().context("path")?;
    let recorded = ["plugin", "record", &transaction, "--plugin", "allowlist", "--data-dir", data_dir];
    let recorded = stand.installation.command(&recorded)?;
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let cases = stand.installation.data_dir().join("recorded.json");
    fs::write(&cases, &recorded.stdout)?;
    let recorded: Value = serde_json::from_slice(&recorded.stdout)?;
    let claimed = &recorded["cases"][0]["given"]["claimed"];
    assert_eq!(claimed["reference"], json!(request_hash(&last)), "{claimed}");
    assert_eq!(claimed["extra"], json!([["execution-type", "direct-user"]]), "{claimed}");
    let component = environment::gateway_binary()?.with_file_name("../guests/allowlist.wasm");
    let test = [component.to_str().context("path")?, cases.to_str().context("path")?];
    let tested = stand.installation.command(&["plugin", "test", test[0], test[1], "--json"])?;
    let told: Value = serde_json::from_slice(&tested.stdout)?;
    assert_eq!((&told["passed"], &told["failed"]), (&json!(1), &json!(0)), "{told}");
    for denied in [to(stranger), token_transfer(stranger), to(TOKEN)] {
        let proposed = propose(&stand, &gateway, escrow, denied).await?;
        assert_eq!(proposed["status"], "REJECTED", "{proposed}");
        assert_replays(&stand, &gateway, &proposed).await?;
    }
    stand.finish(gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn travel_rule_threshold_in_python_demands_a_note_and_an_arbiter() -> Result<()> {
    let stand = Stand::with_configuration(PATIENT_TO_COMPILE).await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let chain = format!("eip155:{CHAIN_ID}");
    let threshold = json!({ "chain": chain, "asset": "native", "decimals": 0, "amount": "1000" });
    let settings = json!({
        "thresholds": [threshold], "requiredClaims": ["description"], "approvals": { "arbiter": 1 },
    });
    install(&stand, "travel_rule_threshold", &settings.to_string(), &["settings"])?;

    let below = propose(&stand, &gateway, escrow, json!({ "value": "999" })).await?;
    assert_ne!(below["status"], "REJECTED", "{below}");
    let silent = propose(&stand, &gateway, escrow, json!({ "value": "1000" })).await?;
    assert_eq!(silent["status"], "REJECTED", "{silent}");
    let said = propose(&stand, &gateway, escrow, json!({ "value": "1000", "note": "invoice 7" })).await?;
    assert_eq!(said["status"], "PENDING", "{said}");
    let status = stand.job(&gateway).approval_status(request_hash(&said)).await?;
    assert!(status["required"].to_string().contains("arbiter"), "{status}");
    for proposed in [&below, &silent, &said] {
        assert_replays(&stand, &gateway, proposed).await?;
    }
    stand.finish(gateway).await
}
