//! Rates that all gateways of a database keep together.

use std::{
    collections::HashMap,
    fmt::Display,
    hash::Hash,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gateway_domain::{
    ports::RateCounts,
    rates::{Allowance, RateBucket, RatePlaces},
};

use super::{KeyedRate, locked};
use crate::{config::Rate, failure::Failure};

/// Where shared rates are counted, and how many places each has there.
#[derive(Clone)]
pub(crate) struct Counting {
    pub(crate) counts: Arc<dyn RateCounts>,
    pub(crate) places: Arc<RatePlaces>,
    pub(crate) places_max: usize,
}

/// A rate by name and source, be it an address or a user. This process's own bucket and its memory of refusals come first:
/// a source that has used its allowance up costs the database nothing, however often it comes.
pub(crate) struct SharedRate<S: Hash + Eq + Copy> {
    rate: Rate,
    here: KeyedRate<Counted<S>>,
    waiting: Mutex<HashMap<Counted<S>, Instant>>,
    counting: Counting,
}

/// What is counted, and for whom.
type Counted<S> = (&'static str, S);

impl<S: Hash + Eq + Copy + Display> SharedRate<S> {
    pub(super) fn new(rate: Rate, counting: &Counting) -> Self {
        Self {
            rate,
            here: KeyedRate::new(rate, counting.places_max),
            waiting: Mutex::default(),
            counting: counting.clone(),
        }
    }

    /// How long this gateway knows that the source has to wait, if it has to.
    pub(crate) fn wait(&self, name: &'static str, source: S) -> Option<Duration> {
        let mut waiting = locked(&self.waiting);
        let left = waiting.get(&(name, source))?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            waiting.remove(&(name, source));
            return None;
        }
        Some(left)
    }

    /// Takes one. Fails as unavailable if the database does not answer: what nobody counts is not allowed.
    pub(crate) async fn take(&self, name: &'static str, source: S) -> Result<(), Failure> {
        if let Some(retry_after) = self.wait(name, source) {
            return Err(Failure::RateLimited { retry_after });
        }
        let allowance = match self.here.check(&(name, source)) {
            Ok(()) => self.counting.counts.take(&self.bucket(name, source)).await?,
            Err(wait) => Allowance::Exhausted(wait),
        };
        let Allowance::Exhausted(retry_after) = allowance else { return Ok(()) };
        self.remember((name, source), retry_after);
        Err(Failure::RateLimited { retry_after })
    }

    fn bucket(&self, name: &'static str, source: S) -> RateBucket {
        let text = source.to_string();
        let count = u32::try_from(self.counting.places_max).unwrap_or(u32::MAX);
        RateBucket {
            rate: name,
            place: self.counting.places.place(name, text.as_bytes(), count),
            burst: self.rate.burst,
            period: Duration::from_millis(self.rate.period_ms.max(1)),
        }
    }

    fn remember(&self, counted: Counted<S>, wait: Duration) {
        let now = Instant::now();
        let mut waiting = locked(&self.waiting);
        if waiting.len() >= self.counting.places_max {
            waiting.retain(|_, until| *until > now);
        }
        if waiting.len() < self.counting.places_max.max(1) {
            waiting.insert(counted, now + wait);
        }
    }
}
