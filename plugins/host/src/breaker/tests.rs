use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Breakers, Subject};
use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;

const BUSY: Subject = Subject { component: Digest([1; 32]), settings: Digest([1; 32]) };
const OTHER_SETTINGS: Subject = Subject { settings: Digest([2; 32]), ..BUSY };
const OPEN: Duration = Duration::from_secs(10);

fn breakers() -> (Arc<Breakers>, Instant) {
    let schedule = ScheduleConfig { breaker_failures: 3, breaker_open: OPEN, ..ScheduleConfig::default() };
    (Breakers::new(&schedule), Instant::now())
}

/// Runs once and ends so; answers whether the breaker opened.
#[track_caller]
fn run(breakers: &Arc<Breakers>, failure: Option<FailureCode>, now: Instant) -> bool {
    breakers.enter(BUSY, now).unwrap().leave(failure, now)
}

#[track_caller]
fn assert_open(breakers: &Arc<Breakers>, now: Instant) {
    let refused = breakers.enter(BUSY, now).err().unwrap();
    assert_eq!(refused.code, FailureCode::BreakerOpen);
    assert!(refused.detail.contains("`timeout`"), "{refused}");
}

#[test]
fn so_many_stops_in_a_row_open_it_for_this_subject_alone() {
    let (breakers, now) = breakers();
    assert!(!run(&breakers, Some(FailureCode::Abort), now));
    assert!(!run(&breakers, Some(FailureCode::MemoryLimit), now));
    assert!(run(&breakers, Some(FailureCode::Timeout), now));
    assert_open(&breakers, now);
    assert!(breakers.require_closed(BUSY, now).is_err());
    assert!(breakers.enter(OTHER_SETTINGS, now).is_ok());
}

#[test]
fn an_answer_between_them_starts_the_count_anew() {
    let (breakers, now) = breakers();
    // The plugin's own error, and an answer that breaks the contract, are answers here.
    for answer in [None, Some(FailureCode::GuestError), Some(FailureCode::InvalidOutput)] {
        assert!(!run(&breakers, Some(FailureCode::Timeout), now));
        assert!(!run(&breakers, Some(FailureCode::Timeout), now));
        assert!(!run(&breakers, answer, now));
    }
    assert!(breakers.lock().is_empty(), "who answers leaves nothing behind");
}

#[test]
fn after_its_time_one_run_decides_for_all() {
    let (breakers, now) = breakers();
    for _ in 0..3 {
        run(&breakers, Some(FailureCode::Timeout), now);
    }
    assert_open(&breakers, now + OPEN.checked_sub(Duration::from_millis(1)).unwrap());
    let later = now + OPEN;
    assert!(breakers.require_closed(BUSY, later).is_ok());
    let probe = breakers.enter(BUSY, later).unwrap();
    assert_open(&breakers, later);
    assert!(probe.leave(Some(FailureCode::Timeout), later), "open again");
    assert_open(&breakers, later);
    let probe = breakers.enter(BUSY, later + OPEN).unwrap();
    assert!(!probe.leave(None, later + OPEN));
    assert!(breakers.enter(BUSY, later + OPEN).is_ok());
}

#[test]
fn a_run_that_never_tells_counts_as_stopped() {
    let (breakers, now) = breakers();
    for _ in 0..3 {
        drop(breakers.enter(BUSY, now).unwrap());
    }
    assert!(breakers.enter(BUSY, now).is_err());
}

#[test]
fn those_that_were_running_when_it_opened_do_not_keep_it_open() {
    let (breakers, now) = breakers();
    let passes: Vec<_> = (0..6).map(|_| breakers.enter(BUSY, now).unwrap()).collect();
    let opened: Vec<_> = passes.into_iter().map(|pass| pass.leave(Some(FailureCode::Timeout), now)).collect();
    assert_eq!(opened, [false, false, true, false, false, false]);
    assert!(breakers.enter(BUSY, now + OPEN).is_ok());
}
