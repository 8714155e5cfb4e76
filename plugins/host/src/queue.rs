//! Waiting calls, fair between plugins: each has a bounded queue of its own, the queues take turns, and
//! no plugin runs on more than its share of the threads, however long it makes others wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;

/// Work that answers for itself, even when its deadline has passed or nobody waits any more.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    changed: Condvar,
    running_per_plugin: usize,
    waiting_per_plugin: usize,
    waiting_total: usize,
}

#[derive(Default)]
struct Lanes {
    by_plugin: HashMap<Digest, Lane>,
    /// Plugins with waiting jobs; the front one's turn is next.
    turns: VecDeque<Digest>,
    waiting: usize,
    /// Threads that sleep until something changes.
    asleep: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    running: usize,
}

impl Queue {
    pub(crate) fn new(schedule: &ScheduleConfig) -> Self {
        Self {
            lanes: Mutex::default(),
            changed: Condvar::new(),
            running_per_plugin: schedule.running_per_plugin.max(1),
            waiting_per_plugin: schedule.waiting_per_plugin,
            waiting_total: schedule.waiting_total,
        }
    }

    /// A queue for what is only tried out: all of it is alike, and has threads of its own.
    pub(crate) fn aside(schedule: &ScheduleConfig) -> Self {
        Self {
            lanes: Mutex::default(),
            changed: Condvar::new(),
            running_per_plugin: schedule.aside_threads.max(1),
            waiting_per_plugin: schedule.aside_waiting,
            waiting_total: schedule.aside_waiting,
        }
    }

    pub(crate) fn push(&self, plugin: Digest, job: Job) -> Result<(), FailureCode> {
        let mut guard = self.lock();
        let lanes = &mut *guard;
        if lanes.closed {
            return Err(FailureCode::ShuttingDown);
        }
        let waiting_here = lanes.by_plugin.get(&plugin).map_or(0, |lane| lane.jobs.len());
        if waiting_here >= self.waiting_per_plugin || lanes.waiting >= self.waiting_total {
            return Err(FailureCode::QueueFull);
        }
        if waiting_here == 0 {
            lanes.turns.push_back(plugin);
        }
        lanes.by_plugin.entry(plugin).or_default().jobs.push_back(job);
        lanes.waiting += 1;
        let someone_sleeps = lanes.asleep > 0;
        drop(guard);
        // Waking costs a system call, also when nobody sleeps.
        if someone_sleeps {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Runs jobs on the calling thread until the queue is closed.
    pub(crate) fn work(&self) {
        while let Some((plugin, job)) = self.next() {
            // A panic here is a fault of the host; the job's answer is dropped and its caller sees that.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                tracing::error!(plugin = %plugin, "an evaluation panicked in the host");
            }
            self.finish(plugin);
        }
    }

    /// Refuses new jobs, drops waiting ones and ends every `work`.
    pub(crate) fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        lanes.turns.clear();
        lanes.waiting = 0;
        let dropped: Vec<Job> = lanes.by_plugin.values_mut().flat_map(|lane| lane.jobs.drain(..)).collect();
        drop(lanes);
        drop(dropped);
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn next(&self) -> Option<(Digest, Job)> {
        let mut lanes = self.lock();
        loop {
            if lanes.closed {
                return None;
            }
            if let Some(taken) = lanes.take_turn(self.running_per_plugin) {
                return Some(taken);
            }
            lanes.asleep += 1;
            lanes = self.changed.wait(lanes).unwrap_or_else(PoisonError::into_inner);
            lanes.asleep -= 1;
        }
    }

    fn finish(&self, plugin: Digest) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.by_plugin.get_mut(&plugin) else { return };
        lane.running -= 1;
        if lane.running == 0 && lane.jobs.is_empty() {
            lanes.by_plugin.remove(&plugin);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// The first waiting job, in order of turns, whose plugin may run one more.
    fn take_turn(&mut self, running_per_plugin: usize) -> Option<(Digest, Job)> {
        let may_run = |plugin: &Digest| {
            self.by_plugin.get(plugin).is_some_and(|lane| lane.running < running_per_plugin)
        };
        let position = self.turns.iter().position(may_run)?;
        let plugin = self.turns.remove(position)?;
        let lane = self.by_plugin.get_mut(&plugin)?;
        let job = lane.jobs.pop_front()?;
        lane.running += 1;
        self.waiting -= 1;
        if !lane.jobs.is_empty() {
            self.turns.push_back(plugin);
        }
        Some((plugin, job))
    }
}

#[cfg(test)]
mod tests;
