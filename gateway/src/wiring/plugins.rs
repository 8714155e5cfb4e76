//! Connects what plugins may be granted to ask.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use gateway_chains::{evm::node::EvmNode, registry::ChainRegistry};
use gateway_domain::chain::{ChainId, ChainState};

use crate::{
    adapters::{evaluator::Sources, outside::Upstreams},
    config::{Chain, Config},
};

pub(crate) fn sources(config: &Config) -> Result<Sources> {
    Ok(Sources {
        history: config.plugins.history_limits(),
        upstreams: Arc::new(upstreams(config)?),
        chains: chains(config)?,
    })
}

fn upstreams(config: &Config) -> Result<Upstreams> {
    let common = config.egress.egress_config()?;
    let connected = config
        .plugin_upstreams
        .iter()
        .map(|upstream| Ok((upstream.name.clone(), (upstream.organization()?, upstream.connect(&common)?))));
    Ok(Upstreams::new(connected.collect::<Result<_>>()?))
}

/// Clients apart from those that follow transactions: what plugins ask holds nothing up.
fn chains(config: &Config) -> Result<BTreeMap<ChainId, Arc<dyn ChainState>>> {
    let configs = config.chains.iter().map(Chain::chain_config).collect::<Result<Vec<_>, _>>()?;
    let mut chains = BTreeMap::new();
    for chain in ChainRegistry::new(configs)?.iter() {
        let clients = chain.rpc_clients()?;
        if !clients.is_empty() {
            let state: Arc<dyn ChainState> = Arc::new(EvmNode::new(clients, chain.clone()));
            chains.insert(chain.id, state);
        }
    }
    Ok(chains)
}
