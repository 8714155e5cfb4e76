//! State is read through the port, changed in the record, and seen by the evaluation at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin_host::{FailureCode, StatePort, StatePortError, StateRead, StateSnapshot, StateWrite};

use crate::guests::{TestHost, request};

fn snapshot(pairs: &[(&str, &[u8])]) -> Arc<StateSnapshot> {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec()));
    Arc::new(StateSnapshot(pairs.collect::<BTreeMap<_, _>>()))
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
        fn read(&self, _key: &str) -> Result<Option<Vec<u8>>, StatePortError> {
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
