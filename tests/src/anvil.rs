//! A local EVM node with a chain of its own.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::node::Node;
use crate::process::Service;
use crate::{environment, wait};

const START_DEADLINE: Duration = Duration::from_secs(20);

pub struct Anvil {
    service: Service,
    chain_id: u64,
    node: Node,
}

impl Anvil {
    pub async fn start(chain_id: u64) -> Result<Anvil> {
        let port = environment::free_loopback_address()?.port().to_string();
        let chain = chain_id.to_string();
        // On one thread. With more, a transaction may be taken while the one with the nonce before it is mined; the node
        // then never mines it, nor anything after it.
        let service = Service::start(
            environment::anvil_binary()?.as_os_str(),
            ["--host", "127.0.0.1", "--port", &port, "--chain-id", &chain, "--silent", "--threads", "1"],
        )?;
        let node = Node::new(format!("http://127.0.0.1:{port}"));
        wait::until("the EVM node to answer", START_DEADLINE, async || {
            Ok(node.call("eth_chainId", json!([])).await.ok())
        })
        .await?;
        Ok(Anvil { service, chain_id, node })
    }

    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn process_id(&self) -> u32 {
        self.service.process_id()
    }
}
