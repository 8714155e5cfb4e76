use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::mac::MacKey;

fn places(byte: u8) -> RatePlaces {
    RatePlaces::new(MacKeys::new(BTreeMap::from([(1, MacKey::new([byte; 32]))]), 1))
}

#[test]
fn places_lie_within_their_count_and_follow_key_rate_and_source() {
    let all: BTreeSet<u32> =
        (0..=255_u8).map(|last| places(1).place("login", &[192, 0, 2, last], 64)).collect();
    assert!(all.iter().all(|place| *place < 64));
    assert!(all.len() > 32, "sources are spread: {}", all.len());
    let place = |key, rate, last: u8| places(key).place(rate, &[192, 0, 2, last], u32::MAX);
    assert_eq!(place(1, "login", 1), place(1, "login", 1));
    for other in [place(2, "login", 1), place(1, "failures", 1), place(1, "login", 2)] {
        assert_ne!(other, place(1, "login", 1));
    }
    assert_eq!(places(1).place("login", b"any", 0), 0);
}

#[test]
fn a_burst_of_one_tolerates_nothing_and_no_interval_is_zero() {
    let bucket = |burst, period| RateBucket { rate: "login", place: 0, burst, period };
    let twenty = bucket(20, Duration::from_mins(1));
    assert_eq!((twenty.interval(), twenty.tolerance()), (Duration::from_secs(3), Duration::from_secs(57)));
    assert_eq!(bucket(1, Duration::from_mins(1)).tolerance(), Duration::ZERO);
    assert_eq!(bucket(0, Duration::from_mins(1)).interval(), Duration::from_mins(1));
    assert_eq!(bucket(10_000, Duration::from_nanos(1)).interval(), Duration::from_micros(1));
}
