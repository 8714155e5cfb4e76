//! A running gateway: listeners, workers and checkpoints from start to drain.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use gateway_api::{ApiState, OperatorState, OwnedTask, Readiness, ReadinessProbe, StoreHealth};
use gateway_domain::{
    B256,
    ids::OrganizationId,
    operators::open_recovery,
    ports::{OperatorReads as _, Services},
    sessions::remove_expired_sessions,
};
use gateway_store::Integrity;
use metrics_exporter_prometheus::PrometheusHandle;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bootstrap,
    cli::Order,
    config::Config,
    control::{self, Socket},
    listener::{self, Bounds},
    nodes, resealing, system_keys, unfinished_keys, verification_services,
    wiring::Gateway,
    worker,
};

const HEALTH_DEADLINE: Duration = Duration::from_secs(2);
const PURGE_INTERVAL: Duration = Duration::from_mins(1);
const PURGE_ROWS: u32 = 10_000;
const PURGE_SESSIONS: u32 = 500;

/// How often it is looked whether the token is still within this process's reach.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);
/// Of a command's request: all but a component and its settings.
const CONTROL_REST_BYTES_MAX: usize = 1 << 20;

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// Only a new process can reach the token again.
    RestartRequired,
}

/// Serves until `stop` or until the token needs a new process, drains, and returns. `ready` is called once both
/// listeners and the control socket accept and the canary has signed.
pub(crate) async fn run(
    gateway: Gateway,
    organization: OrganizationId,
    metrics: PrometheusHandle,
    stop: CancellationToken,
    ready: impl FnOnce(&Config),
) -> Result<Ended> {
    let gateway = Arc::new(gateway);
    let checkpoints = gateway.checkpoints();
    checkpoints.check_anchor().await?;
    checkpoints.first_look().await;
    require_charter_remembered(&gateway).await?;
    let config = &gateway.config;
    verification_services::establish(&gateway, organization).await?;
    gateway.plugins.prune().await;
    let public = bind(config.server.listen).await?;
    let operator = bind(config.server.operator_listen).await?;
    let control = Socket::bind(&gateway.data_dir).context("making the control socket")?;

    let tasks = TaskTracker::new();
    let (workers, signing_off) = (CancellationToken::new(), CancellationToken::new());
    let worker = worker::run(
        gateway.services.clone(),
        gateway.instance,
        config.outbox.clone(),
        tasks.clone(),
        workers.clone(),
    );
    let worker = tasks.spawn(worker);
    tasks.spawn(unfinished_keys::run(
        gateway.services.clone(),
        config.limits.unfinished_key_age(),
        gateway.store.is_owned(),
        workers.clone(),
    ));
    tasks.spawn(resealing::run(gateway.services.clone(), workers.clone()));
    tasks.spawn(purge(gateway.store.clone(), gateway.services.clone(), workers.clone()));
    let checkpointing = TaskTracker::new();
    checkpointing.spawn(checkpoints.run(signing_off.clone()));

    let bounds = bounds(config)?;
    let api = gateway_api::public_router(api_state(&gateway, organization, &tasks)?);
    let internal = gateway_api::internal_router(api_state(&gateway, organization, &tasks)?);
    let operations = gateway_api::operator_router(operator_state(&gateway, metrics)?).merge(internal);
    let operations = operations.merge(operators(&gateway)?);
    let public = tasks.spawn(listener::serve(public, api, bounds.clone(), stop.clone()));
    let operator = tasks.spawn(listener::serve(operator, operations, bounds.clone(), workers.clone()));
    tasks.spawn(commands(gateway.clone(), control, workers.clone()));
    let chains = gateway.services.chains.clone();
    let looked = workers.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = looked.cancelled() => {}
            () = nodes::warn_of_absent(&chains) => {}
        }
    });
    let hsm = gateway.hsm.clone();
    let token = tasks.spawn(watch_token(move || hsm.status().restart_required, stop.clone()));
    ready(config);

    // Requests end first, then the work they started, then the log is signed to its last entry.
    let ended = token.await?;
    public.await?;
    workers.cancel();
    worker.await?;
    operator.await?;
    tasks.close();
    if tokio::time::timeout(bounds.drain_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(
            "work was still under way when the drain time ended; it is carried on at the next start"
        );
    }
    signing_off.cancel();
    checkpointing.close();
    checkpointing.wait().await;
    gateway.close().await;
    Ok(ended)
}

/// Refuses a database whose charter is gone, and has the token remember one that it does not know of yet: a token that was
/// restored without it.
async fn require_charter_remembered(gateway: &Gateway) -> Result<()> {
    let charter = gateway.store.charter().await.map_err(told).context("looking for the charter")?;
    if charter.is_some() && !gateway.is_chartered {
        system_keys::mark_chartered(&gateway.hsm).await.context("marking the token as that of a charter")?;
    }
    Ok(())
}

/// With what is meant for whoever starts the gateway.
fn told(error: gateway_domain::Error) -> anyhow::Error {
    let cause = error.internal_cause().map(ToString::to_string);
    let error = anyhow::Error::from(error);
    match cause {
        Some(cause) => error.context(cause),
        None => error,
    }
}

/// What operators do over HTTP.
fn operators(gateway: &Gateway) -> Result<axum::Router> {
    let common = gateway.config.api_config()?;
    let uploads = gateway.config.server.upload_config(common.clone(), &gateway.config.plugins);
    Ok(gateway_api::operator_api_router(&gateway.services, common, uploads))
}

/// Carries out what commands at this machine order, until `stop`.
async fn commands(gateway: Arc<Gateway>, socket: Socket, stop: CancellationToken) {
    let Config { server, plugins, .. } = &gateway.config;
    // Hex doubles a component; so does quoting at worst what people write into settings.
    let request_bytes_max =
        (plugins.component_bytes_max + plugins.settings_bytes_max) * 2 + CONTROL_REST_BYTES_MAX;
    let bounds = control::Bounds {
        requests_max: server.control_commands_max,
        request_bytes_max: u64::try_from(request_bytes_max).unwrap_or(u64::MAX),
        timeout: server.control_timeout(),
    };
    let carry_out = move |order: Order| {
        let gateway = gateway.clone();
        async move { order.answer(&gateway).await }
    };
    socket.serve(bounds, stop, carry_out).await;
}

/// Waits for `stop`, and brings it about once too many threads are stuck in the token's module for work to go on.
async fn watch_token(restart_required: impl Fn() -> bool, stop: CancellationToken) -> Ended {
    while !stop.is_cancelled() {
        if restart_required() {
            tracing::error!("the token's module holds too many threads: draining, to be started anew");
            stop.cancel();
            return Ended::RestartRequired;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TOKEN_INTERVAL) => {}
        }
    }
    Ended::Stopped
}

/// Why nobody can be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub(crate) struct ListenError {
    pub(crate) address: SocketAddr,
    #[source]
    pub(crate) cause: io::Error,
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
}

/// How much larger than the API's own bounds a head may be before the HTTP library refuses it, without a body.
const HEAD_FACTOR: usize = 4;

fn bounds(config: &Config) -> Result<Bounds> {
    let head_bytes_max = (config.server.uri_bytes_max + config.server.header_bytes_max) * HEAD_FACTOR;
    Ok(Bounds {
        connections_per_source_max: config.server.connections_per_source_max,
        proxies: config.api_config()?.trusted_proxies.into(),
        head_bytes_max,
        connections_max: config.server.connections_max,
        header_timeout: Duration::from_millis(config.server.header_timeout_ms),
        drain_timeout: Duration::from_millis(config.server.drain_timeout_ms),
    })
}

fn api_state(gateway: &Gateway, organization: OrganizationId, tasks: &TaskTracker) -> Result<ApiState> {
    let tasks = tasks.clone();
    let store = gateway.services.store.clone();
    Ok(ApiState {
        services: gateway.services.clone(),
        config: gateway.config.api_config()?,
        default_organization: organization,
        hosts: gateway.config.core.organizations_by_host()?,
        internal_token: gateway
            .config
            .core
            .internal_token
            .as_ref()
            .map(|token| B256::new(Sha256::digest(token.expose().as_bytes()).into())),
        accepts_dev_keys: bootstrap::is_dev_directory(gateway.data_dir.path()),
        health: Arc::new(StoreHealth { store, organization }),
        rate_places: gateway.rate_places.clone(),
        spawner: Arc::new(move |task: OwnedTask| {
            tasks.spawn(task);
        }),
    })
}

fn operator_state(gateway: &Gateway, metrics: PrometheusHandle) -> Result<OperatorState> {
    let store = gateway.store.clone();
    Ok(OperatorState {
        clock: gateway.services.clock.clone(),
        entropy: gateway.services.entropy.clone(),
        config: gateway.config.api_config()?,
        readiness: Arc::new(Probe { hsm: gateway.hsm.clone(), store: gateway.store.clone() }),
        metrics: Arc::new(move || {
            store.publish_metrics();
            metrics.render()
        }),
    })
}

/// Ready while the last canary signature is recent, the database answers, its rows are as they were written and its
/// audit log is the one that was signed.
struct Probe {
    hsm: hsm::Hsm,
    store: Arc<gateway_store::Store>,
}

#[async_trait]
impl ReadinessProbe for Probe {
    async fn readiness(&self) -> Readiness {
        let database = self.store.health(HEALTH_DEADLINE).await.err().map(|error| error.to_string());
        Readiness {
            parts: BTreeMap::from([
                ("audit", self.store.log_fault().map(|fault| fault.to_string())),
                ("database", database),
                ("hsm", self.hsm_fault()),
                ("rows", self.rows_fault()),
            ]),
        }
    }
}

impl Probe {
    fn rows_fault(&self) -> Option<String> {
        match self.store.integrity() {
            Integrity::Proven => None,
            Integrity::Unproven => Some("are being compared with the audit log".to_owned()),
            Integrity::Broken(findings) => Some(findings.to_string()),
        }
    }

    fn hsm_fault(&self) -> Option<String> {
        if self.hsm.is_ready() {
            return None;
        }
        let status = self.hsm.status();
        let cause = status.cause.map_or_else(String::new, |cause| format!(": {cause}"));
        Some(match status.last_canary_success {
            Some(at) => {
                let age = Instant::now().saturating_duration_since(at).as_secs();
                format!("{}{cause}; the last canary signature is {age} s old", status.state)
            }
            None => format!("{}{cause}; no canary signature yet", status.state),
        })
    }
}

/// Nobody is to be put in the operators' place unnoticed.
async fn warn_of_recovery(services: &Services) {
    match open_recovery(services, services.clock.now()).await {
        Ok(Some(recovery)) => tracing::warn!(
            proposal.id = %recovery.id, reason = recovery.reason,
            "SOMEBODY RECOVERS THE CHARTER with the token's security officer: an operator who knows nothing of it refuses \
             it (`countersign operator refuse`)"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "nobody could look whether the charter is being recovered"),
    }
}

/// Removes expired replay guards, idempotency keys and sessions, so that each stay as large as their windows.
async fn purge(store: Arc<gateway_store::Store>, services: Services, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match store.purge(services.clock.now(), PURGE_ROWS).await {
            // As much as may be taken at once: there is more.
            Ok(purged) if purged.rows >= u64::from(PURGE_ROWS) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "expired rows could not be removed"),
        }
        warn_of_recovery(&services).await;
        if let Err(error) = remove_expired_sessions(&services, PURGE_SESSIONS).await {
            tracing::warn!(%error, "expired sessions could not be removed");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PURGE_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests;
