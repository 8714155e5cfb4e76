//! Token buckets for sources and credentials, bounded in number.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::config::{Rate, RateConfig};

/// How often a full map is swept for buckets that have filled up again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Rates {
    pub(crate) source: KeyedRate<IpAddr>,
    pub(crate) credential: KeyedRate<String>,
    /// By operation and source.
    pub(crate) login: KeyedRate<(&'static str, IpAddr)>,
    /// Wallets that enrol themselves.
    pub(crate) registrations: KeyedRate<IpAddr>,
    pub(crate) failures: FailureRate,
}

/// One bucket per key; while the map is full, callers share one more.
pub(crate) struct KeyedRate<K: Hash + Eq + Clone> {
    buckets: DefaultKeyedRateLimiter<K>,
    shared: DefaultDirectRateLimiter,
    keys_max: usize,
    swept_at: Mutex<Instant>,
}

/// Failed authentications. A source that used its allowance up waits before its next request is looked at, so
/// that guessing costs the guesser and not the database (T25).
pub(crate) struct FailureRate {
    rate: KeyedRate<IpAddr>,
    waiting: Mutex<HashMap<IpAddr, Instant>>,
    keys_max: usize,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig) -> Self {
        let failures = KeyedRate::new(config.failures, config.keys_max);
        Self {
            source: KeyedRate::new(config.source, config.keys_max),
            credential: KeyedRate::new(config.credential, config.keys_max),
            login: KeyedRate::new(config.login, config.keys_max),
            registrations: KeyedRate::new(config.registrations, config.keys_max),
            failures: FailureRate {
                rate: failures,
                waiting: Mutex::new(HashMap::new()),
                keys_max: config.keys_max.max(1),
            },
        }
    }
}

impl<K: Hash + Eq + Clone> KeyedRate<K> {
    pub(crate) fn new(rate: Rate, keys_max: usize) -> Self {
        let quota = quota(rate);
        Self {
            buckets: RateLimiter::dashmap(quota),
            shared: RateLimiter::direct(quota),
            keys_max,
            swept_at: Mutex::new(Instant::now()),
        }
    }

    /// Takes one token, or tells how long until there is one.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        let checked = if self.has_room() { self.buckets.check_key(key) } else { self.shared.check() };
        checked.map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }

    fn has_room(&self) -> bool {
        if self.buckets.len() < self.keys_max {
            return true;
        }
        let mut swept_at = locked(&self.swept_at);
        if swept_at.elapsed() >= SWEEP_INTERVAL {
            *swept_at = Instant::now();
            self.buckets.retain_recent();
        }
        self.buckets.len() < self.keys_max
    }
}

impl FailureRate {
    /// How long the source still has to wait, if it has to.
    pub(crate) fn wait(&self, source: IpAddr) -> Option<Duration> {
        let until = *locked(&self.waiting).get(&source)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            locked(&self.waiting).remove(&source);
            return None;
        }
        Some(left)
    }

    /// Counts one failure.
    pub(crate) fn charge(&self, source: IpAddr) {
        let Err(wait) = self.rate.check(&source) else { return };
        let now = Instant::now();
        let mut waiting = locked(&self.waiting);
        if waiting.len() >= self.keys_max {
            waiting.retain(|_, until| *until > now);
        }
        if waiting.len() < self.keys_max {
            waiting.insert(source, now + wait);
        }
    }
}

fn quota(rate: Rate) -> Quota {
    let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
    let replenish = Duration::from_millis(rate.period_ms.max(1)) / burst.get();
    Quota::with_period(replenish.max(Duration::from_nanos(1)))
        .expect("the period is not zero")
        .allow_burst(burst)
}

/// The maps stay usable after a panic elsewhere: every write to them is a single insertion or removal.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
