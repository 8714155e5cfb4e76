//! The registry contract on a test's own chain.

use std::fs;

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::environment;
use crate::node::Node;

/// Where the first contract of anvil's first account lies.
pub const ADDRESS: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

/// The section of the configuration file for it.
pub fn configuration(chain_id: u64) -> String {
    format!("[onchain_registry]\nchain = \"eip155:{chain_id}\"\naddress = \"{ADDRESS}\"\n")
}

/// Deploys it from the committed bytecode.
pub async fn deploy(node: &Node) -> Result<()> {
    let compiled = fs::read(environment::root().join("deploy/contracts/Registry.json"))?;
    let compiled: Value = serde_json::from_slice(&compiled)?;
    let code = compiled["bytecode"].as_str().context("no bytecode")?;
    let address = node.deploy(code).await?;
    ensure!(address == ADDRESS.parse::<Address>()?, "deployed at {address}");
    Ok(())
}

/// The digest on record for a request, sent by this relayer.
pub async fn cid_digest(node: &Node, relayer: Address, request_hash: B256) -> Result<B256> {
    ask(node, "cidDigestOf(address,bytes32)", [relayer.into_word(), request_hash]).await
}

/// The fingerprint on record for an account, in the first 20 bytes.
pub async fn fingerprint(node: &Node, relayer: Address, account: Address) -> Result<B256> {
    ask(node, "fingerprintOf(address,address)", [relayer.into_word(), account.into_word()]).await
}

async fn ask(node: &Node, signature: &str, words: [B256; 2]) -> Result<B256> {
    let selector = keccak256(signature);
    let data = [&selector[..4], words[0].as_slice(), words[1].as_slice()].concat();
    let call = json!([{"to": ADDRESS, "data": format!("0x{}", hex::encode(data))}, "latest"]);
    let answer = node.call("eth_call", call).await?;
    serde_json::from_value(answer).context("the contract answered no word")
}
