//! A job while it runs, and how long it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{LaneKey, Queue};

/// One job while it runs.
pub(crate) struct Run {
    queue: Arc<Queue>,
    place: Mutex<Place>,
}

/// Where a run is. Touched by its own thread alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) lane: LaneKey,
    pub(super) has_overrun: bool,
    /// Another thread has taken the place of the run's own.
    pub(super) is_replaced: bool,
    stood_still: Duration,
}

/// A thread's processor time, in laps.
pub(super) struct Clock {
    last: Duration,
}

/// The processor time that a guest may take before its run counts as a long one.
pub(crate) struct Slice {
    run: Arc<Run>,
    /// The thread's processor time at the first look: most guests end before, and do not ask the system for it.
    begun: Option<Duration>,
}

impl Run {
    pub(super) const fn new(queue: Arc<Queue>, lane: LaneKey, is_replaced: bool) -> Self {
        let place = Place { lane, has_overrun: false, is_replaced, stood_still: Duration::ZERO };
        Self { queue, place: Mutex::new(place) }
    }

    pub(super) fn place(&self) -> Place {
        *self.lock()
    }

    /// Stands still while this is a long run and short ones keep the processors busy: a call that the guest does not notice,
    /// on a thread that holds nothing which others wait for.
    pub(crate) fn make_way(&self, deadline: Instant) {
        let Place { lane, has_overrun, .. } = self.place();
        if !lane.is_long && !has_overrun {
            return;
        }
        let begun = Instant::now();
        if !self.queue.load.is_busy(begun) {
            return;
        }
        let latest = deadline.min(begun + self.queue.pause());
        let mut now = begun;
        while now < latest && self.queue.load.is_busy(now) && !self.queue.is_closed() {
            thread::sleep(self.queue.tick.min(latest - now));
            now = Instant::now();
        }
        self.lock().stood_still += now - begun;
    }

    /// The guest waited so long for answers of the host. Longer than a slice makes a run a long one, however little of the
    /// processor it took: the thread that waits is one that others do not have.
    pub(crate) fn waited(&self, waited: Duration) {
        if waited >= self.queue.slice {
            self.lock().has_overrun = true;
        }
    }

    /// How long this run has stood still for others.
    pub(crate) fn stood_still(&self) -> Duration {
        self.place().stood_still
    }

    /// The slice is over. Where as many long runs as may are under way, it is asked for again.
    pub(super) fn overrun(&self) {
        let mut place = self.lock();
        place.has_overrun = true;
        if !place.lane.is_long && self.queue.move_to_background(place.lane.name) {
            place.lane.is_long = true;
            place.is_replaced = self.queue.replace_thread();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slice {
    pub(crate) const fn of(run: Arc<Run>) -> Self {
        Self { run, begun: None }
    }

    /// Looks how much of it is gone, and makes way for others when it is over. To be called on the thread of the run.
    pub(crate) fn look(&mut self, deadline: Instant) {
        let now = processor_time();
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_sub(begun) >= self.run.queue.slice {
            self.run.overrun();
        }
        self.run.make_way(deadline);
    }
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { last: processor_time() }
    }

    /// What the calling thread took since the lap before.
    pub(super) fn lap(&mut self) -> Duration {
        let now = processor_time();
        now.saturating_sub(std::mem::replace(&mut self.last, now))
    }
}

/// Of the calling thread: what it waited for, or others took meanwhile, is no part of it.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
