//! Stops running a plugin that its sandbox had to stop time after time: for a while every evaluation fails at once, then
//! one is let through to see whether it has come to itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::{EvaluationFailure, FailureCode};

#[cfg(test)]
mod tests;

/// What is judged as one: a component under its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) component: Digest,
    pub(crate) settings: Digest,
}

/// The breakers of all plugins. There is an entry for those alone that were stopped and have not answered since.
pub(crate) struct Breakers {
    failures_max: u32,
    open_for: Duration,
    states: Mutex<HashMap<Subject, State>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many times in a row.
    Stopped(u32),
    Open {
        until: Instant,
        last: FailureCode,
    },
    /// One evaluation shows whether the others may follow.
    HalfOpen {
        last: FailureCode,
    },
}

/// The leave to run once. Dropped without a word, as by a panic, it counts as a failure.
pub(crate) struct Pass {
    breakers: Arc<Breakers>,
    subject: Subject,
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
    pub(crate) fn require_closed(&self, subject: Subject, now: Instant) -> Result<(), EvaluationFailure> {
        match self.lock().get(&subject) {
            Some(State::Open { until, last }) if now < *until => Err(refusal(*last)),
            _ => Ok(()),
        }
    }

    /// Leave to run now.
    pub(crate) fn enter(self: &Arc<Self>, subject: Subject, now: Instant) -> Result<Pass, EvaluationFailure> {
        let mut states = self.lock();
        match states.get_mut(&subject) {
            None | Some(State::Stopped(_)) => {}
            Some(State::Open { until, last }) if now < *until => return Err(refusal(*last)),
            Some(State::HalfOpen { last }) => return Err(refusal(*last)),
            Some(state @ State::Open { .. }) => {
                if let State::Open { last, .. } = *state {
                    *state = State::HalfOpen { last };
                }
            }
        }
        Ok(Pass { breakers: Arc::clone(self), subject, is_open: true })
    }

    /// Notes how a run ended. Answers whether the breaker opened by it.
    fn leave(&self, subject: Subject, stopped: Option<FailureCode>, now: Instant) -> bool {
        let mut states = self.lock();
        let Some(last) = stopped else {
            states.remove(&subject);
            return false;
        };
        let state = states.entry(subject).or_insert(State::Stopped(0));
        match state {
            State::Stopped(times) if *times + 1 < self.failures_max => {
                *times += 1;
                false
            }
            State::Stopped(_) | State::HalfOpen { .. } => {
                *state = State::Open { until: now + self.open_for, last };
                true
            }
            // Those that were running when it opened.
            State::Open { .. } => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Tells how the run ended, by its failure if it had one. Answers whether the breaker opened by it.
    pub(crate) fn leave(mut self, failure: Option<FailureCode>, now: Instant) -> bool {
        self.is_open = false;
        self.breakers.leave(self.subject, failure.filter(|code| is_stop(*code)), now)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_open {
            self.breakers.leave(self.subject, Some(FailureCode::HostError), Instant::now());
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
