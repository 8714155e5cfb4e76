//! What the binary hands to the edge.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Instant};

use async_trait::async_trait;
use gateway_domain::{
    B256,
    ids::OrganizationId,
    ports::{Services, Store},
    rates::RatePlaces,
    transactions::Progress,
};

use crate::{
    auth::{KeyUses, TokenVerifier},
    config::ApiConfig,
    layers::{Counting, Gate, Rates, Shares},
};

/// Work that goes on when the client that caused it is gone.
pub type OwnedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts owned tasks; the binary waits for them when it shuts down.
pub type Spawner = Arc<dyn Fn(OwnedTask) + Send + Sync>;

/// Everything the public listener works with.
#[derive(Clone)]
pub struct ApiState {
    pub services: Services,
    pub config: ApiConfig,
    /// The organization of requests whose host is not in `hosts`.
    pub default_organization: OrganizationId,
    /// Organizations by host name, in lower case and without port. API keys carry their own.
    pub hosts: BTreeMap<String, OrganizationId>,
    pub health: Arc<dyn HealthProbe>,
    /// Where sources are counted under the rates that gateways share.
    pub rate_places: Arc<RatePlaces>,
    pub spawner: Spawner,
    /// SHA-256 of the default organization's internal token, if it has one.
    pub internal_token: Option<B256>,
    /// Whether keys that `dev` wrote down are taken, from loopback peers. True under `dev` alone.
    pub accepts_dev_keys: bool,
}

/// What `GET /health` tells the public.
#[async_trait]
pub trait HealthProbe: Send + Sync {
    /// Parts by name and whether they are up. Names no hosts.
    async fn checks(&self) -> BTreeMap<&'static str, bool>;
}

/// Reports the database as up while it can be read.
pub struct StoreHealth {
    pub store: Arc<dyn Store>,
    pub organization: OrganizationId,
}

#[async_trait]
impl HealthProbe for StoreHealth {
    async fn checks(&self) -> BTreeMap<&'static str, bool> {
        let read = self.store.organization(self.organization).await;
        BTreeMap::from([("database", read.is_ok())])
    }
}

/// [`ApiState`] with what the layers count.
pub(crate) struct App {
    pub(crate) services: Services,
    pub(crate) config: ApiConfig,
    pub(crate) default_organization: OrganizationId,
    pub(crate) hosts: BTreeMap<String, OrganizationId>,
    pub(crate) health: Arc<dyn HealthProbe>,
    pub(crate) spawner: Spawner,
    pub(crate) internal_token: Option<B256>,
    pub(crate) accepts_dev_keys: bool,
    pub(crate) tokens: TokenVerifier,
    pub(crate) key_uses: KeyUses,
    pub(crate) rates: Rates,
    pub(crate) gate: Arc<Gate>,
    pub(crate) shares: Shares,
    pub(crate) started_at: Instant,
}

impl App {
    pub(crate) fn new(state: ApiState) -> Arc<Self> {
        let ApiState {
            services,
            config,
            default_organization,
            hosts,
            health,
            rate_places,
            spawner,
            internal_token,
            accepts_dev_keys,
        } = state;
        let counting = Counting {
            counts: services.store.clone(),
            places: rate_places,
            places_max: config.rates.keys_max,
        };
        Arc::new(Self {
            key_uses: KeyUses::new(&config),
            tokens: TokenVerifier::new(&services.sessions),
            rates: Rates::new(&config.rates, &counting),
            gate: Gate::new(services.clock.clone(), services.entropy.clone(), config.clone()),
            shares: Shares::new(config.requests_in_flight_per_source_max),
            started_at: Instant::now(),
            services,
            config,
            default_organization,
            hosts,
            health,
            spawner,
            internal_token,
            accepts_dev_keys,
        })
    }

    /// Works on a record until it is on chain, in a task that a leaving client cannot cancel, and waits for it as long
    /// as configured. Whatever is left over the outbox takes up.
    pub(crate) async fn settled<Work, Step>(&self, work: Work)
    where
        Work: Fn(Services) -> Step + Send + 'static,
        Step: Future<Output = gateway_domain::Result<Progress>> + Send,
    {
        let Some(wait) = self.services.publication.registry.as_ref().map(|registry| registry.wait) else {
            return;
        };
        let (done, waited) = tokio::sync::oneshot::channel();
        let services = self.services.clone();
        let until = Instant::now() + wait;
        (self.spawner)(Box::pin(async move {
            while Instant::now() < until {
                match work(services.clone()).await {
                    Ok(Progress::Again(pause)) => tokio::time::sleep(pause).await,
                    Ok(Progress::Done) => break,
                    Err(error) => {
                        tracing::warn!(%error, "a record on chain is left to the outbox");
                        break;
                    }
                }
            }
            // The request may have given up waiting.
            let _ = done.send(());
        }));
        let _ = tokio::time::timeout(wait, waited).await;
    }

    /// The tenant that a request without an API key belongs to.
    pub(crate) fn organization_of_host(&self, host: Option<&str>) -> OrganizationId {
        let name = host.map(|host| without_port(host).to_ascii_lowercase());
        name.and_then(|name| self.hosts.get(&name).copied()).unwrap_or(self.default_organization)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_is_known_without_its_port() {
        for (host, name) in [
            ("gateway.example", "gateway.example"),
            ("gateway.example:8080", "gateway.example"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
