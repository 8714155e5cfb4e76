//! What a world is made of.

use std::{path::Path, sync::Arc, time::Duration};

use gateway_domain::{
    ids::InstanceId,
    ports::{Limits, StateLimits},
    sealed::Sealer,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use tokio::sync::Notify;
use uuid::Uuid;

pub(super) async fn open_store(
    directory: &Path,
    sealer: &Arc<Sealer>,
    outbox_written: &Arc<Notify>,
) -> Store {
    let url = DatabaseUrl::new(format!("sqlite://{}", directory.join("api.db").display()));
    let config = StoreConfig { migrate: true, ..StoreConfig::new(url) };
    let instance = InstanceId::from_uuid(Uuid::new_v4());
    Store::open(config, sealer.clone(), instance, outbox_written.clone()).await.unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits {
        denied_tries_max: 5,
        denied_window: Duration::from_mins(10),
        wallet_keys_max: 5_000,
        user_api_keys_max: 20,
        self_registered_keys_max: 1_000,
        idempotency_window: Duration::from_hours(24),
        contest_attempts_max: 8,
        poll_interval: Duration::from_secs(1),
        unavailable_pause: Duration::from_secs(2),
        evidence_pause: Duration::from_mins(1),
        state: StateLimits { rows_max: 1_024, reservations_max: 256 },
    }
}
