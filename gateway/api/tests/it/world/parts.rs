//! What a world is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use gateway_api::Spawner;
use gateway_chains::evm::codec::EvmCodec;
use gateway_domain::{
    B256, OpCtx, Timestamp,
    chain::ChainId,
    credentials::{CreateApiKey, Label, create_api_key},
    ids::{CredentialId, InstanceId, OrganizationId, PluginRevisionId},
    mac::{MacKey, MacKeys},
    policy::{Examined, PERMIT_LIFETIME, PluginRevision},
    ports::{Chain, Limits, Services, StateLimits},
    sealed::Sealer,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{CHAIN, INTERNAL_TOKEN, World, component_digest};
use crate::doubles::TestNode;

pub(super) async fn open_store(
    directory: &Path,
    sealer: &Arc<Sealer>,
    outbox_written: &Arc<Notify>,
) -> Store {
    let url = DatabaseUrl::new(format!("sqlite://{}", directory.join("api.db").display()));
    let config = StoreConfig { migrate: true, ..StoreConfig::new(url) };
    let instance = InstanceId::from_uuid(Uuid::new_v4());
    let store = Store::open(config, sealer.clone(), instance, outbox_written.clone()).await.unwrap();
    store.set_log_fault(None);
    store
}

pub(super) fn mac_keys(byte: u8) -> MacKeys {
    MacKeys::new(BTreeMap::from([(1, MacKey::new([byte; 32]))]), 1)
}

pub(super) fn spawner(tasks: &TaskTracker) -> Spawner {
    let tasks = tasks.clone();
    Arc::new(move |task| {
        tasks.spawn(task);
    })
}

pub(crate) fn limits() -> Limits {
    Limits {
        permit_lifetime: PERMIT_LIFETIME,
        denied_tries_max: 5,
        denied_window: Duration::from_mins(10),
        wallet_keys_max: 5_000,
        user_api_keys_max: 20,
        votes_per_principal_max: 3,
        open_proposals_max: 100,
        recovery_delay: Duration::from_hours(24 * 7),
        rollback_window: Duration::from_hours(24),
        proposal_bytes_max: 64 << 10,
        plugin_revisions_max: 100,
        vaults_max: 100,
        dry_run_evaluations_daily_max: 1_000,
        self_registered_keys_max: 1_000,
        idempotency_window: Duration::from_hours(24),
        contest_attempts_max: 8,
        poll_interval: Duration::from_secs(1),
        unavailable_pause: Duration::from_secs(2),
        evidence_pause: Duration::from_mins(1),
        state: StateLimits { rows_max: 1_024, reservations_max: 256 },
    }
}

pub(super) fn internal_token_hash() -> B256 {
    use sha2::{Digest, Sha256};
    B256::new(Sha256::digest(INTERNAL_TOKEN).into())
}

pub(super) type Keys = (BTreeMap<&'static str, String>, BTreeMap<&'static str, CredentialId>);

/// A key of each server label, and `dev`, an admin key for loopback peers.
pub(super) async fn make_keys(services: &Services, organization: OrganizationId) -> Keys {
    let (mut texts, mut ids) = (BTreeMap::new(), BTreeMap::new());
    let ctx = OpCtx::gateway(organization, services.clock.now());
    for (name, label) in [
        ("admin", Label::Admin),
        ("agent", Label::Agent),
        ("arbiter", Label::Arbiter),
        ("orion", Label::Orion),
        ("dev", Label::Admin),
    ] {
        let request = CreateApiKey {
            label,
            name: name.to_owned(),
            principal: None,
            expires_at: None,
            // An orion key without a service is for development only.
            dev_only: name == "dev" || label == Label::Orion,
            verification_service: None,
        };
        let (key, text) = create_api_key(&ctx, services, request).await.unwrap();
        texts.insert(name, text.reveal().to_string());
        ids.insert(name, key.id);
    }
    (texts, ids)
}

pub(super) fn chains(node: Arc<TestNode>) -> BTreeMap<ChainId, Chain> {
    let id = ChainId::eip155(CHAIN).unwrap();
    let chain = Chain {
        id,
        codec: Arc::new(EvmCodec),
        node,
        confirmations: 1,
        gas_max: 3_000_000,
        fee_per_gas_max: 500_000_000_000,
        stuck_after: Duration::from_mins(5),
    };
    BTreeMap::from([(id, chain)])
}

impl World {
    /// Seconds that no request was signed at before, within the window that signatures have.
    pub(crate) fn signing_time(&self) -> u64 {
        let earliest = self.seconds() - 250;
        let next = |last: u64| Some(if last < earliest + 500 { earliest.max(last + 1) } else { earliest });
        let last = self.signed_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        next(last.unwrap_or_default()).unwrap_or(earliest)
    }

    /// Removes what has expired, and tells how many rows that were.
    pub(crate) async fn purge(&self) -> u64 {
        self.store.purge(self.services.clock.now(), 1_000).await.unwrap().rows
    }
}

/// Of the component that [`TestPlugin`] stands for.
pub(super) fn revision(organization: OrganizationId, plugin: &str, at: Timestamp) -> PluginRevision {
    PluginRevision {
        id: PluginRevisionId::from_uuid(Uuid::new_v4()),
        organization,
        plugin: plugin.to_owned(),
        component_digest: component_digest(),
        settings: "{}".to_owned(),
        grants: BTreeSet::new(),
        examined: Examined::default(),
        signature: None,
        uploaded_by: None,
        created_at: at,
    }
}
