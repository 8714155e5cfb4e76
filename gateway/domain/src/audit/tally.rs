//! How often the rows of each table were written: what tells an older row, or a missing one, from the newest.
//!
//! A seal says that a row is ours, not that it is the newest of its kind. So every lane keeps, for each table, a sum
//! modulo 2^256: a secret number for each row version that its gateway wrote, less that of the version it replaced or
//! removed. Over all lanes the sums must be those of the rows that are there: an incremental multiset hash
//! (`MSet-Add-Hash` of Clarke, Devadas, van Dijk, Gassend and Suh, "Incremental Multiset Hash Functions and Their
//! Application to Memory Integrity Checking", 2003). The lane's last entry holds the hash of its sums, and so the
//! chain and the checkpoints hold them too.
//!
//! Sums are stored masked. Who sees bare sums learns single summands, and among many summands finds some that add
//! up to nothing (Wagner, "A Generalized Birthday Problem", 2002): rows that could be put back together.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use super::{LaneHead, json_hash};
use crate::{
    changes::RowWrite,
    ids::InstanceId,
    sealed::{RowVersion, Sealer},
};

#[cfg(test)]
mod tests;

/// Sums by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies(BTreeMap<String, U256>);

/// Sums as a lane stores them, under a mask for each place in the lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaskedTallies(BTreeMap<String, U256>);

impl Tallies {
    /// What a write adds to, or takes from, its lane.
    pub fn count(&mut self, sealer: &Sealer, write: &RowWrite) {
        match write {
            RowWrite::Stored(row) => {
                let before = row.version.saturating_sub(1);
                self.add(row.table, number(sealer, row, row.version));
                self.add(row.table, U256::ZERO.wrapping_sub(number(sealer, row, before)));
            }
            RowWrite::Removed(row) => {
                self.add(row.table, U256::ZERO.wrapping_sub(number(sealer, row, row.version)));
            }
        }
    }

    /// Counts a row that is there.
    pub fn find(&mut self, sealer: &Sealer, row: &RowVersion) {
        self.add(row.table, number(sealer, row, row.version));
    }

    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (table, sum) in &other.0 {
            self.add(table, *sum);
        }
        self
    }

    /// Tables whose sums differ, and what has to be added to `self` to get `other`.
    pub fn missing_from(&self, other: &Self) -> BTreeMap<String, U256> {
        let tables = self.0.keys().chain(other.0.keys());
        let differences = tables.map(|table| (table.clone(), other.of(table).wrapping_sub(self.of(table))));
        differences.filter(|(_, difference)| !difference.is_zero()).collect()
    }

    /// The sums as they are stored at entry `sequence` of `lane`.
    pub fn masked(&self, sealer: &Sealer, lane: InstanceId, sequence: u64) -> MaskedTallies {
        let masked = |(table, sum): (&String, &U256)| {
            (table.clone(), sum.wrapping_add(mask(sealer, table, lane, sequence)))
        };
        MaskedTallies(self.0.iter().map(masked).collect())
    }

    fn of(&self, table: &str) -> U256 {
        self.0.get(table).copied().unwrap_or_default()
    }

    fn add(&mut self, table: &str, number: U256) {
        match self.0.get_mut(table) {
            Some(sum) => *sum = sum.wrapping_add(number),
            None => {
                self.0.insert(table.to_owned(), number);
            }
        }
    }
}

impl MaskedTallies {
    pub fn unmasked(&self, sealer: &Sealer, lane: InstanceId, head: LaneHead) -> Tallies {
        let unmasked = |(table, sum): (&String, &U256)| {
            (table.clone(), sum.wrapping_sub(mask(sealer, table, lane, head.sequence)))
        };
        Tallies(self.0.iter().map(unmasked).collect())
    }

    /// What the lane's last entry says of them.
    pub fn hash(&self) -> B256 {
        json_hash("countersign-audit-tallies-1", self)
    }
}

/// By how many versions, at most `further`, the newest of a row is ahead of `row`, if that alone makes `difference`.
/// A row that is gone is sought at version 0.
pub fn explains(sealer: &Sealer, row: &RowVersion, further: u64, difference: U256) -> Option<u64> {
    let here = number(sealer, row, row.version);
    (1..=further).find(|more| {
        let newest = number(sealer, row, row.version.saturating_add(*more));
        newest.wrapping_sub(here) == difference
    })
}

/// What one version of a row adds to its table's sum; nothing where there is no row yet.
fn number(sealer: &Sealer, row: &RowVersion, version: u64) -> U256 {
    if version == 0 {
        return U256::ZERO;
    }
    let name = format!("{}\0{}\0{version}", row.table, row.key);
    sealer.secret_number("countersign row version", name.as_bytes())
}

fn mask(sealer: &Sealer, table: &str, lane: InstanceId, sequence: u64) -> U256 {
    let name = format!("{table}\0{lane}\0{sequence}");
    sealer.secret_number("countersign tally mask", name.as_bytes())
}
