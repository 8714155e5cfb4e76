//! The host: threads, queue and workshop behind one handle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::breaker::{Breakers, Ending};
use crate::config::{HostConfig, ScheduleConfig};
use crate::digest::Digest;
use crate::epoch::{self, Activity};
use crate::evaluation::Reused;
use crate::failure::{EvaluationFailure, FailureCode};
use crate::outcome::{Description, SettingsProblem};
use crate::prepare::{ComponentSource, PreparedPlugin, Workshop};
use crate::queue::{Answer, Queue, Run, Task};
use crate::record::{Evaluation, EvaluationRecord, EvaluationRequest};
use crate::subject::Subject;
use crate::{evaluation, measure};

/// Runs plugins. Clones share the host; when the last one is dropped, its threads end.
#[derive(Clone)]
pub struct PluginHost {
    inner: Arc<Inner>,
}

/// Who tries out a plugin of their own, for no organization.
const NOBODY: &str = "";

/// The lane of what an organization tries out.
fn organization_lane(organization: &str) -> Digest {
    Digest::of(organization.as_bytes())
}

/// Others had all the time: that says nothing of the plugin, nor the plugin anything of the transaction.
fn no_turn() -> EvaluationFailure {
    EvaluationFailure::new(FailureCode::QueueFull, "the plugin's turn did not come before the deadline")
}

fn late() -> EvaluationFailure {
    EvaluationFailure::new(FailureCode::Timeout, "no answer at the deadline")
}

/// One evaluation, about to run.
type Judging<'a> = Box<dyn FnOnce() -> Result<Evaluation, EvaluationFailure> + 'a>;

struct Inner {
    workshop: Arc<Workshop>,
    queue: Arc<Queue>,
    /// Of what is only tried out.
    aside: Arc<Queue>,
    /// Of shadows, which no decision waits for.
    shadows: Arc<Queue>,
    schedule: ScheduleConfig,
    activity: Arc<Activity>,
    breakers: Arc<Breakers>,
}

impl PluginHost {
    /// Opens the cache and starts the threads.
    pub fn start(config: &HostConfig) -> Result<Self, EvaluationFailure> {
        let activity = Activity::new();
        let queue = Queue::new(&config.schedule);
        let inner = Inner {
            workshop: Arc::new(Workshop::open(config)?),
            aside: Arc::new(queue.aside("plugin-aside", &config.schedule)),
            shadows: Arc::new(queue.aside("plugin-shadow", &config.schedule)),
            queue: Arc::new(queue),
            schedule: config.schedule.clone(),
            activity,
            breakers: Breakers::new(&config.schedule),
        };
        let started = inner.start_threads();
        started.map_err(|error| {
            EvaluationFailure::new(FailureCode::HostError, format!("cannot start threads: {error}"))
        })?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Checks, compiles or loads a component, and links it. Plugins of one digest share the result.
    pub async fn prepare(&self, source: ComponentSource) -> Result<Arc<PreparedPlugin>, EvaluationFailure> {
        let prepared = Arc::clone(&self.inner.workshop).prepare(source).await;
        prepared.inspect_err(|failure| measure::unprepared(failure.code))
    }

    /// Removes what was compiled of any other component from the cache.
    pub fn keep_compiled(&self, components: &BTreeSet<Digest>) -> Result<(), EvaluationFailure> {
        self.inner.workshop.keep_compiled(components)
    }

    /// Asks a plugin who it is.
    pub async fn describe(&self, plugin: &Arc<PreparedPlugin>) -> Result<Description, EvaluationFailure> {
        let deadline = Instant::now() + self.inner.schedule.deadline;
        let called = Arc::clone(plugin);
        let lane = (&*self.inner.aside, organization_lane(NOBODY), None);
        let work = move |run: &_| evaluation::describe(&called, deadline, run);
        self.call(lane, plugin, deadline, work).await
    }

    /// Asks a plugin what is wrong with some settings; an empty list accepts them.
    pub async fn validate_settings(
        &self,
        plugin: &Arc<PreparedPlugin>,
        settings: &str,
    ) -> Result<Vec<SettingsProblem>, EvaluationFailure> {
        self.validate_settings_for(NOBODY, plugin, settings).await
    }

    /// The same in an organization's turn.
    pub async fn validate_settings_for(
        &self,
        organization: &str,
        plugin: &Arc<PreparedPlugin>,
        settings: &str,
    ) -> Result<Vec<SettingsProblem>, EvaluationFailure> {
        let deadline = Instant::now() + self.inner.schedule.deadline;
        let (called, settings) = (Arc::clone(plugin), settings.to_owned());
        let work = move |run: &_| evaluation::validate_settings(&called, &settings, deadline, run);
        let lane = (&*self.inner.aside, organization_lane(organization), None);
        self.call(lane, plugin, deadline, work).await
    }

    /// Asks a plugin to judge a transaction. Answers by the request's deadline, or the host's if that is
    /// earlier; a guest still running then is interrupted. A plugin that had to be stopped too often in a row is not
    /// run for a while.
    pub async fn evaluate(
        &self,
        plugin: &Arc<PreparedPlugin>,
        request: EvaluationRequest,
    ) -> Result<Evaluation, EvaluationFailure> {
        let component = plugin.digest();
        let subject = Subject::of(plugin, &request);
        let breakers = Arc::clone(&self.inner.breakers);
        let asked = Instant::now();
        let closed = breakers.require_closed(&subject, asked);
        closed.inspect_err(|failure| measure::failure(component, failure.code))?;
        let judged =
            self.judge((&*self.inner.queue, component), plugin, request, move |judging, deadline, run| {
                let (begun, stood_before) = (Instant::now(), run.stood_still());
                let pass = breakers.enter(subject, begun)?;
                let answer = judging();
                let failure = answer.as_ref().err().map(|failure| failure.code);
                let stood_still = run.stood_still().saturating_sub(stood_before);
                let had = deadline.duration_since(begun).saturating_sub(stood_still);
                let promised = deadline.duration_since(asked);
                if pass.leave(Ending::of(failure, had, promised), Instant::now()) {
                    tracing::warn!(plugin = %component, "a plugin was stopped too often in a row, and rests");
                    measure::breaker_opened(component);
                }
                answer
            });
        judged.await.inspect(|evaluation| plugin.gauges().verdict(&evaluation.outcome.verdict))
    }

    /// Asks a plugin what it would say, on threads that run nothing else and in the organization's turn: neither does it hold
    /// up an evaluation, nor does a stop count against the plugin. One that rests is not asked.
    pub async fn try_out(
        &self,
        plugin: &Arc<PreparedPlugin>,
        request: EvaluationRequest,
    ) -> Result<Evaluation, EvaluationFailure> {
        self.judge_apart(&self.inner.aside, plugin, request).await
    }

    /// The same for a shadow, on threads of its own again: neither decisions nor what is tried out wait for it.
    pub async fn shadow(
        &self,
        plugin: &Arc<PreparedPlugin>,
        request: EvaluationRequest,
    ) -> Result<Evaluation, EvaluationFailure> {
        self.judge_apart(&self.inner.shadows, plugin, request).await
    }

    async fn judge_apart(
        &self,
        queue: &Queue,
        plugin: &Arc<PreparedPlugin>,
        request: EvaluationRequest,
    ) -> Result<Evaluation, EvaluationFailure> {
        self.inner.breakers.require_closed(&Subject::of(plugin, &request), Instant::now())?;
        let lane = (queue, organization_lane(&request.verified.organization_id));
        self.judge(lane, plugin, request, |judging, _, _| judging()).await
    }

    /// Evaluates a record again, from its own answers. Neither held up by the plugin's breaker nor counted by it.
    pub async fn repeat(
        &self,
        plugin: &Arc<PreparedPlugin>,
        record: &EvaluationRecord,
    ) -> Result<Evaluation, EvaluationFailure> {
        let lane = (&*self.inner.queue, plugin.digest());
        self.judge(lane, plugin, record.repeat(), |judging, _, _| judging()).await
    }

    /// Evaluates requests one after another in one instance, and tells what each took. For benchmarks: a decision gets
    /// an instance of its own.
    pub async fn time_reused(
        &self,
        plugin: &Arc<PreparedPlugin>,
        requests: Vec<EvaluationRequest>,
    ) -> Result<Reused, EvaluationFailure> {
        let each = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let deadline = Instant::now() + self.inner.schedule.deadline.saturating_mul(each);
        let called = Arc::clone(plugin);
        let work = move |_: &_| evaluation::time_reused(&called, requests, deadline);
        let lane = (&*self.inner.queue, plugin.digest(), None);
        self.call(lane, plugin, deadline, work).await
    }

    /// Names what bounds the evaluations of a component of that size, as evaluations record it: also of one that today's
    /// bounds keep from being prepared.
    pub fn limits_digest(&self, component_bytes: usize) -> Digest {
        self.inner.workshop.limits_digest(component_bytes)
    }

    /// Components that are compiled, linked and held by somebody.
    pub fn live_components(&self) -> usize {
        self.inner.workshop.live()
    }

    /// Refuses calls from now on and fails those that wait, with `shutting_down`. Calls that run end by
    /// their deadlines.
    pub fn shut_down(&self) {
        self.inner.close();
    }

    async fn judge(
        &self,
        (queue, lane): (&Queue, Digest),
        plugin: &Arc<PreparedPlugin>,
        request: EvaluationRequest,
        around: impl FnOnce(Judging<'_>, Instant, &Run) -> Result<Evaluation, EvaluationFailure> + Send + 'static,
    ) -> Result<Evaluation, EvaluationFailure> {
        let started = Instant::now();
        let latest = started + self.inner.schedule.deadline;
        let deadline = request.deadline.map_or(latest, |asked| asked.min(latest));
        let (called, subject) = (Arc::clone(plugin), Subject::of(plugin, &request));
        let (run_max, grace) = (self.inner.schedule.run_max, self.inner.grace());
        let work = move |run: &Arc<Run>| {
            let run_until = run_max.map_or(deadline, |longest| Instant::now() + longest);
            if run_until > deadline {
                return Err(no_turn());
            }
            let deadline = run_until;
            let judging = Box::new(|| evaluation::evaluate(&called, request, started, deadline, run));
            let answer = around(judging, deadline, run);
            // Who waits for the deadline has given up by then.
            if run_max.is_some() && Instant::now() > deadline + grace { Err(late()) } else { answer }
        };
        self.call((queue, lane, Some(subject)), plugin, deadline, work).await
    }

    /// Runs `work` on a thread of the queue, unless its lane's turn comes after the deadline or nobody waits.
    async fn call<T: Send + 'static>(
        &self,
        (queue, lane, subject): (&Queue, Digest, Option<Subject>),
        plugin: &Arc<PreparedPlugin>,
        deadline: Instant,
        work: impl FnOnce(&Arc<Run>) -> Result<T, EvaluationFailure> + Send + 'static,
    ) -> Result<T, EvaluationFailure> {
        let (sender, receiver) = oneshot::channel();
        let (asked, called) = (Instant::now(), Arc::clone(plugin));
        let activity = Arc::clone(&self.inner.activity);
        let turn = Arc::new(AtomicBool::new(false));
        let has_turn = Arc::clone(&turn);
        let job = Box::new(move |run: &Arc<Run>| -> Answer {
            called.gauges().wait_seconds.record(asked.elapsed());
            if sender.is_closed() {
                return Box::new(|| ());
            }
            run.make_way(deadline);
            let answer = if Instant::now() < deadline {
                has_turn.store(true, Ordering::Relaxed);
                let _running = activity.enter();
                work(run)
            } else {
                Err(no_turn())
            };
            Box::new(move || {
                // The caller may have stopped waiting meanwhile.
                let _ = sender.send(answer);
            })
        });
        let answer = match queue.push(Task { lane, subject, job }) {
            Ok(()) => self.inner.await_answer(receiver, &turn, deadline).await,
            Err(code) => Err(EvaluationFailure::new(code, "the evaluation was not accepted")),
        };
        answer.inspect_err(|failure| measure::failure(plugin.digest(), failure.code))
    }
}

impl Inner {
    fn start_threads(&self) -> std::io::Result<()> {
        epoch::start(self.workshop.engines(), &self.activity, self.schedule.tick)?;
        self.queue.start()?;
        self.aside.start()?;
        self.shadows.start()
    }

    fn close(&self) {
        self.queue.close();
        self.aside.close();
        self.shadows.close();
    }

    /// How long after the deadline an answer is still taken.
    fn grace(&self) -> Duration {
        2 * self.schedule.tick
    }

    /// The guest is stopped at the deadline by itself; two ticks later the caller gives up on it, as on
    /// a host call that blocks.
    async fn await_answer<T>(
        &self,
        receiver: oneshot::Receiver<Result<T, EvaluationFailure>>,
        has_turn: &AtomicBool,
        deadline: Instant,
    ) -> Result<T, EvaluationFailure> {
        match tokio::time::timeout_at((deadline + self.grace()).into(), receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if self.queue.is_closed() => {
                Err(EvaluationFailure::new(FailureCode::ShuttingDown, "the host is shutting down"))
            }
            Ok(Err(_)) => {
                Err(EvaluationFailure::new(FailureCode::HostError, "the evaluation panicked in the host"))
            }
            Err(_) if !has_turn.load(Ordering::Relaxed) => Err(no_turn()),
            Err(_) => Err(late()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
