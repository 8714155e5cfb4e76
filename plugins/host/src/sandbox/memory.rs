//! What an evaluation remembers of the state: what it read, and what it would have the gateway write.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::U256;

use crate::config::Limits;
use crate::decimal;
use crate::failure::{FailureCode, Stop};
use crate::record::{CounterRead, Reservation, StateRead, StateWrite};
use crate::state::{Counted, CounterName, StatePort, StatePortError};

/// The state as one evaluation sees it: the port's answers under its own writes.
#[derive(Default)]
pub(crate) struct Memory {
    /// And when its answers must be there. None answers as if nothing was ever written.
    port: Option<(Arc<dyn StatePort>, Instant)>,
    /// First value of each key that was read, as the port gave it.
    reads: BTreeMap<String, Option<Vec<u8>>>,
    /// Last value of each key that was written.
    writes: BTreeMap<String, Option<Vec<u8>>>,
    counters: BTreeMap<CounterName, Counted>,
    reservations: BTreeMap<CounterName, U256>,
    waited: Duration,
}

/// The parts of an evaluation's record that are about state, in order of key and counter.
pub(crate) type Remembered = (Vec<StateRead>, Vec<StateWrite>, Vec<CounterRead>, Vec<Reservation>);

impl Memory {
    pub(crate) fn of(port: Arc<dyn StatePort>, deadline: Instant) -> Self {
        Self { port: Some((port, deadline)), ..Self::default() }
    }

    /// The value of a key as this evaluation sees it: its own writes first.
    pub(crate) fn read(&mut self, key: String, limits: &Limits) -> Result<Option<Vec<u8>>, Stop> {
        if let Some(written) = self.writes.get(&key) {
            return Ok(written.clone());
        }
        let known = self.known();
        match self.reads.entry(key) {
            Entry::Occupied(read) => Ok(read.get().clone()),
            Entry::Vacant(unread) => {
                require_name(unread.key(), limits)?;
                within(known + 1, limits.state_keys, "state keys and counters read")?;
                let value = match &self.port {
                    Some((port, deadline)) => timed(&mut self.waited, || port.read(unread.key(), *deadline))?,
                    None => None,
                };
                Ok(unread.insert(value).clone())
            }
        }
    }

    /// Every key written has been read, so the limit on reads bounds the writes too.
    pub(crate) fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        limits: &Limits,
    ) -> Result<bool, Stop> {
        let bytes = value.as_ref().map_or(0, Vec::len);
        within(bytes, limits.state_value_bytes, "bytes in a state value")?;
        if self.read(key.clone(), limits)?.as_deref() != expected {
            return Ok(false);
        }
        self.writes.insert(key, value);
        Ok(true)
    }

    pub(crate) fn counted(
        &mut self,
        name: String,
        window_seconds: u32,
        limits: &Limits,
    ) -> Result<U256, Stop> {
        Ok(self.counter(CounterName { name, window_seconds }, limits)?.1.others)
    }

    pub(crate) fn reserve(
        &mut self,
        (name, window_seconds): (String, u32),
        amount: &str,
        limit: &str,
        limits: &Limits,
    ) -> Result<bool, Stop> {
        let (amount, limit) = (require_amount(amount)?, require_amount(limit)?);
        let (counter, Counted { others, is_final }) =
            self.counter(CounterName { name, window_seconds }, limits)?;
        if is_final {
            return Ok(true);
        }
        let fits = others.checked_add(amount).is_some_and(|sum| sum <= limit);
        if fits {
            self.reservations.insert(counter, amount);
        }
        Ok(fits)
    }

    /// The time in which the port was asked.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }

    pub(crate) fn into_record(self) -> Remembered {
        (
            self.reads.into_iter().map(|(key, value)| StateRead { key, value }).collect(),
            self.writes.into_iter().map(|(key, value)| StateWrite { key, value }).collect(),
            self.counters.into_iter().map(|(counter, found)| CounterRead::new(counter, found)).collect(),
            self.reservations.into_iter().map(|(counter, amount)| Reservation { counter, amount }).collect(),
        )
    }

    fn counter(&mut self, counter: CounterName, limits: &Limits) -> Result<(CounterName, Counted), Stop> {
        if let Some(found) = self.counters.get(&counter) {
            return Ok((counter, *found));
        }
        require_name(&counter.name, limits)?;
        if counter.window_seconds == 0 {
            return Err(Stop::new(FailureCode::InvalidOutput, "a counter with a window of no time"));
        }
        within(self.known() + 1, limits.state_keys, "state keys and counters read")?;
        let found = match &self.port {
            Some((port, deadline)) => timed(&mut self.waited, || port.counted(&counter, *deadline))?,
            None => Counted::default(),
        };
        self.counters.insert(counter.clone(), found);
        Ok((counter, found))
    }

    fn known(&self) -> usize {
        self.reads.len() + self.counters.len()
    }
}

fn timed<T>(waited: &mut Duration, ask: impl FnOnce() -> Result<T, StatePortError>) -> Result<T, Stop> {
    let asked = Instant::now();
    let answer = ask();
    *waited += asked.elapsed();
    answer.map_err(|error| unavailable(&error))
}

fn unavailable(error: &StatePortError) -> Stop {
    Stop::new(FailureCode::StateUnavailable, error.to_string())
}

/// Names are stored and shown: no control characters.
fn require_name(name: &str, limits: &Limits) -> Result<(), Stop> {
    within(name.len(), limits.state_key_bytes, "bytes in the name of a state key or counter")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        let detail = "the name of a state key or counter is empty or holds control characters";
        return Err(Stop::new(FailureCode::InvalidOutput, detail));
    }
    Ok(())
}

fn require_amount(text: &str) -> Result<U256, Stop> {
    decimal::parse(text).ok_or_else(|| {
        let detail = "an amount must be decimal digits of a number below 2^256";
        Stop::new(FailureCode::InvalidOutput, detail)
    })
}

fn within(actual: usize, limit: usize, what: &str) -> Result<(), Stop> {
    if actual <= limit {
        return Ok(());
    }
    Err(Stop::new(FailureCode::StateLimit, format!("more than {limit} {what}")))
}
