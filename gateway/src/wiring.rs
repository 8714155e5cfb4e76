//! Puts the parts together: the only file that names concrete adapters.

use std::{collections::BTreeMap, env, sync::Arc};

use anyhow::{Context as _, Result, bail};
use gateway_chains::{
    evm::{codec::EvmCodec, node::EvmNode},
    registry::ChainRegistry,
};
use gateway_domain::{
    Clock,
    chain::{ChainNode, PayloadCodec},
    credentials::CredentialHasher,
    entropy::Entropy,
    ids::InstanceId,
    ports::{Chain, Publication, Services, VendorReads as _},
    rates::RatePlaces,
    sealed::Sealer,
    sessions::Sessions,
};
use gateway_ipfs::{Blocks, Kubo};
use gateway_store::{CharterExpected, Store};
use hsm::{Hsm, KeyReference};
use plugin_host::{CacheKey, CompileCommand, PluginHost};
use tokio::sync::Notify;

use crate::{
    adapters::{
        checkpoint_signer::HsmCheckpointSigner,
        evaluator::PluginEvaluator,
        node::UnconfiguredNode,
        openpgp::HsmOpenPgp,
        relayer::HsmRelayer,
        signer::HsmSigner,
        system::{SystemClock, SystemEntropy},
        token_keys::HsmTokenKeys,
        token_signer::HsmTokenSigner,
    },
    checkpoints::Checkpoints,
    config::{Config, ConfigError},
    data_dir::DataDir,
    system_keys::{self, Absent},
};

pub(crate) mod plugins;
mod vendors;

/// Every part of a gateway, connected and not yet serving.
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) services: Services,
    pub(crate) hsm: Hsm,
    pub(crate) store: Arc<Store>,
    pub(crate) plugins: Arc<PluginEvaluator>,
    pub(crate) instance: InstanceId,
    /// Whether the token says that a charter was founded.
    pub(crate) is_chartered: bool,
    /// Whether it says that the installation was made for development.
    pub(crate) is_development: bool,
    /// Signs audit checkpoints; its fingerprint is what auditors pin.
    pub(crate) checkpoint_key: KeyReference,
    pub(crate) data_dir: DataDir,
    /// Where sources are counted under the rates that gateways share.
    pub(crate) rate_places: Arc<RatePlaces>,
}

/// Name of the hidden command that compiles a plugin in a process of its own.
pub(crate) const COMPILE_COMMAND: &str = "compile-plugin";

/// Connects everything. With [`Absent::Create`] the token's system keys are made if they are absent: first start of
/// a new deployment only.
pub(crate) async fn build(config: Config, data_dir: DataDir, absent: Absent) -> Result<Gateway> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let hsm = start_hsm(&config, &data_dir, absent).await?;
    let epochs = config.core.key_epochs();
    let keys = system_keys::load(&hsm, absent, &epochs)
        .await
        .context("loading the gateway's own keys from the token")?;
    let sealer = Arc::new(Sealer::new(keys.sealing));
    let instance = InstanceId::generate(clock.now(), entropy.as_ref());
    let outbox_written = Arc::new(Notify::new());
    let store =
        Store::open(config.database.store_config()?, sealer.clone(), instance, outbox_written.clone()).await;
    let store = Arc::new(store.context("opening the database")?);
    expect_charter(&store, (keys.is_chartered, keys.is_development), absent);
    let wait = config.hsm.others_wait();
    let tokens = system_keys::load_token_keys(&hsm, &store, (absent, epochs.token), wait)
        .await
        .context("loading the keys of access tokens from the token")?;
    let secrets = store.sealed_counts().await.context("counting sealed secrets")?;
    system_keys::refuse_unopened_secrets(&hsm, secrets, &epochs.secrets).await?;
    let sealing = system_keys::load_sealing_keys(&hsm, &store, (absent, &epochs.secrets), wait)
        .await
        .context("loading the keys that seal secrets from the token")?;

    let plugins = Arc::new(start_plugins(&config, &data_dir, keys.plugin_cache, store.clone())?);
    let (chains, domain_chain) = chains(&config)?;
    let vendors = vendors::connect(&config, &hsm, sealing, (clock.clone(), entropy.clone()))?;
    let services = Services {
        store: store.clone(),
        sealer,
        clock: clock.clone(),
        entropy,
        credentials: Arc::new(CredentialHasher::new(keys.credentials)),
        sessions: Arc::new(Sessions {
            signer: Arc::new(HsmTokenSigner { hsm: hsm.clone(), keys: tokens }),
            nonces: keys.nonces,
            issuer: config.core.sessions.issuer.clone().unwrap_or_else(|| config.server.origin()),
            limits: config.core.session_limits(),
        }),
        contract_accounts: config.core.contract_accounts.contract_accounts(),
        signer: Arc::new(HsmSigner { hsm: hsm.clone(), clock }),
        token_keys: Arc::new(HsmTokenKeys { hsm: hsm.clone(), token_id: token_name(&config)? }),
        evaluator: plugins.clone(),
        vendors,
        publication: publication(&config, &hsm)?,
        chains: Arc::new(chains),
        limits: config.limits.domain_limits(config.plugins.state_limits()),
        state_turns: Arc::default(),
        origin: config.server.origin(),
        tenant_origins: Arc::new(config.tenant_origins()?),
        domain_chain,
        proven_signatures: Arc::default(),
        nonces: Arc::default(),
        denials: Arc::default(),
        outbox_written,
    };
    Ok(Gateway {
        config,
        services,
        hsm,
        store,
        plugins,
        instance,
        is_chartered: keys.is_chartered,
        is_development: keys.is_development,
        checkpoint_key: keys.checkpoint,
        data_dir,
        rate_places: Arc::new(keys.rate_places),
    })
}

fn publication(config: &Config, hsm: &Hsm) -> Result<Publication> {
    let limits = config.ipfs.kubo_limits();
    let node = config.ipfs.kubo_url.as_ref().map(|url| Kubo::new(url.expose(), limits)).transpose()?;
    Ok(Publication {
        openpgp: Arc::new(HsmOpenPgp {
            hsm: hsm.clone(),
            content_bytes_max: config.openpgp.content_bytes_max,
        }),
        ipfs: Arc::new(Blocks::new(node)),
        relayer: Arc::new(HsmRelayer { hsm: hsm.clone() }),
        registry: config.onchain_registry.target(&config.limits)?,
        payloads: config.openpgp.payload_quota(&config.limits),
    })
}

async fn start_hsm(config: &Config, data_dir: &DataDir, absent: Absent) -> Result<Hsm> {
    let mut settings = config.hsm.hsm_config(data_dir.path())?;
    settings.create_canary = absent == Absent::Create;
    Hsm::start(settings).await.context("starting the HSM layer")
}

fn start_plugins(
    config: &Config,
    data_dir: &DataDir,
    cache_key: [u8; 32],
    store: Arc<Store>,
) -> Result<PluginEvaluator> {
    let program = env::current_exe().context("finding this program's own path, to compile plugins with")?;
    let command = CompileCommand { program, arguments: vec![COMPILE_COMMAND.into()] };
    let host = config.plugins.host_config(command, CacheKey::new(cache_key), data_dir.path());
    let host = PluginHost::start(&host).context("starting the plugin host")?;
    Ok(PluginEvaluator::new(host, store, plugins::sources(config)?, config.plugins.prepared_max))
}

/// As the token remembers the founding; what is being founded is neither yet.
fn expect_charter(store: &Store, (is_chartered, is_development): (bool, bool), absent: Absent) {
    if is_chartered {
        store.expect_charter(CharterExpected::Founded);
    } else if !is_development && absent == Absent::Refuse {
        store.expect_charter(CharterExpected::NotDevelopment);
    }
}

fn token_name(config: &Config) -> Result<String> {
    Ok(config.hsm.token_label.clone().ok_or(ConfigError::Missing("hsm.token_label"))?)
}

/// The chains by id, and the number of the first configured one.
pub(crate) fn chains(config: &Config) -> Result<(BTreeMap<gateway_domain::chain::ChainId, Chain>, u64)> {
    let configs =
        config.chains.iter().map(crate::config::Chain::chain_config).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = configs.first().map(|chain| chain.id.number()) else {
        bail!("`chains` names no chain: at least one is needed")
    };
    let registry = ChainRegistry::new(configs)?;
    let codec: Arc<dyn PayloadCodec> = Arc::new(EvmCodec);
    let mut chains = BTreeMap::new();
    for (chain, section) in registry.iter().zip(sorted_sections(config)) {
        let clients = chain.rpc_clients()?;
        let node: Arc<dyn ChainNode> = if clients.is_empty() {
            Arc::new(UnconfiguredNode)
        } else {
            Arc::new(EvmNode::new(clients, chain.clone()))
        };
        let chain = Chain {
            id: chain.id,
            codec: codec.clone(),
            node,
            confirmations: chain.confirmations,
            gas_max: chain.gas_limit_max,
            fee_per_gas_max: chain.fee_per_gas_max_wei.into(),
            stuck_after: section.stuck_after(),
        };
        chains.insert(chain.id, chain);
    }
    Ok((chains, first))
}

/// The sections in the registry's order.
fn sorted_sections(config: &Config) -> Vec<&crate::config::Chain> {
    let mut sections: Vec<_> = config.chains.iter().collect();
    sections.sort_by_key(|section| section.chain_config().map(|chain| chain.id).ok());
    sections
}

impl Gateway {
    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints {
            store: self.store.clone(),
            signer: Arc::new(HsmCheckpointSigner { hsm: self.hsm.clone(), key: self.checkpoint_key.clone() }),
            clock: self.services.clock.clone(),
            config: self.config.audit.clone(),
            anchor: self.data_dir.anchor(),
        }
    }

    /// Hex SHA-256 of the checkpoint key's public point.
    pub(crate) fn fingerprint(&self) -> String {
        system_keys::fingerprint(&self.checkpoint_key)
    }

    /// Closes the database and the token; for commands and the end of a server. The data directory stays locked until
    /// the gateway is dropped.
    pub(crate) async fn close(&self) {
        self.store.close().await;
        self.hsm.shutdown().await;
    }
}
