use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use proptest::prelude::*;

use super::{Tallies, explains};
use crate::{
    audit::LaneHead,
    changes::RowWrite,
    ids::InstanceId,
    mac::{MacKey, MacKeys},
    sealed::{RowVersion, Sealer},
};

fn sealer() -> Sealer {
    Sealer::new(MacKeys::new([(1, MacKey::new([7; 32]))].into(), 1))
}

fn row(key: u8, version: u64) -> RowVersion {
    RowVersion { table: "rows", key: key.to_string(), version }
}

fn found(rows: &BTreeMap<u8, u64>) -> Tallies {
    let mut found = Tallies::default();
    for (key, version) in rows {
        found.find(&sealer(), &row(*key, *version));
    }
    found
}

/// Rows by key with their versions, and what two lanes counted of the writes that made them.
fn history(writes: &[(u8, bool, bool)]) -> (BTreeMap<u8, u64>, [Tallies; 2]) {
    let (mut rows, mut lanes) = (BTreeMap::new(), <[Tallies; 2]>::default());
    for (key, removes, lane) in writes {
        let lane = &mut lanes[usize::from(*lane)];
        let version = rows.get(key).copied();
        match version {
            Some(version) if *removes => {
                lane.count(&sealer(), &RowWrite::Removed(row(*key, version)));
                rows.remove(key);
            }
            _ => {
                let version = version.unwrap_or(0) + 1;
                lane.count(&sealer(), &RowWrite::Stored(row(*key, version)));
                rows.insert(*key, version);
            }
        }
    }
    (rows, lanes)
}

proptest! {
    #[test]
    fn lanes_sum_up_to_the_rows_that_are_there(
        writes in prop::collection::vec((0..8_u8, prop::bool::weighted(0.2), any::<bool>()), 0..60)
    ) {
        let (rows, [one, other]) = history(&writes);
        prop_assert!(found(&rows).missing_from(&one.plus(&other)).is_empty());
    }

    #[test]
    fn any_other_rows_differ(
        writes in prop::collection::vec((0..8_u8, prop::bool::weighted(0.2), any::<bool>()), 1..60),
        forged in prop::collection::btree_map(0..8_u8, 1..9_u64, 0..8),
    ) {
        let (rows, [one, other]) = history(&writes);
        prop_assume!(rows != forged);
        prop_assert!(!found(&forged).missing_from(&one.plus(&other)).is_empty());
    }
}

#[test]
fn the_row_that_went_back_explains_the_difference() {
    let writes = [(1, false, false), (2, false, false), (1, false, false), (1, false, true)];
    let (mut rows, [one, other]) = history(&writes);
    rows.insert(1, 1);
    let missing = found(&rows).missing_from(&one.plus(&other));
    let difference = missing["rows"];
    assert_eq!(explains(&sealer(), &row(1, 1), 64, difference), Some(2));
    assert_eq!(explains(&sealer(), &row(2, 1), 64, difference), None);
    assert_eq!(explains(&sealer(), &row(1, 1), 1, difference), None);
}

#[test]
fn sums_are_stored_under_a_mask_of_their_place() {
    let (_, [tallies, _]) = history(&[(1, false, false)]);
    let lane = InstanceId::from_uuid(uuid::Uuid::from_u128(1));
    let first = tallies.masked(&sealer(), lane, 1);
    let second = tallies.masked(&sealer(), lane, 2);
    assert_ne!(first, second);
    assert_ne!(first.hash(), second.hash());
    let head = LaneHead { sequence: 2, hash: B256::ZERO };
    assert_eq!(second.unmasked(&sealer(), lane, head), tallies);
    assert_ne!(first.unmasked(&sealer(), lane, head), tallies);
}

#[test]
fn a_table_name_or_key_cannot_pass_for_another() {
    let numbers = [("rows", "1"), ("row", "s1"), ("rows", "11"), ("rows1", "")].map(|(table, key)| {
        let mut tallies = Tallies::default();
        tallies.find(&sealer(), &RowVersion { table, key: key.into(), version: 1 });
        tallies.of(table)
    });
    assert!(numbers.iter().all(|number| *number != U256::ZERO));
    assert!((1..numbers.len()).all(|index| !numbers[..index].contains(&numbers[index])));
}
