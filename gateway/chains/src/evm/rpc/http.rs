//! [`EvmRpc`] over HTTP: one POST per call, no redirects, no retries, bounded time and size.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use async_trait::async_trait;
use gateway_domain::chain::StateRead;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::wire::{self, Fault, Reply};
use super::{
    Block, BlockTag, CallRequest, CountTag, EvmRpc, FeeQuote, KnownTransaction, NodeError, NodeRejection,
    Receipt,
};

/// Bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    pub connect_timeout: Duration,
    /// From the start of the call to the last byte of the answer.
    pub call_timeout: Duration,
    pub response_bytes_max: usize,
}

impl Default for RpcLimits {
    /// 2 s to connect, 10 s per call, 2 MiB: a full block of hashes is about 100 KiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            response_bytes_max: 2 * 1024 * 1024,
        }
    }
}

/// A node that is asked over HTTP. `Debug` leaves out the URL: it often holds an access key.
pub struct HttpEvmRpc {
    client: Client,
    url: Url,
    response_bytes_max: usize,
    next_id: AtomicU64,
}

impl fmt::Debug for HttpEvmRpc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpEvmRpc").finish_non_exhaustive()
    }
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RpcSetupError {
    #[error("node `rpc_url` must be an http or https URL")]
    Url,
    #[error("node client cannot be built")]
    Client(#[source] reqwest::Error),
}

impl HttpEvmRpc {
    pub fn new(url: &str, limits: RpcLimits) -> Result<Self, RpcSetupError> {
        let url = Url::parse(url).map_err(|_| RpcSetupError::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(RpcSetupError::Url);
        }
        let client = Client::builder()
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.call_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(RpcSetupError::Client)?;
        Ok(Self { client, url, response_bytes_max: limits.response_bytes_max, next_id: AtomicU64::new(1) })
    }

    async fn call(&self, method: &'static str, params: Value) -> Result<Value, NodeError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = self
            .client
            .post(self.url.clone())
            .json(&request)
            .send()
            .await
            .map_err(|error| unavailable(method, error))?;
        let status = response.status();
        let body = self.bounded_body(method, response).await?;
        // Several nodes put a proper JSON-RPC error under a 4xx or 5xx status: it says more.
        match serde_json::from_slice::<Reply>(&body) {
            Ok(reply) => accept(method, id, status, reply),
            Err(_) if !status.is_success() => Err(refused(method, status)),
            Err(_) => Err(malformed(method, "body is not a JSON-RPC reply")),
        }
    }

    async fn bounded_body(&self, method: &'static str, mut response: Response) -> Result<Vec<u8>, NodeError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(method, error))? {
            if body.len() + chunk.len() > self.response_bytes_max {
                return Err(malformed(method, "answer exceeds `response_bytes_max`"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn ask<T>(
        &self,
        method: &'static str,
        params: Value,
        read: impl FnOnce(&Value) -> Result<T, Fault> + Send,
    ) -> Result<T, NodeError> {
        let result = self.call(method, params).await?;
        read(&result).map_err(|fault| malformed(method, fault))
    }
}

#[async_trait]
impl EvmRpc for HttpEvmRpc {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.ask("eth_chainId", json!([]), wire::quantity_u64).await
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<Block>, NodeError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let parameter = match tag {
            BlockTag::Latest => "latest".to_owned(),
            BlockTag::Finalized => "finalized".to_owned(),
            BlockTag::Number(number) => format!("{number:#x}"),
        };
        let block = self.ask(METHOD, json!([parameter, false]), wire::block).await?;
        match (tag, block) {
            (BlockTag::Number(asked), Some(block)) if block.number != asked => {
                Err(malformed(METHOD, "block has another number"))
            }
            (_, block) => Ok(block),
        }
    }

    async fn fee_quote(&self) -> Result<FeeQuote, NodeError> {
        let latest = self.block(BlockTag::Latest).await?;
        let latest = latest.ok_or_else(|| malformed("eth_getBlockByNumber", "no newest block"))?;
        match latest.base_fee_per_gas {
            None => {
                let gas_price = self.ask("eth_gasPrice", json!([]), wire::quantity_u128).await?;
                Ok(FeeQuote::Legacy { gas_price })
            }
            Some(base_fee) => {
                let tip = self.ask("eth_maxPriorityFeePerGas", json!([]), wire::quantity_u128).await;
                let priority_fee = match tip {
                    // The policy's minimum tip applies.
                    Err(error) if error.reason == NodeRejection::MethodUnsupported => 0,
                    other => other?,
                };
                Ok(FeeQuote::Eip1559 { base_fee, priority_fee })
            }
        }
    }

    async fn transaction_count(&self, address: Address, tag: CountTag) -> Result<u64, NodeError> {
        let tag = match tag {
            CountTag::Latest => "latest".to_owned(),
            CountTag::Pending => "pending".to_owned(),
            CountTag::Block(number) => format!("{number:#x}"),
        };
        self.ask("eth_getTransactionCount", json!([hex0x(address), tag]), wire::quantity_u64).await
    }

    async fn balance(&self, address: Address) -> Result<U256, NodeError> {
        self.ask("eth_getBalance", json!([hex0x(address), "latest"]), wire::quantity).await
    }

    async fn read_state(&self, what: &StateRead, block: B256) -> Result<String, NodeError> {
        let block = json!({"blockHash": hex0x(block), "requireCanonical": true});
        match what {
            StateRead::Balance(address) => {
                self.ask("eth_getBalance", json!([hex0x(address), block]), wire::quantity_text).await
            }
            StateRead::TransactionCount(address) => {
                let parameters = json!([hex0x(address), block]);
                self.ask("eth_getTransactionCount", parameters, wire::quantity_text).await
            }
            StateRead::Code(address) => {
                self.ask("eth_getCode", json!([hex0x(address), block]), wire::bytes_text).await
            }
            StateRead::Storage { address, slot } => {
                let parameters = json!([hex0x(address), hex0x(slot), block]);
                self.ask("eth_getStorageAt", parameters, wire::bytes_text).await
            }
            StateRead::Call { to, data } => {
                let parameters = json!([{"to": hex0x(to), "data": hex0x(data)}, block]);
                self.ask("eth_call", parameters, wire::bytes_text).await
            }
        }
    }

    async fn estimate_gas(&self, call: &CallRequest) -> Result<u64, NodeError> {
        let call = json!({
            "from": hex0x(call.from),
            "to": hex0x(call.to),
            "value": format!("{:#x}", call.value),
            "data": hex0x(&call.data),
        });
        self.ask("eth_estimateGas", json!([call]), wire::quantity_u64).await
    }

    async fn call_contract(&self, call: &CallRequest, gas: u64, block: B256) -> Result<Bytes, NodeError> {
        let call = json!({
            "from": hex0x(call.from),
            "to": hex0x(call.to),
            "value": format!("{:#x}", call.value),
            "data": hex0x(&call.data),
            "gas": format!("{gas:#x}"),
        });
        let block = json!({"blockHash": hex0x(block), "requireCanonical": true});
        self.ask("eth_call", json!([call, block]), wire::bytes).await
    }

    async fn send_raw_transaction(&self, raw: &[u8]) -> Result<B256, NodeError> {
        let expected = keccak256(raw);
        self.ask("eth_sendRawTransaction", json!([hex0x(raw)]), |result| {
            if wire::hash(result)? == expected {
                Ok(expected)
            } else {
                Err("hash is not that of the transaction sent")
            }
        })
        .await
    }

    async fn transaction_receipt(&self, hash: B256) -> Result<Option<Receipt>, NodeError> {
        self.ask("eth_getTransactionReceipt", json!([hex0x(hash)]), |result| wire::receipt(result, hash))
            .await
    }

    async fn transaction_by_hash(&self, hash: B256) -> Result<Option<KnownTransaction>, NodeError> {
        self.ask("eth_getTransactionByHash", json!([hex0x(hash)]), |result| {
            wire::known_transaction(result, hash)
        })
        .await
    }
}

fn accept(method: &'static str, id: u64, status: StatusCode, reply: Reply) -> Result<Value, NodeError> {
    // A request that could not be read is answered with id null (JSON-RPC 2.0, section 5).
    let own = reply.id.as_u64() == Some(id) || (reply.error.is_some() && reply.id.is_null());
    if reply.jsonrpc != "2.0" || !own {
        return Err(malformed(method, "reply does not belong to the request"));
    }
    match (reply.result, reply.error) {
        (None | Some(Value::Null), Some(error)) => {
            let reason = NodeRejection::classify(error.code, &error.message);
            Err(NodeError::new(method, reason, &format!("{}: {}", error.code, error.message)))
        }
        (Some(result), None) if status.is_success() => Ok(result),
        (Some(_), None) => Err(refused(method, status)),
        (Some(_), Some(_)) | (None, None) => Err(malformed(method, "reply needs one of result and error")),
    }
}

fn refused(method: &'static str, status: StatusCode) -> NodeError {
    let transient = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let reason = if transient { NodeRejection::Unavailable } else { NodeRejection::Other };
    NodeError::new(method, reason, &format!("http status {status}"))
}

fn malformed(method: &'static str, fault: Fault) -> NodeError {
    NodeError::new(method, NodeRejection::Malformed, fault)
}

fn unavailable(method: &'static str, error: reqwest::Error) -> NodeError {
    let mut text = error.without_url().to_string();
    text.insert_str(0, "transport: ");
    NodeError::new(method, NodeRejection::Unavailable, &text)
}

fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests;
