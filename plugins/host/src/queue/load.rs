//! How busy short runs keep the processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Short runs that take more than this part of the processors' time make long ones stand still. Small: handing over, asking
/// and answering take as much again, or more.
const BUSY: f64 = 0.1;

/// The time that short runs take, told in looks that are at least so far apart.
pub(super) struct Load {
    every: Duration,
    processors: f64,
    /// Nanoseconds that short runs have taken, all together.
    taken: AtomicU64,
    last: Mutex<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    taken: u64,
    is_busy: bool,
}

impl Load {
    pub(super) fn new(every: Duration) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            every,
            processors: f64::from(u32::try_from(processors).unwrap_or(u32::MAX)),
            taken: AtomicU64::new(0),
            last: Mutex::new(Look { at: Instant::now(), taken: 0, is_busy: false }),
        }
    }

    /// One processor that is busy at every look.
    #[cfg(test)]
    pub(super) fn busy() -> Self {
        let last = Look { at: Instant::now(), taken: 0, is_busy: true };
        Self { last: Mutex::new(last), processors: 1.0, ..Self::new(Duration::MAX) }
    }

    pub(super) const fn processors(&self) -> f64 {
        self.processors
    }

    /// A short run took so much of a processor's time.
    pub(super) fn took(&self, time: Duration) {
        self.taken.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether short runs kept the processors busy between the last two looks. The first look after a long while tells of all
    /// of it; the next, a tick later, of now.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(last.at);
        if since >= self.every {
            let taken = self.taken.load(Ordering::Relaxed);
            let share = Duration::from_nanos(taken.wrapping_sub(last.taken)).as_secs_f64()
                / since.as_secs_f64()
                / self.processors;
            *last = Look { at: now, taken, is_busy: share > BUSY };
        }
        last.is_busy
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Load;

    #[test]
    fn more_than_a_tenth_of_the_processors_time_is_busy_until_a_look_finds_less() {
        let second = Duration::from_secs(1);
        let load = Load { processors: 2.0, ..Load::new(second) };
        let start = Instant::now();
        load.took(second / 5);
        assert!(!load.is_busy(start + second));
        load.took(second / 4);
        assert!(load.is_busy(start + 2 * second));
        // Too early to look again.
        assert!(load.is_busy(start + 2 * second + second / 2));
        assert!(!load.is_busy(start + 3 * second));
    }
}
