//! IPFS for the gateway: content is named here, as Kubo names it by default, and pinned by a Kubo node where one is
//! configured. A node is never believed: the name it gives is compared with the one computed here.
#![forbid(unsafe_code)]

mod kubo;
mod name;

use async_trait::async_trait;
use gateway_domain::{
    B256, Error, Result,
    payloads::{Addressed, Ipfs},
};

pub use kubo::{Kubo, KuboLimits, KuboSetupError};
pub use name::{CONTENT_BYTES_MAX, TooLong};

/// Names content, and pins it with the node if there is one.
pub struct Blocks {
    node: Option<Kubo>,
}

impl Blocks {
    pub fn new(node: Option<Kubo>) -> Self {
        Self { node }
    }
}

#[async_trait]
impl Ipfs for Blocks {
    fn address(&self, content: &[u8]) -> Result<Addressed> {
        let named = name::file(content).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Addressed { cid: named.cid.to_string(), root: B256::new(named.digest), block: named.block })
    }

    fn named(&self, cid: &str, content: &[u8]) -> Option<Addressed> {
        let named = name::named(cid, content)?;
        Some(Addressed { cid: cid.to_owned(), root: B256::new(named.digest), block: named.block })
    }

    fn content(&self, block: &[u8], cid: &str, root: B256) -> Result<Vec<u8>> {
        let content = name::content(block, cid, root.0);
        content.ok_or_else(|| Error::inconsistency("a stored block is not what its name says"))
    }

    fn has_node(&self) -> bool {
        self.node.is_some()
    }

    async fn pin(&self, content: &[u8], cid: &str) -> Result<()> {
        match &self.node {
            Some(node) => node.pin(content, cid).await,
            None => Ok(()),
        }
    }
}
