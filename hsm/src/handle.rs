//! The handle that the rest of the gateway holds.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    config::{HsmConfig, Timeouts},
    error::HsmError,
    lanes::Lane,
    shared::Shared,
    status::{State, Status},
    supervisor, telemetry,
    worker::{Call, Job, TokenSession},
};

/// One token, shared by clones. Dropping the last clone shuts the layer down as [`Hsm::shutdown`] does, and blocks its
/// thread meanwhile: an error on its way out of a program must not overtake `C_Finalize`.
#[derive(Clone)]
pub struct Hsm {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Taken by whoever waits for the end, or once nobody should.
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Inner {
    fn take_end(&self) -> Option<mpsc::Receiver<()>> {
        self.ended.lock().expect("no thread panics while it holds the receiver").take()
    }

    /// The supervisor waits `quiesce` for others; if it is stuck in the module itself, nobody can help it.
    fn end_timeout(&self) -> Duration {
        self.shared.config.timeouts.quiesce * 2
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.shut_down();
        if let Some(ended) = self.take_end() {
            let _ = ended.recv_timeout(self.end_timeout());
        }
    }
}

impl Hsm {
    /// Loads the module, finds the token, logs in and signs with the canary. Returns once the token is ready, or why
    /// it is not after [`HsmConfig::start_attempts`]; a refused PIN returns at once and stays latched.
    ///
    /// A process has one PKCS#11 context: a second start before the first is shut down fails.
    pub async fn start(config: HsmConfig) -> Result<Self, HsmError> {
        let start_timeout = config.start_timeout;
        let shared = Arc::new(Shared::new(config));
        let failed = |source| HsmError::File { path: "/proc/self/task".into(), source };
        let supervisor::Spawned { started, ended } =
            supervisor::spawn(Arc::clone(&shared)).map_err(failed)?;
        let hsm = Self { inner: Arc::new(Inner { shared, ended: Mutex::new(Some(ended)) }) };
        match tokio::time::timeout(start_timeout, started).await {
            Ok(Ok(outcome)) => outcome.map(|()| hsm),
            Ok(Err(_)) => Err(HsmError::ShutDown),
            Err(_) => {
                // It is inside the module, and has had its time: the drop below is not to wait for it again.
                drop(hsm.inner.take_end());
                Err(HsmError::DeadlineExceeded { operation: "start" })
            }
        }
    }

    /// Refuses new work, answers what waits with [`HsmError::ShutDown`] and finalizes the module once nobody is inside.
    pub async fn shutdown(&self) {
        self.inner.shared.shut_down();
        if let Some(ended) = self.inner.take_end() {
            let limit = self.inner.end_timeout();
            let _ = tokio::task::spawn_blocking(move || ended.recv_timeout(limit)).await;
        }
    }

    /// The state right now, without asking the token.
    pub fn status(&self) -> Status {
        let shared = &self.inner.shared;
        let stuck_threads = shared.gate.stuck();
        Status {
            epoch: shared.keys.epoch(),
            generation: shared.gate.generation(),
            stuck_threads,
            restart_required: stuck_threads > shared.config.stuck_threads_max,
            queue_depths: shared.lanes.depths(),
            ..shared.status.read()
        }
    }

    /// Whether work would be taken and a canary succeeded lately: the answer for `/readyz`.
    pub fn is_ready(&self) -> bool {
        self.status().is_ready(Instant::now(), self.inner.shared.config.canary_stale_after)
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.inner.shared.config.timeouts
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.inner.shared.config.message_bytes_max
    }

    pub(crate) fn check_length(&self, input: &[u8]) -> Result<(), HsmError> {
        if input.len() > self.message_bytes_max() {
            return Err(HsmError::InvalidInput("more bytes than `message_bytes_max`"));
        }
        Ok(())
    }

    /// Queues one operation, waits for its result at most `limit`, and counts it whatever comes of it.
    pub(crate) async fn run<T, F>(
        &self,
        operation: &'static str,
        lane: Lane,
        limit: Duration,
        call: F,
    ) -> Result<T, HsmError>
    where
        T: Send + 'static,
        F: FnMut(&TokenSession<'_>) -> Result<T, HsmError> + Send + 'static,
    {
        let begun = Instant::now();
        let outcome = self.queue(operation, lane, begun, limit, call).await;
        telemetry::operation(operation, begun.elapsed(), outcome.as_ref().err());
        outcome
    }

    async fn queue<T, F>(
        &self,
        operation: &'static str,
        lane: Lane,
        submitted_at: Instant,
        limit: Duration,
        call: F,
    ) -> Result<T, HsmError>
    where
        T: Send + 'static,
        F: FnMut(&TokenSession<'_>) -> Result<T, HsmError> + Send + 'static,
    {
        let shared = &self.inner.shared;
        if shared.status.state() != State::Ready {
            return Err(shared.unavailable());
        }
        let deadline = submitted_at + limit;
        let (reply, result) = oneshot::channel();
        let task = Box::new(Call { attempt: call, value: None, reply });
        shared.lanes.push(Job { lane, operation, submitted_at, deadline, limit, task })?;
        match tokio::time::timeout_at(deadline.into(), result).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(HsmError::ShutDown),
            Err(_) => Err(HsmError::DeadlineExceeded { operation }),
        }
    }
}
