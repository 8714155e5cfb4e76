use gateway_domain::{changes::RowWrite, sealed::RowVersion};

use super::Seen;

fn row(key: &str, version: u64) -> RowVersion {
    RowVersion { table: "rows", key: key.into(), version }
}

#[test]
fn a_row_does_not_go_back() {
    let seen = Seen::new(10, None);
    seen.check(row("a", 2), seen.moment()).unwrap();
    seen.check(row("a", 2), seen.moment()).unwrap();
    seen.check(row("a", 3), seen.moment()).unwrap();
    let error = seen.check(row("a", 2), seen.moment()).unwrap_err();
    assert_eq!(error.to_string(), "row `a` of `rows` went back from version 3 to 2");
    seen.check(row("b", 1), seen.moment()).unwrap();
}

#[test]
fn what_was_written_is_seen() {
    let seen = Seen::new(10, None);
    seen.wrote(&[RowWrite::Stored(row("a", 5)), RowWrite::Stored(row("a", 4))]);
    assert!(seen.check(row("a", 4), seen.moment()).is_err());
    seen.check(row("a", 5), seen.moment()).unwrap();
}

#[test]
fn a_read_under_way_may_miss_a_write_and_proves_nothing() {
    let seen = Seen::new(10, None);
    let began = seen.moment();
    seen.wrote(&[RowWrite::Stored(row("a", 2))]);
    seen.check(row("a", 1), began).unwrap();
    assert!(seen.check(row("a", 1), seen.moment()).is_err());
}

#[test]
fn a_removed_row_may_come_back_as_its_first_version() {
    let seen = Seen::new(10, None);
    seen.wrote(&[RowWrite::Stored(row("a", 7))]);
    let began = seen.moment();
    seen.wrote(&[RowWrite::Removed(row("a", 7))]);
    seen.check(row("a", 7), began).unwrap();
    seen.check(row("a", 1), seen.moment()).unwrap();
    seen.wrote(&[RowWrite::Stored(row("a", 2))]);
    assert!(seen.check(row("a", 1), seen.moment()).is_err());
}

#[test]
fn the_rows_seen_last_are_remembered_within_the_bound() {
    let seen = Seen::new(8, None);
    for number in 0..100 {
        seen.wrote(&[RowWrite::Stored(row(&number.to_string(), 2))]);
    }
    assert!(seen.check(row("99", 1), seen.moment()).is_err());
    assert!(seen.check(row("96", 1), seen.moment()).is_err());
    seen.check(row("1", 1), seen.moment()).unwrap();
    let rows = seen.rows.lock().unwrap();
    assert!(rows.young.len() + rows.old.len() <= 8);
}

#[test]
fn rows_that_others_may_remove_are_not_watched() {
    let seen = Seen::new(10, Some("rows"));
    seen.wrote(&[RowWrite::Stored(row("a", 3))]);
    seen.check(row("a", 1), seen.moment()).unwrap();
}
