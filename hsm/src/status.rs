//! What is known of the token right now, readable without asking it.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{error::Cause, lanes::Lane};

/// States of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started, or shut down.
    Down,
    /// The first bring-up is under way.
    Starting,
    /// Work is taken.
    Ready,
    /// The breaker is open; recovery is under way.
    Degraded,
    /// No PIN is sent until an operator clears the latch and restarts.
    PinLatched,
}

impl State {
    const ALL: [Self; 5] = [Self::Down, Self::Starting, Self::Ready, Self::Degraded, Self::PinLatched];

    /// Lower-case name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::PinLatched => "pin latched",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The last health signature.
#[derive(Clone, Debug)]
pub struct CanaryReport {
    /// When it ended.
    pub at: Instant,
    /// How long it took, queueing included.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Cause>,
}

/// One reading of the supervisor.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why the state is not `Ready`; none when it is.
    pub cause: Option<Cause>,
    /// The last canary, good or bad.
    pub last_canary: Option<CanaryReport>,
    /// When a canary last succeeded.
    pub last_canary_success: Option<Instant>,
    /// Canary failures in a row.
    pub canary_failures: u32,
    /// Moves each time handles are found again.
    pub epoch: u64,
    /// Moves each time the module is initialized.
    pub generation: u64,
    /// Threads inside a module call that does not return.
    pub stuck_threads: usize,
    /// Every allowed replacement is used up: only a restart of the process helps.
    pub restart_required: bool,
    /// Jobs waiting per lane.
    pub queue_depths: [(Lane, usize); 5],
    /// Totals since start.
    pub counters: CounterValues,
}

impl Status {
    /// Whether the token is ready and a canary succeeded within `canary_stale_after` before `now`.
    pub fn is_ready(&self, now: Instant, canary_stale_after: Duration) -> bool {
        self.state == State::Ready
            && self
                .last_canary_success
                .is_some_and(|at| now.saturating_duration_since(at) <= canary_stale_after)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Totals since start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CounterValues { $($(#[$doc])* pub $name: u64,)+ }

        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)+ }

        impl Counters {
            fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// `C_Sign` sequences begun.
    sign_calls,
    /// `C_Login` calls.
    login_calls,
    /// `C_GenerateKeyPair` and `C_GenerateKey` calls.
    generate_calls,
    /// Full scans of the token for handles.
    scans,
    /// Sessions opened in place of lost ones.
    sessions_replaced,
    /// Times that handles were found again after a log-out or a stale handle.
    handles_refreshed,
    /// Times that the breaker opened.
    breaker_opened,
    /// Jobs dropped because their deadline had passed or their caller had gone.
    stale_jobs,
    /// Results dropped because they came after `not_after`, or after their thread was written off.
    late_results,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The mutable part, written by supervisor, watchdog and threads.
pub(crate) struct StatusBoard {
    state: AtomicU8,
    facts: Mutex<Facts>,
    pub(crate) counters: Counters,
}

#[derive(Clone, Default)]
struct Facts {
    cause: Option<Cause>,
    last_canary: Option<CanaryReport>,
    last_canary_success: Option<Instant>,
    canary_failures: u32,
}

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(State::Down as u8),
            facts: Mutex::default(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    pub(crate) fn set(&self, state: State, cause: Option<Cause>) {
        self.facts().cause = cause;
        self.state.store(state as u8, Ordering::Release);
        crate::telemetry::state(state);
    }

    pub(crate) fn cause(&self) -> Cause {
        self.facts().cause.clone().unwrap_or_else(|| Cause::new("not started"))
    }

    /// Notes a canary and returns the failures in a row.
    pub(crate) fn canary(&self, report: CanaryReport) -> u32 {
        let mut facts = self.facts();
        if report.failure.is_none() {
            facts.canary_failures = 0;
            facts.last_canary_success = Some(report.at);
        } else {
            facts.canary_failures += 1;
        }
        facts.last_canary = Some(report);
        facts.canary_failures
    }

    /// Fills in all but what other parts know: epoch, generation, stuck threads and queue depths.
    pub(crate) fn read(&self) -> Status {
        let facts = self.facts().clone();
        Status {
            state: self.state(),
            cause: facts.cause,
            last_canary: facts.last_canary,
            last_canary_success: facts.last_canary_success,
            canary_failures: facts.canary_failures,
            epoch: 0,
            generation: 0,
            stuck_threads: 0,
            restart_required: false,
            queue_depths: Lane::ALL.map(|lane| (lane, 0)),
            counters: self.counters.values(),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no thread panics while it holds the status")
    }
}
