//! State is read through the port, changed in the record, and seen by the evaluation at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plugin_host::{
    Capability, Counted, CounterName, CounterRead, FailureCode, Grants, Reservation, StatePort,
    StatePortError, StateRead, StateSnapshot, StateWrite, Verdict,
};

use crate::guests::{TestHost, request};

fn snapshot(pairs: &[(&str, &[u8])]) -> Arc<StateSnapshot> {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec()));
    Arc::new(StateSnapshot { values: pairs.collect(), counters: BTreeMap::new() })
}

#[tokio::test(flavor = "multi_thread")]
async fn compare_and_set_is_seen_within_the_evaluation_and_recorded() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let mut counting = request("count");
    counting.state = snapshot(&[("count", &[4])]);
    let evaluation = host.host.evaluate(&hostile, counting).await.unwrap();
    assert_eq!(evaluation.outcome.analysis, "true false Some([5]) at 1800000000000");
    let record = evaluation.record;
    assert_eq!(record.state_reads, [StateRead { key: "count".to_owned(), value: Some(vec![4]) }]);
    assert_eq!(record.state_writes, [StateWrite { key: "count".to_owned(), value: Some(vec![5]) }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_written_outlives_the_evaluation() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    for _ in 0..2 {
        let evaluation = host.host.evaluate(&hostile, request("count")).await.unwrap();
        assert_eq!(evaluation.outcome.analysis, "true false Some([1]) at 1800000000000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_takes_no_time_by_the_clock_that_a_plugin_is_given() {
    let host = TestHost::with(|config| config.schedule.deadline = Duration::from_mins(1));
    let hostile = host.prepare("hostile").await;
    let evaluation = host.host.evaluate(&hostile, request("measure")).await.unwrap();
    assert!(evaluation.outcome.analysis.starts_with("0 "), "{}", evaluation.outcome.analysis);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_and_absent_keys_are_recorded_as_such() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let mut asked = request("reread");
    asked.state = snapshot(&[("right", b"old")]);
    let evaluation = host.host.evaluate(&hostile, asked).await.unwrap();
    assert_eq!(evaluation.outcome.analysis, "Some([110, 101, 119]) None");
    let read =
        |key: &str, value: Option<&[u8]>| StateRead { key: key.to_owned(), value: value.map(<[u8]>::to_vec) };
    assert_eq!(evaluation.record.state_reads, [read("left", None), read("right", Some(b"old"))]);
    let write = |key: &str, value: Option<&[u8]>| StateWrite {
        key: key.to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    assert_eq!(evaluation.record.state_writes, [write("left", Some(b"new")), write("right", None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn port_that_cannot_answer_fails_the_evaluation() {
    struct Broken;

    impl StatePort for Broken {
        fn read(&self, _key: &str, _deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
            Err(StatePortError("store is read-only".to_owned()))
        }

        fn counted(&self, _counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
            Err(StatePortError("store is read-only".to_owned()))
        }
    }

    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let mut asked = request("count");
    asked.state = Arc::new(Broken);
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StateUnavailable);
    assert_eq!(failure.detail, "cannot read state: store is read-only");
}

fn hourly() -> CounterName {
    CounterName { name: "transactions".to_owned(), window_seconds: 3600 }
}

/// What `limiter` answers under a limit of 10 where the counter stands so.
async fn limited(
    host: &TestHost,
    others: u64,
    is_final: bool,
) -> (Verdict, Vec<CounterRead>, Vec<Reservation>) {
    let limiter = host.prepare("limiter").await;
    let mut asked = request("10");
    let counted = Counted { others: others.to_string().parse().unwrap(), is_final };
    asked.state =
        Arc::new(StateSnapshot { counters: BTreeMap::from([(hourly(), counted)]), ..Default::default() });
    let evaluation = host.host.evaluate(&limiter, asked).await.unwrap();
    (evaluation.outcome.verdict, evaluation.record.counter_reads, evaluation.record.reservations)
}

#[tokio::test(flavor = "multi_thread")]
async fn reservation_up_to_the_limit_is_granted_and_recorded() {
    let host = TestHost::start();
    let (verdict, reads, reservations) = limited(&host, 9, false).await;
    assert_eq!(verdict, Verdict::Approve);
    assert_eq!(reads, [CounterRead { counter: hourly(), others: "9".parse().unwrap(), is_final: false }]);
    assert_eq!(reservations, [Reservation { counter: hourly(), amount: "1".parse().unwrap() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reservation_beyond_the_limit_is_refused_and_holds_nothing() {
    let host = TestHost::start();
    let (verdict, reads, reservations) = limited(&host, 10, false).await;
    assert_eq!((verdict, reads.len(), reservations), (Verdict::Reject, 1, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_transaction_keeps_what_it_reserved_and_reserves_no_more() {
    let host = TestHost::start();
    let (verdict, _, reservations) = limited(&host, 10, true).await;
    assert_eq!((verdict, reservations), (Verdict::Approve, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_are_not_decimal_numbers_of_256_bits_are_refused() {
    let host = TestHost::start();
    let limiter = host.prepare("limiter").await;
    let too_large = format!("{}0", "9".repeat(78));
    for limit in ["", "-1", "+1", "0x10", "1e3", "1_0", " 1", too_large.as_str()] {
        let failure = host.host.evaluate(&limiter, request(limit)).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::InvalidOutput, "{limit}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_not_granted_is_refused_before_the_guest_runs() {
    let host = TestHost::start();
    let limiter = host.prepare("limiter").await;
    let mut asked = request("10");
    asked.grants = Grants::from_iter([Capability::Log, Capability::Settings]);
    let failure = host.host.evaluate(&limiter, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::MissingCapability);
    assert!(failure.detail.contains("`state`"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_told_by_when_its_answer_must_be_there() {
    struct Told(Mutex<Option<Instant>>);

    impl StatePort for Told {
        fn read(&self, _key: &str, deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
            *self.0.lock().unwrap() = Some(deadline);
            Ok(None)
        }

        fn counted(&self, _counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
            Ok(Counted::default())
        }
    }

    let deadline = Duration::from_secs(15);
    let host = TestHost::with(|config| config.schedule.deadline = deadline);
    let hostile = host.prepare("hostile").await;
    let told = Arc::new(Told(Mutex::default()));
    let mut asked = request("count");
    asked.state = Arc::clone(&told) as _;
    let before = Instant::now();
    host.host.evaluate(&hostile, asked).await.unwrap();
    let by = told.0.lock().unwrap().expect("it was asked");
    assert!(before + deadline <= by && by <= Instant::now() + deadline);
}

/// Nobody takes a name for a path, a pattern or another name: the gateway is asked for exactly what the guest said.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_taken_as_they_are() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let mut asked = request("odd names");
    asked.state = snapshot(&[("count", &[9])]);
    let evaluation = host.host.evaluate(&hostile, asked).await.unwrap();
    assert_eq!(evaluation.outcome.analysis, "14 14 14 Some([9])");
    let record = evaluation.record;
    assert!(record.state_writes.iter().all(|write| write.value.as_deref() == Some(write.key.as_bytes())));
    let names: Vec<&str> = record.state_writes.iter().map(|write| write.key.as_str()).collect();
    let counters: Vec<&str> = record.reservations.iter().map(|held| held.counter.name.as_str()).collect();
    assert_eq!(names, counters);
    for name in ["../count", "counter/..", "../counter/60/count", "%2e%2e%2fcount", "coünt"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
