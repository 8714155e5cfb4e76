//! Waiting calls, fair between lanes: each has a bounded queue of its own, the queues take turns, and none runs on more
//! than its share of the threads, however long it makes others wait. A lane is a plugin's or, of what is only tried out,
//! an organization's, each named by a digest. What runs for longer than a slice of processor time leaves its thread's place
//! to another, and stands still, again and again for a while, where short runs keep the processors busy.

mod load;
mod run;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;
use crate::subject::Subject;

use load::Load;
use run::{Clock, Place};
pub(crate) use run::{Run, Slice};

/// Work that has an answer, even when its deadline has passed or nobody waits any more.
pub(crate) type Job = Box<dyn FnOnce(&Arc<Run>) -> Answer + Send>;

/// Gives the answer of a run that counts no longer: who hears it may ask again, and is judged by that run.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// A job, and whose it is.
pub(crate) struct Task {
    pub(crate) lane: Digest,
    /// Whose runs are remembered as long ones.
    pub(crate) subject: Option<Subject>,
    pub(crate) job: Job,
}

pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    changed: Condvar,
    /// Of the processors, by short runs of this queue and of those beside it.
    load: Arc<Load>,
    /// Of its threads.
    name: &'static str,
    threads_started: AtomicUsize,
    threads: usize,
    background_max: usize,
    running_per_lane: usize,
    waiting_per_lane: usize,
    waiting_total: usize,
    slice: Duration,
    long_for: Duration,
    pause_max: Duration,
    tick: Duration,
}

/// A lane of short jobs, or that of the same name for subjects with long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LaneKey {
    name: Digest,
    is_long: bool,
}

#[derive(Default)]
struct Lanes {
    by_key: HashMap<LaneKey, Lane>,
    /// Lanes with waiting jobs; the front one's turn is next.
    turns: VecDeque<LaneKey>,
    waiting: usize,
    /// Long runs under way.
    background: usize,
    /// Subjects with a long run, and when the last of them ended.
    long: HashMap<Subject, Instant>,
    /// Threads that sleep until something changes.
    asleep: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Task>,
    running: usize,
}

/// A job whose turn it is.
struct Turn {
    lane: LaneKey,
    task: Task,
}

impl Queue {
    pub(crate) fn new(schedule: &ScheduleConfig) -> Self {
        Self {
            lanes: Mutex::default(),
            changed: Condvar::new(),
            load: Arc::new(Load::new(schedule.tick)),
            name: "plugin",
            threads_started: AtomicUsize::new(0),
            threads: schedule.threads.max(1),
            background_max: schedule.background_threads,
            running_per_lane: schedule.running_per_plugin.max(1),
            waiting_per_lane: schedule.waiting_per_plugin,
            waiting_total: schedule.waiting_total,
            slice: schedule.slice,
            long_for: schedule.long_for,
            pause_max: schedule.pause_max,
            tick: schedule.tick,
        }
    }

    /// A queue beside this one for what is only tried out, which has threads of its own: whoever tries out much waits for
    /// themselves.
    pub(crate) fn aside(&self, name: &'static str, schedule: &ScheduleConfig) -> Self {
        let threads = schedule.aside_threads.max(1);
        Self {
            name,
            threads,
            background_max: threads,
            running_per_lane: threads,
            waiting_per_lane: schedule.aside_waiting_per_organization,
            waiting_total: schedule.aside_waiting,
            load: Arc::clone(&self.load),
            ..Self::new(schedule)
        }
    }

    /// Starts the threads.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        (0..self.threads).try_for_each(|_| self.start_thread())
    }

    pub(crate) fn push(&self, task: Task) -> Result<(), FailureCode> {
        let mut guard = self.lock();
        let lanes = &mut *guard;
        if lanes.closed {
            return Err(FailureCode::ShuttingDown);
        }
        let is_long = task.subject.as_ref().is_some_and(|subject| lanes.is_long(subject, self.long_for));
        let key = LaneKey { name: task.lane, is_long };
        let twin = LaneKey { is_long: !is_long, ..key };
        let waiting_here = lanes.waiting_in(key);
        if waiting_here + lanes.waiting_in(twin) >= self.waiting_per_lane
            || lanes.waiting >= self.waiting_total
        {
            return Err(FailureCode::QueueFull);
        }
        if waiting_here == 0 {
            lanes.turns.push_back(key);
        }
        lanes.by_key.entry(key).or_default().jobs.push_back(task);
        lanes.waiting += 1;
        let someone_sleeps = lanes.asleep > 0;
        drop(guard);
        // Waking costs a system call, also when nobody sleeps.
        if someone_sleeps {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Refuses new jobs, drops waiting ones and ends the threads.
    pub(crate) fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        lanes.turns.clear();
        lanes.waiting = 0;
        let dropped: Vec<_> = lanes.by_key.values_mut().flat_map(|lane| lane.jobs.drain(..)).collect();
        drop(lanes);
        drop(dropped);
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let number = self.threads_started.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::clone(self);
        thread::Builder::new().name(format!("{}-{number}", self.name)).spawn(move || queue.work())?;
        Ok(())
    }

    /// Runs jobs on the calling thread until the queue is closed, or another thread has taken its place.
    fn work(self: &Arc<Self>) {
        let mut clock = Clock::start();
        while let Some(turn) = self.next() {
            if self.run(turn, false, &mut clock) {
                while let Some(turn) = self.next_long() {
                    self.run(turn, true, &mut clock);
                }
                return;
            }
        }
    }

    /// Runs a job. Answers whether another thread took the place of this one, by now or before.
    fn run(self: &Arc<Self>, Turn { lane, task }: Turn, was_replaced: bool, clock: &mut Clock) -> bool {
        let Task { subject, job, .. } = task;
        let is_replaced = was_replaced || lane.is_long && self.replace_thread();
        let run = Arc::new(Run::new(Arc::clone(self), lane, is_replaced));
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&run)));
        let Place { lane, has_overrun, is_replaced, .. } = run.place();
        let took = clock.lap();
        // One that found no place among the long ones is none of those that they make way for.
        if !lane.is_long && !has_overrun {
            self.load.took(took);
        }
        self.finish(lane, subject.filter(|_| has_overrun));
        if let Ok(give) = answer {
            give();
        } else {
            // A fault of the host; the caller sees that there will be no answer.
            tracing::error!(lane = %lane.name, "an evaluation panicked in the host");
        }
        is_replaced
    }

    /// Lets another thread take the place of the calling one. Answers whether there is such a thread.
    fn replace_thread(self: &Arc<Self>) -> bool {
        let started = self.start_thread();
        started
            .inspect_err(|error| tracing::warn!(%error, "no thread takes the place of a long evaluation's"))
            .is_ok()
    }

    fn next(&self) -> Option<Turn> {
        let mut lanes = self.lock();
        loop {
            if lanes.closed {
                return None;
            }
            if let Some(turn) = lanes.take_turn(self, |_| true) {
                return Some(turn);
            }
            lanes.asleep += 1;
            lanes = self.changed.wait(lanes).unwrap_or_else(PoisonError::into_inner);
            lanes.asleep -= 1;
        }
    }

    /// Another long job, if one waits that may run.
    fn next_long(&self) -> Option<Turn> {
        self.lock().take_turn(self, |lane| lane.is_long)
    }

    /// Counts a run as a long one from here on, if there is a place for it.
    fn move_to_background(&self, name: Digest) -> bool {
        let mut lanes = self.lock();
        let long = LaneKey { name, is_long: true };
        if !lanes.may_run(self, long) {
            return false;
        }
        lanes.background += 1;
        lanes.by_key.entry(long).or_default().running += 1;
        lanes.leave(LaneKey { name, is_long: false });
        let someone_sleeps = lanes.asleep > 0 && lanes.waiting > 0;
        drop(lanes);
        if someone_sleeps {
            self.changed.notify_one();
        }
        true
    }

    /// `long` is whose run took longer than its slice.
    fn finish(&self, lane: LaneKey, long: Option<Subject>) {
        let mut lanes = self.lock();
        lanes.background -= usize::from(lane.is_long);
        lanes.leave(lane);
        if let Some(subject) = long {
            let now = Instant::now();
            lanes.long.retain(|_, at| now.duration_since(*at) < self.long_for);
            lanes.long.insert(subject, now);
        }
    }

    /// The longest that a long run stands still: the more of them there are for a processor, the longer each does, so that
    /// together they keep to the same part of the processors' time.
    fn pause(&self) -> Duration {
        let long = u32::try_from(self.lock().background.max(1)).unwrap_or(u32::MAX);
        self.pause_max.mul_f64(f64::from(long) / self.load.processors())
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn is_long(&self, subject: &Subject, long_for: Duration) -> bool {
        self.long.get(subject).is_some_and(|at| at.elapsed() < long_for)
    }

    fn waiting_in(&self, key: LaneKey) -> usize {
        self.by_key.get(&key).map_or(0, |lane| lane.jobs.len())
    }

    fn may_run(&self, queue: &Queue, key: LaneKey) -> bool {
        let running = self.by_key.get(&key).map_or(0, |lane| lane.running);
        running < queue.running_per_lane && (!key.is_long || self.background < queue.background_max)
    }

    /// The first waiting job, in order of turns, of a lane that may run one more.
    fn take_turn(&mut self, queue: &Queue, wanted: impl Fn(&LaneKey) -> bool) -> Option<Turn> {
        let position = self.turns.iter().position(|key| wanted(key) && self.may_run(queue, *key))?;
        let key = self.turns.remove(position)?;
        let lane = self.by_key.get_mut(&key)?;
        let task = lane.jobs.pop_front()?;
        lane.running += 1;
        self.waiting -= 1;
        if !lane.jobs.is_empty() {
            self.turns.push_back(key);
        }
        self.background += usize::from(key.is_long);
        Some(Turn { lane: key, task })
    }

    /// One run less in a lane.
    fn leave(&mut self, key: LaneKey) {
        let Some(lane) = self.by_key.get_mut(&key) else { return };
        lane.running -= 1;
        if lane.running == 0 && lane.jobs.is_empty() {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
