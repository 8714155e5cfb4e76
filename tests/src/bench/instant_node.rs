//! An EVM node that answers at once and keeps no chain: what the gateway's own work costs, without a node's.
//! Every transaction counts as mined in one block that never changes.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::keccak256;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use gateway_chains::evm::transaction::UnsignedTransaction;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const BLOCK_NUMBER: &str = "0x3e8";
const BLOCK_HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000003e8";
const PARENT_HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000003e7";

pub(crate) struct InstantNode {
    url: String,
    chain: Arc<Chain>,
}

struct Chain {
    id: u64,
    calls: AtomicUsize,
    /// Transactions by sender.
    sent: Mutex<HashMap<String, u64>>,
}

impl InstantNode {
    /// Serves on the runtime that this is called from, for as long as that runs.
    pub(crate) async fn start(chain_id: u64) -> Result<InstantNode> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let chain = Arc::new(Chain { id: chain_id, calls: AtomicUsize::new(0), sent: Mutex::default() });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&chain));
        tokio::spawn(async move {
            // It ends with its runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok(InstantNode { url, chain })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.chain.calls.load(Ordering::Relaxed)
    }
}

async fn answer(State(chain): State<Arc<Chain>>, body: Bytes) -> Response {
    chain.calls.fetch_add(1, Ordering::Relaxed);
    match chain.answer(&body) {
        Ok(reply) => ([("content-type", "application/json")], reply.to_string()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

impl Chain {
    fn answer(&self, body: &[u8]) -> Result<Value> {
        let request: Value = serde_json::from_slice(body)?;
        let method = request["method"].as_str().context("a call without a method")?;
        let params = &request["params"];
        let result = match method {
            "eth_chainId" => json!(format!("{:#x}", self.id)),
            "eth_getTransactionCount" => json!(format!("{:#x}", self.sent_by(&params[0]))),
            "eth_getBalance" => json!("0x56bc75e2d63100000"),
            "eth_getBlockByNumber" => json!({
                "number": BLOCK_NUMBER, "hash": BLOCK_HASH, "parentHash": PARENT_HASH,
                "timestamp": "0x65f00000", "baseFeePerGas": "0x3b9aca00",
            }),
            "eth_maxPriorityFeePerGas" => json!("0x3b9aca00"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_sendRawTransaction" => {
                let raw = params[0].as_str().and_then(|text| text.strip_prefix("0x")).context("no bytes")?;
                let raw = hex::decode(raw)?;
                let (_, signed) = UnsignedTransaction::decode_signed(&raw)?;
                let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                *sent.entry(format!("{:#x}", signed.sender)).or_default() += 1;
                json!(keccak256(raw))
            }
            "eth_getTransactionReceipt" => json!({
                "transactionHash": params[0], "blockHash": BLOCK_HASH, "blockNumber": BLOCK_NUMBER,
                "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x77359400",
            }),
            other => anyhow::bail!("method `{other}` is not answered here"),
        };
        Ok(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
    }

    fn sent_by(&self, sender: &Value) -> u64 {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_str().and_then(|sender| sent.get(sender).copied()).unwrap_or(0)
    }
}
