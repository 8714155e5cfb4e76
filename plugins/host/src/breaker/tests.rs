use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Breakers, Ending, IDLE_TIMES, Subject};
use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;

const OPEN: Duration = Duration::from_secs(10);
const STOPPED: Ending = Ending::Stopped(FailureCode::Timeout);

fn busy() -> Subject {
    Subject { organization: "here".into(), component: Digest([1; 32]), settings: Digest([1; 32]) }
}

fn breakers() -> (Arc<Breakers>, Instant) {
    let schedule = ScheduleConfig { breaker_failures: 3, breaker_open: OPEN, ..ScheduleConfig::default() };
    (Breakers::new(&schedule), Instant::now())
}

/// Runs once and ends so; answers whether the breaker opened.
#[track_caller]
fn run(breakers: &Arc<Breakers>, ending: Ending, now: Instant) -> bool {
    breakers.enter(busy(), now).unwrap().leave(ending, now)
}

#[track_caller]
fn assert_open(breakers: &Arc<Breakers>, now: Instant) {
    let refused = breakers.enter(busy(), now).err().unwrap();
    assert_eq!(refused.code, FailureCode::BreakerOpen);
    assert!(refused.detail.contains("`timeout`"), "{refused}");
}

#[test]
fn so_many_stops_in_a_row_open_it_for_this_subject_alone() {
    let (breakers, now) = breakers();
    assert!(!run(&breakers, Ending::Stopped(FailureCode::Abort), now));
    assert!(!run(&breakers, Ending::Stopped(FailureCode::MemoryLimit), now));
    assert!(run(&breakers, STOPPED, now));
    assert_open(&breakers, now);
    assert!(breakers.require_closed(&busy(), now).is_err());
    assert!(breakers.enter(Subject { settings: Digest([2; 32]), ..busy() }, now).is_ok());
    assert!(
        breakers.enter(Subject { organization: "there".into(), ..busy() }, now).is_ok(),
        "a tenant of its own"
    );
}

#[test]
fn an_answer_between_them_starts_the_count_anew() {
    let (breakers, now) = breakers();
    // The plugin's own error, and an answer that breaks the contract, are answers here.
    for failure in [None, Some(FailureCode::GuestError), Some(FailureCode::InvalidOutput)] {
        assert!(!run(&breakers, STOPPED, now));
        assert!(!run(&breakers, STOPPED, now));
        assert!(!run(&breakers, Ending::of(failure, OPEN, OPEN), now));
    }
    assert!(breakers.lock().is_empty(), "who answers leaves nothing behind");
}

#[test]
fn after_its_time_one_run_decides_for_all() {
    let (breakers, now) = breakers();
    for _ in 0..3 {
        run(&breakers, STOPPED, now);
    }
    assert_open(&breakers, now + OPEN.checked_sub(Duration::from_millis(1)).unwrap());
    let later = now + OPEN;
    assert!(breakers.require_closed(&busy(), later).is_ok());
    let probe = breakers.enter(busy(), later).unwrap();
    assert_open(&breakers, later);
    assert!(probe.leave(STOPPED, later), "open again");
    assert_open(&breakers, later);
    let probe = breakers.enter(busy(), later + OPEN).unwrap();
    assert!(!probe.leave(Ending::Answered, later + OPEN));
    assert!(breakers.enter(busy(), later + OPEN).is_ok());
}

#[test]
fn a_run_that_never_tells_counts_as_stopped() {
    let (breakers, now) = breakers();
    for _ in 0..3 {
        drop(breakers.enter(busy(), now).unwrap());
    }
    assert!(breakers.enter(busy(), now).is_err());
}

#[test]
fn those_that_were_running_when_it_opened_do_not_keep_it_open() {
    let (breakers, now) = breakers();
    let passes: Vec<_> = (0..6).map(|_| breakers.enter(busy(), now).unwrap()).collect();
    let opened: Vec<_> = passes.into_iter().map(|pass| pass.leave(STOPPED, now)).collect();
    assert_eq!(opened, [false, false, true, false, false, false]);
    assert!(breakers.enter(busy(), now + OPEN).is_ok());
}

#[test]
fn an_answer_of_before_it_opened_does_not_close_it() {
    let (breakers, now) = breakers();
    let early = breakers.enter(busy(), now).unwrap();
    let late = breakers.enter(busy(), now).unwrap();
    for _ in 0..3 {
        run(&breakers, STOPPED, now);
    }
    assert!(!early.leave(Ending::Answered, now));
    assert_open(&breakers, now);
    let probe = breakers.enter(busy(), now + OPEN).unwrap();
    assert!(!late.leave(Ending::Answered, now + OPEN));
    assert_open(&breakers, now + OPEN);
    assert!(!probe.leave(Ending::Answered, now + OPEN));
    assert!(breakers.enter(busy(), now + OPEN).is_ok());
}

#[test]
fn a_probe_that_does_not_come_back_gives_way_to_the_next() {
    let (breakers, now) = breakers();
    for _ in 0..3 {
        run(&breakers, STOPPED, now);
    }
    let stuck = breakers.enter(busy(), now + OPEN).unwrap();
    assert!(breakers.require_closed(&busy(), now + OPEN).is_err(), "others need not even wait in the queue");
    let next = breakers.enter(busy(), now + 2 * OPEN).unwrap();
    assert!(!stuck.leave(Ending::Answered, now + 2 * OPEN), "too late to decide");
    assert_open(&breakers, now + 2 * OPEN);
    assert!(next.leave(STOPPED, now + 2 * OPEN));
    assert_open(&breakers, now + 2 * OPEN);
}

#[test]
fn a_run_that_others_left_no_time_says_nothing_of_the_plugin() {
    let (breakers, now) = breakers();
    let crowded = Ending::of(Some(FailureCode::Timeout), OPEN / 3, OPEN);
    assert_eq!(crowded, Ending::Crowded);
    assert_eq!(Ending::of(Some(FailureCode::Trap), OPEN / 3, OPEN), Ending::Stopped(FailureCode::Trap));
    for ending in [STOPPED, STOPPED, crowded, crowded] {
        assert!(!run(&breakers, ending, now));
    }
    assert!(run(&breakers, STOPPED, now), "nor does it start the count anew");
}

#[test]
fn plugins_that_were_taken_out_of_service_leave_nothing_behind() {
    let (breakers, now) = breakers();
    let retired = |number: u8| Subject { component: Digest([number; 32]), ..busy() };
    for number in 10..20 {
        for _ in 0..=number % 3 {
            breakers.enter(retired(number), now).unwrap().leave(STOPPED, now);
        }
    }
    assert_eq!(breakers.lock().len(), 10);
    let later = now + OPEN * (IDLE_TIMES + 2);
    run(&breakers, STOPPED, later);
    assert_eq!(breakers.lock().len(), 1, "whoever was stopped last");
    run(&breakers, STOPPED, later + OPEN);
    assert!(run(&breakers, STOPPED, later + OPEN), "what is in use is counted on");
}
