//! The thread that never calls the module: notices threads that do not come back, and asks for canaries.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::{
    error::{Cause, HsmError},
    lanes::Lane,
    operation::canary,
    shared::{Shared, Signal},
    status::{CanaryReport, State},
    telemetry,
    worker::{self, Call, Job, Seat},
};

const TICK: Duration = Duration::from_millis(20);

/// Starts the session threads and the thread that watches them.
pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<()> {
    let seats = (0..shared.config.session_threads)
        .map(|_| worker::spawn(Arc::clone(&shared)))
        .collect::<std::io::Result<Vec<_>>>()?;
    let mut watchdog = Watchdog {
        next_canary_at: Instant::now() + shared.config.canary_interval,
        shared,
        seats,
        pending: None,
        busy_until: Instant::now(),
    };
    thread::Builder::new().name("hsm-watchdog".to_owned()).spawn(move || watchdog.run())?;
    Ok(())
}

struct Watchdog {
    shared: Arc<Shared>,
    seats: Vec<Arc<Seat>>,
    next_canary_at: Instant,
    pending: Option<Pending>,
    /// A token may do nothing else while it makes a key, which takes seconds for RSA: what waits behind it until then, and
    /// for a moment after, is not stuck.
    busy_until: Instant,
}

struct Pending {
    asked_at: Instant,
    reply: oneshot::Receiver<Result<(), HsmError>>,
}

impl Watchdog {
    fn run(&mut self) {
        while self.shared.wait(false, Some(TICK)) != Signal::Shutdown {
            let now = Instant::now();
            if self.seats.iter().any(|seat| seat.is_generating(now)) {
                self.busy_until = now + self.shared.config.timeouts.canary;
            }
            self.write_off_stuck_threads(now);
            self.collect_canary(now);
            self.ask_for_canary(now);
            telemetry::queue_depths(self.shared.lanes.depths());
        }
    }

    fn write_off_stuck_threads(&mut self, now: Instant) {
        let mut replacements = 0;
        let shared = &self.shared;
        let is_busy = now < self.busy_until;
        self.seats.retain(|seat| {
            let Some((operation, replaced)) = seat.write_off_if_stuck(shared, now, is_busy) else {
                return true;
            };
            let stuck = shared.gate.stuck();
            tracing::error!(operation, stuck, "an hsm thread does not come back from the module");
            if replaced {
                replacements += 1;
            } else {
                let text = format!("{stuck} threads are stuck in the module: restart the process");
                let error = HsmError::Unavailable { state: State::Degraded, cause: Cause::new(text) };
                shared.trip(shared.gate.generation(), &error);
            }
            !replaced
        });
        for _ in 0..replacements {
            match worker::spawn(Arc::clone(&self.shared)) {
                Ok(seat) => self.seats.push(seat),
                Err(error) => tracing::error!(error = %error, "no thread in place of a stuck one"),
            }
        }
    }

    fn ask_for_canary(&mut self, now: Instant) {
        if self.pending.is_some() || now < self.next_canary_at || self.shared.status.state() != State::Ready {
            return;
        }
        self.next_canary_at = now + self.shared.config.canary_interval;
        let limit = self.shared.config.timeouts.canary;
        let (sender, reply) = oneshot::channel();
        let job = Job {
            lane: Lane::Canary,
            operation: "canary",
            submitted_at: now,
            deadline: now + limit,
            limit,
            task: Box::new(Call { attempt: canary::sign, value: None, reply: sender }),
        };
        match self.shared.lanes.push(job) {
            Ok(()) => self.pending = Some(Pending { asked_at: now, reply }),
            Err(error) => self.note(now, now, Some(&error)),
        }
    }

    fn collect_canary(&mut self, now: Instant) {
        let Some(mut pending) = self.pending.take() else { return };
        match pending.reply.try_recv() {
            // Asked while a key was made, and dropped before its turn came.
            Ok(Err(HsmError::DeadlineExceeded { .. })) if pending.asked_at < self.busy_until => {}
            Ok(outcome) => self.note(pending.asked_at, now, outcome.as_ref().err()),
            Err(TryRecvError::Closed) => self.note(pending.asked_at, now, Some(&HsmError::ShutDown)),
            Err(TryRecvError::Empty)
                if now >= self.busy_until && now - pending.asked_at >= self.shared.config.timeouts.canary =>
            {
                self.note(pending.asked_at, now, Some(&HsmError::DeadlineExceeded { operation: "canary" }));
            }
            Err(TryRecvError::Empty) => self.pending = Some(pending),
        }
    }

    fn note(&self, asked_at: Instant, now: Instant, error: Option<&HsmError>) {
        telemetry::operation("canary", now - asked_at, error);
        let failure = error.map(Cause::from);
        let failures = self.shared.status.canary(CanaryReport { at: now, took: now - asked_at, failure });
        if let Some(error) = error
            && failures >= self.shared.config.canary_failures_max
        {
            self.shared.trip(self.shared.gate.generation(), error);
        }
    }
}
