//! When API keys were last used, noted at most once an interval for each, so that reading costs no writing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gateway_domain::{Timestamp, credentials::ApiKey, ids::CredentialId};

use crate::{config::ApiConfig, state::App};

pub(crate) struct KeyUses {
    noted: Mutex<HashMap<CredentialId, Timestamp>>,
    interval: Duration,
    keys_max: usize,
}

impl KeyUses {
    pub(crate) fn new(config: &ApiConfig) -> Self {
        Self {
            noted: Mutex::default(),
            interval: Duration::from_millis(config.key_use_interval_ms),
            keys_max: config.rates.keys_max,
        }
    }

    /// Notes a use in a task of its own, unless that was done a short while ago. A note that fails is no failure of
    /// the request.
    pub(crate) fn note(&self, app: &App, key: &ApiKey) {
        let at = app.services.clock.now();
        if !self.is_due(key.id, at) {
            return;
        }
        let (store, organization, id) = (app.services.store.clone(), key.organization, key.id);
        (app.spawner)(Box::pin(async move {
            if let Err(error) = store.note_api_key_use(organization, id, at).await {
                tracing::warn!(%error, credential.id = %id, "the use of an API key could not be noted");
            }
        }));
    }

    fn is_due(&self, id: CredentialId, at: Timestamp) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&id).is_some_and(|last| at < last.plus(self.interval)) {
            return false;
        }
        if noted.len() >= self.keys_max {
            noted.clear();
        }
        noted.insert(id, at);
        true
    }
}
