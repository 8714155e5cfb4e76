use std::num::NonZeroUsize;

use super::*;
use crate::config::QueueBounds;
use crate::worker::{Task, TokenSession};

struct Idle;

impl Task for Idle {
    fn attempt(&mut self, _: &TokenSession<'_>) -> Result<(), HsmError> {
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>, _: Result<(), HsmError>) {}
}

fn lanes(threads: usize, patience: Duration) -> Lanes {
    let mut config = HsmConfig::new("module", "token", String::new(), "state");
    config.session_threads = threads;
    config.lane_patience = patience;
    let one = NonZeroUsize::MIN;
    config.queue_bounds = QueueBounds { sign: one, token: one, decrypt: one, generate: one, canary: one };
    Lanes::new(&config)
}

fn job(lane: Lane) -> Job {
    let (submitted_at, limit) = (Instant::now(), Duration::from_secs(1));
    Job { lane, operation: "test", submitted_at, deadline: submitted_at + limit, limit, task: Box::new(Idle) }
}

const PATIENT: Duration = Duration::from_hours(1);

#[test]
fn higher_lanes_go_first() {
    let lanes = lanes(8, PATIENT);
    for lane in Lane::ALL.into_iter().rev() {
        lanes.push(job(lane)).unwrap();
    }
    let order = Lane::ALL.map(|_| lanes.pop().unwrap().lane);
    assert_eq!(order, Lane::ALL);
}

#[test]
fn a_lane_that_waited_too_long_goes_first() {
    let lanes = lanes(2, Duration::ZERO);
    lanes.push(job(Lane::Sign)).unwrap();
    lanes.push(job(Lane::Canary)).unwrap();
    assert_eq!(lanes.pop().unwrap().lane, Lane::Canary);
}

#[test]
fn the_last_free_thread_is_left_to_signatures() {
    let lanes = lanes(2, Duration::ZERO);
    for lane in [Lane::Token, Lane::Decrypt, Lane::Generate] {
        lanes.push(job(lane)).unwrap();
    }
    let first = lanes.pop().unwrap().lane;
    lanes.push(job(Lane::Sign)).unwrap();
    assert_eq!(lanes.pop().unwrap().lane, Lane::Sign, "though others wait and are out of patience");
    lanes.done(first);
    assert_ne!(lanes.pop().unwrap().lane, Lane::Sign);
}

#[test]
fn a_full_lane_refuses_and_the_others_do_not() {
    let lanes = lanes(2, PATIENT);
    for full in Lane::ALL {
        lanes.push(job(full)).unwrap();
        assert!(matches!(lanes.push(job(full)), Err(HsmError::Busy { lane }) if lane == full), "{full:?}");
    }
    assert_eq!(lanes.depths(), Lane::ALL.map(|lane| (lane, 1)));
}

#[test]
fn closing_hands_back_what_waits_and_takes_no_more() {
    let lanes = lanes(2, PATIENT);
    lanes.push(job(Lane::Sign)).unwrap();
    lanes.push(job(Lane::Token)).unwrap();
    assert_eq!(lanes.close().len(), 2);
    assert!(lanes.pop().is_none());
    assert!(matches!(lanes.push(job(Lane::Sign)), Err(HsmError::ShutDown)));
}
