//! What every listener's layers work with, whatever it serves.

use std::sync::Arc;

use gateway_domain::{Clock, entropy::Entropy};
use tokio::sync::Semaphore;

use crate::config::ApiConfig;

pub(crate) struct Gate {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) config: ApiConfig,
    /// Places for requests under way.
    pub(crate) in_flight: Semaphore,
}

impl Gate {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, config: ApiConfig) -> Arc<Self> {
        let in_flight = Semaphore::new(config.requests_in_flight_max.min(Semaphore::MAX_PERMITS));
        Arc::new(Self { clock, entropy, config, in_flight })
    }
}
