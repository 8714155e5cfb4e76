//! A small JSON-RPC client for what the tests ask of an EVM node.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::client;
use crate::wait::until;

const DEPLOYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

#[derive(Clone)]
pub struct Node {
    http: reqwest::Client,
    url: String,
}

impl Node {
    pub fn new(url: impl Into<String>) -> Node {
        Node { http: client::http(), url: url.into() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply: Value = self.http.post(&self.url).json(&request).send().await?.json().await?;
        if let Some(error) = reply.get("error") {
            bail!("`{method}` failed: {error}");
        }
        reply.get("result").cloned().with_context(|| format!("`{method}` answered neither result nor error"))
    }

    pub async fn balance(&self, address: Address) -> Result<U256> {
        self.quantity("eth_getBalance", json!([address, "latest"])).await
    }

    /// Transactions that `address` has on the chain.
    pub async fn transaction_count(&self, address: Address) -> Result<U256> {
        self.quantity("eth_getTransactionCount", json!([address, "latest"])).await
    }

    pub async fn set_balance(&self, address: Address, wei: U256) -> Result<()> {
        self.call("anvil_setBalance", json!([address, wei])).await.map(drop)
    }

    pub async fn set_automine(&self, on: bool) -> Result<()> {
        self.call("evm_setAutomine", json!([on])).await.map(drop)
    }

    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.call("anvil_mine", json!([U256::from(blocks)])).await.map(drop)
    }

    /// Creates a contract from anvil's first account and answers with its address.
    pub async fn deploy(&self, code: &str) -> Result<Address> {
        let transaction = json!([{"from": DEPLOYER, "data": code, "gas": "0x100000"}]);
        let hash = self.call("eth_sendTransaction", transaction).await?;
        let receipt = until("the contract's receipt", Duration::from_secs(30), async || {
            let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await?;
            Ok((!receipt.is_null()).then_some(receipt))
        })
        .await?;
        Ok(serde_json::from_value(receipt["contractAddress"].clone())?)
    }

    /// The signed bytes of a transaction, as hex.
    pub async fn raw_transaction(&self, hash: &str) -> Result<String> {
        let raw = self.call("eth_getRawTransactionByHash", json!([hash])).await?;
        raw.as_str()
            .map(str::to_owned)
            .with_context(|| format!("the node does not know transaction `{hash}`"))
    }

    async fn quantity(&self, method: &str, params: Value) -> Result<U256> {
        Ok(serde_json::from_value(self.call(method, params).await?)?)
    }
}
