//! Counters over a moving window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    U256,
    clock::Timestamp,
    ids::TransactionId,
    transactions::{Provider, State, Transaction},
};

#[cfg(test)]
mod tests;

/// Into how many steps a window is cut. What was signed leaves the sum with its step.
const STEPS: u64 = 64;
const MICROS: u64 = 1_000_000;

/// A counter: its name and its window together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterName {
    pub name: String,
    /// At least 1.
    pub window_seconds: u32,
}

/// Amounts under one counter. Sums saturate, so that none wraps round to little.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// What was signed, by step of the window since 1970.
    pub signed: BTreeMap<u64, U256>,
    /// What is reserved for transactions that were unsigned when they were last looked at.
    pub held: BTreeMap<TransactionId, U256>,
}

/// What has become of a transaction, as far as its reservations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may still be signed.
    Open,
    /// A signature exists, or somebody else executes it.
    Signed(Timestamp),
    /// It ended without a signature.
    Unsigned,
}

impl Fate {
    pub(crate) fn of(transaction: &Transaction) -> Self {
        match &transaction.state {
            State::Pending => Self::Open,
            State::Approved if transaction.provider != Provider::None => Self::Open,
            State::Approved
            | State::Signed { .. }
            | State::Submitted { .. }
            | State::Executed { .. }
            | State::HandedOver { .. }
            | State::ExecutedByVendor { .. }
            | State::Settled { .. } => Self::Signed(transaction.updated_at),
            State::Failed { reason } if reason.is_after_release() => Self::Signed(transaction.updated_at),
            State::Rejected { .. } | State::Aborted | State::Failed { .. } => Self::Unsigned,
        }
    }
}

impl CounterName {
    pub(super) fn row_name(&self) -> String {
        format!("counter/{}/{}", self.window_seconds, self.name)
    }

    fn step_micros(&self) -> u64 {
        (u64::from(self.window_seconds) * MICROS / STEPS).max(1)
    }

    /// The oldest step of which some part lies in the window that ends at `now`.
    fn first_step(&self, now: Timestamp) -> u64 {
        micros(now).saturating_sub(u64::from(self.window_seconds) * MICROS) / self.step_micros()
    }
}

impl Counter {
    /// The sum of what transactions other than `own` have reserved.
    pub(crate) fn others(&self, own: TransactionId) -> U256 {
        let held =
            self.held.iter().filter(|(transaction, _)| **transaction != own).map(|(_, amount)| *amount);
        self.signed.values().copied().chain(held).fold(U256::ZERO, U256::saturating_add)
    }

    /// The counter at `now`: reservations of transactions that have met their fate are added to what was signed, or
    /// dropped, and what lies before the window is gone.
    pub(crate) fn settled(
        mut self,
        name: &CounterName,
        fates: &BTreeMap<TransactionId, Fate>,
        now: Timestamp,
    ) -> Self {
        for (transaction, fate) in fates {
            match fate {
                Fate::Open => {}
                Fate::Unsigned => {
                    self.held.remove(transaction);
                }
                Fate::Signed(at) => {
                    if let Some(amount) = self.held.remove(transaction) {
                        // Another gateway's clock may be ahead; the future would never leave the window in time.
                        let step = micros((*at).min(now)) / name.step_micros();
                        let sum = self.signed.entry(step).or_default();
                        *sum = sum.saturating_add(amount);
                    }
                }
            }
        }
        self.signed = self.signed.split_off(&name.first_step(now));
        self
    }
}

fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.unix_micros()).unwrap_or(0)
}
