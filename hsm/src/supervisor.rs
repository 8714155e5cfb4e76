//! The thread that owns the module's life: brings the token up, and again after the breaker opened.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use cryptoki::context::Pkcs11;
use tokio::sync::oneshot;

use crate::{
    error::{Cause, HsmError},
    gate::OpenToken,
    operation::canary,
    shared::{Shared, Signal},
    startup_lock::StartupLock,
    status::{CanaryReport, State},
    token, watchdog,
    worker::TokenSession,
};

/// How often a wait for threads inside the module looks for a shutdown.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// A started supervisor.
pub(crate) struct Spawned {
    /// The outcome of the start.
    pub(crate) started: oneshot::Receiver<Result<(), HsmError>>,
    /// Closed when the thread has left the module for good.
    pub(crate) ended: mpsc::Receiver<()>,
}

pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<Spawned> {
    let (started, on_start) = oneshot::channel();
    let (ended, on_end) = mpsc::channel();
    thread::Builder::new().name("hsm-supervisor".to_owned()).spawn(move || {
        match Supervisor::start(&shared) {
            Ok(mut supervisor) => {
                // A caller that gave up waiting has dropped the handle, which asks for the shutdown below.
                let _ = started.send(Ok(()));
                supervisor.run();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
        drop(ended);
    })?;
    Ok(Spawned { started: on_start, ended: on_end })
}

struct Supervisor {
    shared: Arc<Shared>,
    pkcs11: Pkcs11,
    generation: u64,
}

impl Supervisor {
    fn start(shared: &Arc<Shared>) -> Result<Self, HsmError> {
        shared.status.set(State::Starting, Some(Cause::new("starting")));
        let outcome = Self::first_bring_up(shared);
        if let Err(error) = &outcome {
            let latched = matches!(error, HsmError::PinLatched(_));
            let state = if latched { State::PinLatched } else { State::Down };
            shared.status.set(state, Some(Cause::from(error)));
        }
        outcome
    }

    fn first_bring_up(shared: &Arc<Shared>) -> Result<Self, HsmError> {
        let pkcs11 = token::load(&shared.config.module)?;
        let mut supervisor = Self { shared: Arc::clone(shared), pkcs11, generation: 0 };
        let mut pause = shared.config.backoff_min;
        let mut attempt = 1;
        loop {
            match supervisor.bring_up(shared.config.create_canary) {
                Ok(()) => break,
                Err(error @ (HsmError::PinLatched(_) | HsmError::InvalidInput(_))) => return Err(error),
                Err(error) if attempt >= shared.config.start_attempts => return Err(error),
                Err(error) => tracing::warn!(attempt, error = %error, "the token did not come up"),
            }
            if shared.wait(false, Some(pause)) == Signal::Shutdown {
                return Err(HsmError::ShutDown);
            }
            pause = (pause * 2).min(shared.config.backoff_max);
            attempt += 1;
        }
        let failed = |source| HsmError::File { path: "/proc/self/task".into(), source };
        watchdog::spawn(Arc::clone(shared)).map_err(failed)?;
        Ok(supervisor)
    }

    fn run(&mut self) {
        loop {
            match self.shared.wait(true, None) {
                Signal::Shutdown => return self.stop(),
                Signal::Tripped | Signal::TimedOut => {
                    if self.shared.status.state() == State::PinLatched {
                        // Only an operator and a restart help.
                        self.shared.wait(false, None);
                    } else {
                        self.recover();
                    }
                }
            }
        }
    }

    /// Waits until no thread is inside the module, then finalizes and initializes until the token answers.
    fn recover(&mut self) {
        while !self.shared.gate.drained(Instant::now() + DRAIN_STEP) {
            if self.shared.is_shutting_down() {
                return;
            }
        }
        self.finalize();
        let mut pause = self.shared.config.backoff_min;
        loop {
            match self.bring_up(false) {
                Ok(()) => {
                    tracing::info!(generation = self.generation, "the token is back");
                    return;
                }
                Err(error) => {
                    let latched = matches!(error, HsmError::PinLatched(_));
                    let state = if latched { State::PinLatched } else { State::Degraded };
                    self.shared.status.set(state, Some(Cause::from(&error)));
                    if latched {
                        return;
                    }
                }
            }
            if self.shared.wait(false, Some(pause)) == Signal::Shutdown {
                return;
            }
            pause = (pause * 2).min(self.shared.config.backoff_max);
        }
    }

    /// Initializes, finds the token, logs in, tests the canary and opens the gate; undone if any of it fails.
    fn bring_up(&mut self, create_canary: bool) -> Result<(), HsmError> {
        let config = &self.shared.config;
        let _lock = StartupLock::acquire(&config.lock_path, config.lock_timeout)?;
        token::initialize(&self.pkcs11, config.init_string.as_deref())?;
        self.generation += 1;
        let outcome = self.bring_up_initialized(create_canary);
        if outcome.is_err() {
            self.finalize();
        }
        outcome
    }

    fn bring_up_initialized(&self, create_canary: bool) -> Result<(), HsmError> {
        let shared = &self.shared;
        let (slot, _) =
            token::find(&self.pkcs11, &shared.config.token_label, shared.config.token_serial.as_deref())?;
        let open = OpenToken { pkcs11: self.pkcs11.clone(), slot, generation: self.generation };
        let session = token::open_session(&open)?;
        token::login(shared, &open, &session)?;
        shared.keys.forget_all();
        let begun = Instant::now();
        let on_loan = TokenSession { session: &session, shared, token: &open };
        if create_canary {
            canary::create_if_absent(&on_loan)?;
        }
        canary::sign(&on_loan)?;
        shared.status.canary(CanaryReport { at: Instant::now(), took: begun.elapsed(), failure: None });
        *shared.anchor.lock().expect("no thread panics while it holds the anchor") = Some(session);
        shared.reset_trip();
        shared.gate.open(open);
        shared.status.set(State::Ready, None);
        Ok(())
    }

    fn finalize(&self) {
        *self.shared.anchor.lock().expect("no thread panics while it holds the anchor") = None;
        if let Err(error) = self.pkcs11.clone().finalize() {
            tracing::warn!(error = %error, "the module could not be finalized");
        }
    }

    fn stop(&self) {
        self.shared.gate.close();
        for job in self.shared.lanes.close() {
            job.task.finish(Err(HsmError::ShutDown));
        }
        if self.shared.gate.drained(Instant::now() + self.shared.config.timeouts.quiesce) {
            self.finalize();
        }
        self.shared.status.set(State::Down, Some(Cause::new("shut down")));
    }
}
