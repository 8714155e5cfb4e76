//! Stops running a plugin that its sandbox had to stop time after time: for a while every evaluation fails at once, then
//! one is let through to see whether it has come to itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::ScheduleConfig;
use crate::failure::{EvaluationFailure, FailureCode};
use crate::subject::Subject;

#[cfg(test)]
mod tests;

/// An entry that nobody has touched for so many times the rest of a breaker may go.
const IDLE_TIMES: u32 = 100;

/// The breakers of all plugins. There is an entry for those alone that were stopped and have not answered since, and that
/// somebody has asked not too long ago: a plugin that was taken out of service leaves nothing behind.
pub(crate) struct Breakers {
    failures_max: u32,
    open_for: Duration,
    states: Mutex<HashMap<Subject, State>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many times in a row, the last time then.
    Stopped { times: u32, at: Instant },
    /// Nobody runs until then; who comes first afterwards runs alone, for as long again.
    Open { until: Instant, last: FailureCode, probes: u32 },
}

/// How a run ended, to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, whatever it said.
    Answered,
    /// The sandbox stopped it.
    Stopped(FailureCode),
    /// For want of time that others had taken.
    Crowded,
}

/// The leave to run once. Dropped without a word, as by a panic, it counts as a failure.
pub(crate) struct Pass {
    breakers: Arc<Breakers>,
    subject: Subject,
    /// Which probe of an open breaker it is; 0 if the breaker was closed.
    probe: u32,
    is_open: bool,
}

impl Breakers {
    pub(crate) fn new(schedule: &ScheduleConfig) -> Arc<Self> {
        Arc::new(Self {
            failures_max: schedule.breaker_failures.max(1),
            open_for: schedule.breaker_open,
            states: Mutex::default(),
        })
    }

    /// Whether the subject is certainly not run at `now`: spares those who ask the wait in the queue.
    pub(crate) fn require_closed(&self, subject: &Subject, now: Instant) -> Result<(), EvaluationFailure> {
        match self.lock().get(subject) {
            Some(State::Open { until, last, .. }) if now < *until => Err(refusal(*last)),
            _ => Ok(()),
        }
    }

    /// Leave to run now.
    pub(crate) fn enter(self: &Arc<Self>, subject: Subject, now: Instant) -> Result<Pass, EvaluationFailure> {
        let probe = match self.lock().get_mut(&subject) {
            None | Some(State::Stopped { .. }) => 0,
            Some(State::Open { until, last, .. }) if now < *until => return Err(refusal(*last)),
            Some(State::Open { until, probes, .. }) => {
                *until = now + self.open_for;
                *probes += 1;
                *probes
            }
        };
        Ok(Pass { breakers: Arc::clone(self), subject, probe, is_open: true })
    }

    /// Notes how a run ended. Answers whether the breaker opened by it.
    fn leave(&self, subject: &Subject, probe: u32, ending: Ending, now: Instant) -> bool {
        let mut states = self.lock();
        match (states.get_mut(subject), ending) {
            // Runs that began before it opened, and probes that took too long, change nothing.
            (Some(State::Open { probes, .. }), _) if probe == 0 || probe != *probes => false,
            (_, Ending::Crowded) => false,
            (_, Ending::Answered) => {
                states.remove(subject);
                false
            }
            (Some(State::Stopped { times, at }), Ending::Stopped(_)) if *times + 1 < self.failures_max => {
                *times += 1;
                *at = now;
                false
            }
            (None, Ending::Stopped(_)) if self.failures_max > 1 => {
                self.forget_idle(&mut states, now);
                states.insert(subject.clone(), State::Stopped { times: 1, at: now });
                false
            }
            (_, Ending::Stopped(last)) => {
                let state = State::Open { until: now + self.open_for, last, probes: probe };
                states.insert(subject.clone(), state);
                true
            }
        }
    }

    /// Makes room for another entry.
    fn forget_idle(&self, states: &mut HashMap<Subject, State>, now: Instant) {
        let idle = self.open_for.saturating_mul(IDLE_TIMES);
        states.retain(|_, state| {
            let (State::Stopped { at: last, .. } | State::Open { until: last, .. }) = state;
            now.saturating_duration_since(*last) < idle
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Tells how the run ended. Answers whether the breaker opened by it.
    pub(crate) fn leave(mut self, ending: Ending, now: Instant) -> bool {
        self.is_open = false;
        self.breakers.leave(&self.subject, self.probe, ending, now)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_open {
            let ending = Ending::Stopped(FailureCode::HostError);
            self.breakers.leave(&self.subject, self.probe, ending, Instant::now());
        }
    }
}

impl Ending {
    /// What `failure` says of the plugin, if the run had so much of the time that it was promised.
    pub(crate) fn of(failure: Option<FailureCode>, had: Duration, promised: Duration) -> Self {
        match failure {
            Some(FailureCode::Timeout) if had < promised / 2 => Self::Crowded,
            Some(code) if is_stop(code) => Self::Stopped(code),
            _ => Self::Answered,
        }
    }
}

/// Failures by which the sandbox ended a run. An answer that breaks the contract costs no more than a good one.
fn is_stop(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::Timeout
            | FailureCode::MemoryLimit
            | FailureCode::TableLimit
            | FailureCode::InstanceLimit
            | FailureCode::StackOverflow
            | FailureCode::OutOfBounds
            | FailureCode::Abort
            | FailureCode::Trap
    )
}

fn refusal(last: FailureCode) -> EvaluationFailure {
    let detail = format!("the plugin was stopped too often, the last time for `{last}`, and rests");
    EvaluationFailure::new(FailureCode::BreakerOpen, detail)
}
