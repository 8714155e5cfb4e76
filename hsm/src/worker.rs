//! Session threads. Each owns one session, takes one job at a time and climbs the recovery ladder for it.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use cryptoki::session::Session;
use tokio::sync::oneshot;

use crate::{
    error::{Cause, HsmError},
    gate::OpenToken,
    lanes::Lane,
    recovery::{self, Rung, SessionHealth},
    shared::Shared,
    status::{State, count},
    telemetry, token,
};

/// A session on loan to one attempt of an operation.
pub(crate) struct TokenSession<'a> {
    pub(crate) session: &'a Session,
    pub(crate) shared: &'a Shared,
    pub(crate) token: &'a OpenToken,
}

/// One operation in a queue.
pub(crate) struct Job {
    pub(crate) lane: Lane,
    pub(crate) operation: &'static str,
    pub(crate) submitted_at: Instant,
    pub(crate) deadline: Instant,
    /// Time inside the module after which the thread is written off.
    pub(crate) limit: Duration,
    pub(crate) task: Box<dyn Task>,
}

pub(crate) trait Task: Send {
    /// One try; may be called again after a recovery.
    fn attempt(&mut self, token: &TokenSession<'_>) -> Result<(), HsmError>;
    /// Whether nobody waits for the result any more.
    fn is_abandoned(&self) -> bool;
    /// Sends the value of the successful attempt, or the error.
    fn finish(self: Box<Self>, outcome: Result<(), HsmError>);
}

/// A task made of a closure and the place its result goes to.
pub(crate) struct Call<T, F> {
    pub(crate) attempt: F,
    pub(crate) value: Option<T>,
    pub(crate) reply: oneshot::Sender<Result<T, HsmError>>,
}

impl<T, F> Task for Call<T, F>
where
    T: Send,
    F: FnMut(&TokenSession<'_>) -> Result<T, HsmError> + Send,
{
    fn attempt(&mut self, token: &TokenSession<'_>) -> Result<(), HsmError> {
        self.value = Some((self.attempt)(token)?);
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn finish(self: Box<Self>, outcome: Result<(), HsmError>) {
        let Self { value, reply, .. } = *self;
        let outcome = outcome.map(|()| value.expect("a successful attempt leaves its value"));
        // The caller may have given up in the meantime; then nobody is owed the result.
        let _ = reply.send(outcome);
    }
}

/// What the watchdog sees of a thread.
#[derive(Default)]
pub(crate) struct Seat {
    activity: Mutex<Activity>,
}

#[derive(Default)]
struct Activity {
    job: Option<Running>,
    fate: Fate,
}

struct Running {
    operation: &'static str,
    lane: Lane,
    give_up_at: Instant,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Working,
    /// Written off; another thread took its place if `replaced`.
    WrittenOff { replaced: bool },
}

impl Seat {
    fn begin(&self, job: &Job) {
        let running =
            Running { operation: job.operation, lane: job.lane, give_up_at: Instant::now() + job.limit };
        self.activity().job = Some(running);
    }

    fn end(&self) -> Fate {
        let mut activity = self.activity();
        activity.job = None;
        std::mem::take(&mut activity.fate)
    }

    /// Writes the thread off if it has been inside for too long; returns the operation and whether to replace it. While
    /// the token is busy with making a key, only the one who makes it can be stuck.
    pub(crate) fn write_off_if_stuck(
        &self,
        shared: &Shared,
        now: Instant,
        is_busy: bool,
    ) -> Option<(&'static str, bool)> {
        let mut activity = self.activity();
        let Activity { job: Some(running), fate: Fate::Working } = &*activity else { return None };
        if now < running.give_up_at || (is_busy && running.lane != Lane::Generate) {
            return None;
        }
        let operation = running.operation;
        shared.lanes.done(running.lane);
        let replaced = shared.gate.write_off() <= shared.config.stuck_threads_max;
        activity.fate = Fate::WrittenOff { replaced };
        Some((operation, replaced))
    }

    /// Whether the thread makes a key and may still take its time.
    pub(crate) fn is_generating(&self, now: Instant) -> bool {
        let activity = self.activity();
        activity.job.as_ref().is_some_and(|job| job.lane == Lane::Generate && now < job.give_up_at)
    }

    fn activity(&self) -> std::sync::MutexGuard<'_, Activity> {
        self.activity.lock().expect("no thread panics while it holds its seat")
    }
}

/// Starts a session thread.
pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<Arc<Seat>> {
    let seat = Arc::new(Seat::default());
    let mut worker = Worker { shared, seat: Arc::clone(&seat), session: None };
    thread::Builder::new().name("hsm-session".to_owned()).spawn(move || worker.run())?;
    Ok(seat)
}

struct Worker {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    /// With the generation that opened it.
    session: Option<(u64, Session)>,
}

impl Worker {
    fn run(&mut self) {
        while let Some(mut job) = self.shared.lanes.pop() {
            if job.task.is_abandoned() || Instant::now() >= job.deadline {
                count(&self.shared.status.counters.stale_jobs);
                self.shared.lanes.done(job.lane);
                job.task.finish(Err(HsmError::DeadlineExceeded { operation: job.operation }));
                continue;
            }
            let Some(token) = self.shared.gate.enter() else {
                self.shared.lanes.done(job.lane);
                job.task.finish(Err(self.shared.unavailable()));
                continue;
            };
            self.seat.begin(&job);
            let outcome = self.execute(&token, &mut job);
            if self.settle(job, outcome) {
                return;
            }
        }
    }

    /// Gives the result and leaves the gate; true if another thread has this one's place.
    fn settle(&mut self, job: Job, outcome: Result<(), HsmError>) -> bool {
        match self.seat.end() {
            Fate::Working => {
                self.shared.gate.leave();
                self.shared.lanes.done(job.lane);
                job.task.finish(outcome);
                false
            }
            Fate::WrittenOff { replaced } => {
                // Nothing that was signed this late may leave.
                count(&self.shared.status.counters.late_results);
                job.task.finish(Err(HsmError::DeadlineExceeded { operation: job.operation }));
                self.session = None;
                self.shared.gate.leave_from_stuck();
                replaced
            }
        }
    }

    fn execute(&mut self, token: &OpenToken, job: &mut Job) -> Result<(), HsmError> {
        let shared = Arc::clone(&self.shared);
        let (mut may_replace, mut may_find) = (true, true);
        loop {
            let epoch = shared.keys.epoch();
            let error = match self.attempt(token, job) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let health = || {
                let session = self.session.as_ref().map(|(_, session)| session);
                session.map_or(SessionHealth::DeviceFailed, SessionHealth::of)
            };
            match recovery::rung(&error, health) {
                Rung::Answer => return Err(error),
                Rung::ReplaceSession if may_replace => {
                    may_replace = false;
                    self.drop_session();
                }
                Rung::FindAgain if may_find => {
                    may_find = false;
                    if let Err(failure) = shared.refresh(token, epoch) {
                        return Err(self.give_up(token, failure));
                    }
                }
                Rung::ReplaceSession | Rung::FindAgain | Rung::Reinitialize => {
                    return Err(self.give_up(token, error));
                }
            }
        }
    }

    fn attempt(&mut self, token: &OpenToken, job: &mut Job) -> Result<(), HsmError> {
        if self.session.as_ref().is_none_or(|(generation, _)| *generation != token.generation) {
            self.session = Some((token.generation, token::open_session(token)?));
        }
        let (_, session) = self.session.as_ref().expect("opened just above");
        job.task.attempt(&TokenSession { session, shared: &self.shared, token })
    }

    /// Closes the session where it still exists, which ends an operation left open in it.
    fn drop_session(&mut self) {
        count(&self.shared.status.counters.sessions_replaced);
        telemetry::recovery("replace_session");
        if let Some((_, session)) = self.session.take()
            && SessionHealth::of(&session) != SessionHealth::Gone
            && let Err(error) = session.close()
        {
            tracing::warn!(error = %error, "a lost hsm session could not be closed");
        }
    }

    fn give_up(&self, token: &OpenToken, error: HsmError) -> HsmError {
        self.shared.trip(token.generation, &error);
        match error {
            HsmError::VerificationFailed | HsmError::PinLatched(_) => error,
            other => HsmError::Unavailable { state: State::Degraded, cause: Cause::from(&other) },
        }
    }
}
