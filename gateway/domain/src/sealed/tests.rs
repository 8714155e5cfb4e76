use std::collections::BTreeMap;

use serde::Serialize;

use super::{RowVersion, Seal, Sealable, Sealer};
use crate::mac::{MacKey, MacKeys};

#[derive(Clone, Serialize)]
struct Row {
    id: u8,
    role: &'static str,
}

impl Sealable for Row {
    const TABLE: &'static str = "rows";

    fn row_version(&self) -> Option<RowVersion> {
        None
    }
}

#[derive(Serialize)]
struct Other {
    id: u8,
    role: &'static str,
}

impl Sealable for Other {
    const TABLE: &'static str = "others";

    fn row_version(&self) -> Option<RowVersion> {
        None
    }
}

fn sealer(keys: &[(u32, u8)], active: u32) -> Sealer {
    let keys: BTreeMap<_, _> = keys.iter().map(|(epoch, byte)| (*epoch, MacKey::new([*byte; 32]))).collect();
    Sealer::new(MacKeys::new(keys, active))
}

#[test]
fn opens_what_it_sealed_and_survives_text() {
    let sealer = sealer(&[(1, 7)], 1);
    let row = Row { id: 1, role: "agent" };
    let seal: Seal = sealer.seal(row.clone()).seal().to_string().parse().unwrap();
    assert!(sealer.open(row, seal).is_ok());
}

#[test]
fn an_edited_value_does_not_open() {
    let sealer = sealer(&[(1, 7)], 1);
    let seal = sealer.seal(Row { id: 1, role: "agent" }).seal();
    assert!(sealer.open(Row { id: 1, role: "admin" }, seal).is_err());
    assert!(sealer.open(Row { id: 2, role: "agent" }, seal).is_err());
}

#[test]
fn a_seal_of_another_table_does_not_fit() {
    let sealer = sealer(&[(1, 7)], 1);
    let seal = sealer.seal(Row { id: 1, role: "agent" }).seal();
    assert!(sealer.open(Other { id: 1, role: "agent" }, seal).is_err());
}

#[test]
fn older_epochs_open_and_unknown_ones_do_not() {
    let old = sealer(&[(1, 7)], 1);
    let row = Row { id: 1, role: "agent" };
    let seal = old.seal(row.clone()).seal();
    assert!(sealer(&[(1, 7), (2, 8)], 2).open(row.clone(), seal).is_ok());
    assert!(sealer(&[(2, 8)], 2).open(row, seal).is_err());
}
