//! Token buckets for sources and credentials, bounded in number. What matters beyond one process, and past its end, is
//! counted in the database too.

use std::{
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

use gateway_domain::{Address, ids::PrincipalId};

use crate::config::{Rate, RateConfig};

mod shared;

pub(crate) use shared::{Counting, SharedRate};

/// How often a full map is swept for buckets that have filled up again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Rates {
    pub(crate) source: KeyedRate<IpAddr>,
    pub(crate) credential: KeyedRate<String>,
    /// Requests to read that a wallet signs, each of which is remembered for a while.
    pub(crate) wallet: KeyedRate<Address>,
    /// Messages for a user that the token is asked to open.
    pub(crate) decryption: KeyedRate<PrincipalId>,
    /// By operation and source.
    pub(crate) login: SharedRate<IpAddr>,
    /// Wallets that enrol themselves.
    pub(crate) registrations: SharedRate<IpAddr>,
    /// Requests of somebody who enrolled themselves to change something. What they write stays, and nobody vouches for
    /// them (T38).
    pub(crate) changes: SharedRate<PrincipalId>,
    /// Failed authentications. A source that used its allowance up waits before its next request is looked at, so that
    /// guessing costs the guesser and not the database (T25).
    pub(crate) failures: SharedRate<IpAddr>,
}

/// The names of rates that are no operation's.
pub(crate) const REGISTRATIONS: &str = "registrations";
pub(crate) const CHANGES: &str = "changes";
pub(crate) const FAILURES: &str = "failures";

/// One bucket per key; while the map is full, callers share one more.
pub(crate) struct KeyedRate<K: Hash + Eq + Clone> {
    buckets: DefaultKeyedRateLimiter<K>,
    shared: DefaultDirectRateLimiter,
    keys_max: usize,
    swept_at: Mutex<Instant>,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig, counting: &Counting) -> Self {
        Self {
            source: KeyedRate::new(config.source, config.keys_max),
            credential: KeyedRate::new(config.credential, config.keys_max),
            wallet: KeyedRate::new(config.wallet, config.keys_max),
            decryption: KeyedRate::new(config.decryption, config.keys_max),
            login: SharedRate::new(config.login, counting),
            registrations: SharedRate::new(config.registrations, counting),
            changes: SharedRate::new(config.changes, counting),
            failures: SharedRate::new(config.failures, counting),
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
