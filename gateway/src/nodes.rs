//! Whether the chains' nodes answer: asked once at the start and by `doctor`, so that nobody has to guess why a signed
//! transaction is not sent.

use std::collections::BTreeMap;

use gateway_domain::{Address, chain::ChainId, ports::Chain};

pub(crate) const ADVICE: &str =
    "start the node, or correct `chains.rpc_urls`; transactions wait until it answers";

/// What is wrong with the chain's node, if anything is.
pub(crate) async fn fault(chain: &Chain) -> Option<String> {
    // Any question will do; this one needs no state of the chain.
    let asked = chain.node.account(Address::ZERO).await;
    let error = asked.err()?;
    Some(format!("{:#}", anyhow::Error::from(error)))
}

/// Warns of each node that does not answer.
pub(crate) async fn warn_of_absent(chains: &BTreeMap<ChainId, Chain>) {
    for chain in chains.values() {
        if let Some(cause) = fault(chain).await {
            tracing::warn!(chain.id = %chain.id, cause, "a chain's node does not answer: {ADVICE}");
        }
    }
}
