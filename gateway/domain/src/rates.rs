//! Rates that all gateways of one database keep together, so that neither a second gateway nor a restart gives anybody
//! an allowance anew.

use std::time::Duration;

use crate::mac::MacKeys;

/// One place under a rate: what a source is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateBucket {
    /// What is counted.
    pub rate: &'static str,
    pub place: u32,
    /// As many at once; 0 reads as 1.
    pub burst: u32,
    /// Time in which the whole burst comes back.
    pub period: Duration,
}

/// Whether a bucket had something left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    Granted,
    /// How long until there is something again.
    Exhausted(Duration),
}

/// Assigns sources to places. Their number bounds what strangers can have stored (T38). Keyed, so that nobody can choose
/// an address that shares the place of another, and the database holds no addresses.
pub struct RatePlaces(MacKeys);

impl RatePlaces {
    pub fn new(keys: MacKeys) -> Self {
        Self(keys)
    }

    /// One of `count` places; 0 reads as 1.
    pub fn place(&self, rate: &str, source: &[u8], count: u32) -> u32 {
        let mac = self.0.mac(&[rate.as_bytes(), source]);
        let (head, _) = mac.bytes().split_at(8);
        let number = u64::from_be_bytes(head.try_into().expect("eight bytes were split off"));
        u32::try_from(number % u64::from(count.max(1))).expect("a remainder is below its divisor")
    }
}

impl RateBucket {
    /// Time in which one comes back.
    pub fn interval(&self) -> Duration {
        (self.period / self.burst.max(1)).max(Duration::from_micros(1))
    }

    /// How far a bucket may run ahead of the time and still grant one more.
    pub fn tolerance(&self) -> Duration {
        self.interval() * (self.burst.max(1) - 1)
    }
}

#[cfg(test)]
mod tests;
