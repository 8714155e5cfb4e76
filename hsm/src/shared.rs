//! What handle, threads, watchdog and supervisor share.

use std::{
    collections::HashSet,
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

use cryptoki::session::Session;

use crate::{
    config::HsmConfig,
    error::{Cause, HsmError},
    gate::{Gate, OpenToken},
    key::CkaId,
    key_map::KeyMap,
    lanes::Lanes,
    pin_latch::PinLatch,
    recovery::SessionHealth,
    startup_lock::StartupLock,
    status::{State, StatusBoard, count},
    telemetry, token,
};

pub(crate) struct Shared {
    pub(crate) config: HsmConfig,
    pub(crate) lanes: Lanes,
    pub(crate) gate: Gate,
    pub(crate) keys: KeyMap,
    pub(crate) status: StatusBoard,
    pub(crate) latch: PinLatch,
    /// Keeps the log-in alive: it ends when the application's last session closes.
    pub(crate) anchor: Mutex<Option<Session>>,
    /// Ids that are being generated, so that the same one is never generated twice at once.
    generating: Mutex<HashSet<CkaId>>,
    generated: Condvar,
    signals: Mutex<Signals>,
    signalled: Condvar,
}

#[derive(Default)]
struct Signals {
    shutdown: bool,
    tripped: bool,
}

/// What the supervisor was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Shutdown,
    Tripped,
    TimedOut,
}

impl Shared {
    pub(crate) fn new(config: HsmConfig) -> Self {
        Self {
            lanes: Lanes::new(&config),
            latch: PinLatch::new(&config),
            config,
            gate: Gate::default(),
            keys: KeyMap::default(),
            status: StatusBoard::new(),
            anchor: Mutex::default(),
            generating: Mutex::default(),
            generated: Condvar::new(),
            signals: Mutex::default(),
            signalled: Condvar::new(),
        }
    }

    /// Runs `generate` while no other thread generates under this id.
    pub(crate) fn generate_alone<T>(&self, cka_id: CkaId, generate: impl FnOnce() -> T) -> T {
        let poisoned = "no thread panics while it holds the ids";
        let mut ids = self.generating.lock().expect(poisoned);
        while !ids.insert(cka_id) {
            ids = self.generated.wait(ids).expect(poisoned);
        }
        drop(ids);
        let outcome = generate();
        self.generating.lock().expect(poisoned).remove(&cka_id);
        self.generated.notify_all();
        outcome
    }

    pub(crate) fn unavailable(&self) -> HsmError {
        HsmError::Unavailable { state: self.status.state(), cause: self.status.cause() }
    }

    /// Opens the breaker, unless that initialization is history already.
    pub(crate) fn trip(&self, generation: u64, error: &HsmError) {
        let mut signals = self.signals();
        if generation != self.gate.generation() || signals.tripped || signals.shutdown {
            return;
        }
        let state = match error {
            HsmError::PinLatched(_) => State::PinLatched,
            _ => State::Degraded,
        };
        tracing::error!(generation, error = %error, "the hsm breaker opened");
        signals.tripped = true;
        self.gate.close();
        self.status.set(state, Some(Cause::from(error)));
        count(&self.status.counters.breaker_opened);
        telemetry::recovery("reinitialize");
        drop(signals);
        self.signalled.notify_all();
    }

    pub(crate) fn shut_down(&self) {
        self.signals().shutdown = true;
        self.signalled.notify_all();
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.signals().shutdown
    }

    /// Lets trips through again, once a bring-up has succeeded.
    pub(crate) fn reset_trip(&self) {
        self.signals().tripped = false;
    }

    /// Waits for a shutdown or, if `trips` are asked for, for a trip.
    pub(crate) fn wait(&self, trips: bool, timeout: Option<Duration>) -> Signal {
        let asleep = |signals: &mut Signals| !(signals.shutdown || trips && signals.tripped);
        let poisoned = "no thread panics while it holds the signals";
        let signals = match timeout {
            Some(timeout) => {
                self.signalled.wait_timeout_while(self.signals(), timeout, asleep).expect(poisoned).0
            }
            None => self.signalled.wait_while(self.signals(), asleep).expect(poisoned),
        };
        match *signals {
            Signals { shutdown: true, .. } => Signal::Shutdown,
            Signals { tripped: true, .. } if trips => Signal::Tripped,
            Signals { .. } => Signal::TimedOut,
        }
    }

    /// Makes handles good again: logs in if the token says we are logged out, and forgets every handle found so far.
    /// Threads that saw the same epoch share one such refresh.
    pub(crate) fn refresh(&self, token: &OpenToken, epoch_seen: u64) -> Result<(), HsmError> {
        let mut anchor = self.anchor.lock().expect("no thread panics while it holds the anchor");
        if self.keys.epoch() != epoch_seen {
            return Ok(());
        }
        let mut health = anchor.as_ref().map_or(SessionHealth::Gone, SessionHealth::of);
        if health == SessionHealth::Gone {
            let session = token::open_session(token)?;
            health = SessionHealth::of(&session);
            *anchor = Some(session);
        }
        if let (SessionHealth::LoggedOut, Some(session)) = (health, anchor.as_ref()) {
            let _lock = StartupLock::acquire(&self.config.lock_path, self.config.lock_timeout)?;
            token::login(self, token, session)?;
        }
        self.keys.forget_all();
        count(&self.status.counters.handles_refreshed);
        telemetry::recovery("find_again");
        Ok(())
    }

    fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().expect("no thread panics while it holds the signals")
    }
}
