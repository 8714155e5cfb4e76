//! A record repeats its evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin_host::{Counted, CounterName, EvaluationRecord, FailureCode, LogLevel, StateSnapshot};

use crate::guests::{TestHost, request};

#[tokio::test(flavor = "multi_thread")]
async fn record_that_went_through_json_repeats_the_evaluation() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let mut counting = request("count");
    counting.verified.data = vec![0, 1, 0xff];
    let first = host.host.evaluate(&hostile, counting).await.unwrap();
    let json = serde_json::to_string(&first.record).unwrap();
    let record: EvaluationRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(record, first.record);

    let second = host.host.evaluate(&hostile, record.repeat()).await.unwrap();
    assert_eq!((second.outcome, second.record), (first.outcome, first.record));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_repeats_on_another_engine_and_names_it() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let first = host.host.evaluate(&hostile, request("count")).await.unwrap();
    let other = TestHost::with(|config| config.compile.count_fuel = true);
    let hostile = other.prepare("hostile").await;
    let second = other.host.repeat(&hostile, &first.record).await.unwrap();
    assert_ne!(second.record.engine, first.record.engine);
    assert_eq!(second.record.engine, hostile.engine_digest());
    assert_eq!(second.outcome, first.outcome);
    assert_eq!(second.record, EvaluationRecord { engine: second.record.engine, ..first.record });
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_state_are_repeated_with_their_evaluation() {
    let host = TestHost::start();
    let limiter = host.prepare("limiter").await;
    let hourly = CounterName { name: "transactions".to_owned(), window_seconds: 3600 };
    for others in [3_u64, 10] {
        let counted = Counted { others: others.to_string().parse().unwrap(), is_final: false };
        let mut asked = request("10");
        asked.state = Arc::new(StateSnapshot {
            counters: BTreeMap::from([(hourly.clone(), counted)]),
            ..StateSnapshot::default()
        });
        let first = host.host.evaluate(&limiter, asked).await.unwrap();
        let json = serde_json::to_string(&first.record).unwrap();
        let record: EvaluationRecord = serde_json::from_str(&json).unwrap();
        let second = host.host.evaluate(&limiter, record.repeat()).await.unwrap();
        assert_eq!((second.outcome, second.record), (first.outcome, first.record));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_plain_and_cut() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let logs = host.host.evaluate(&hostile, request("log")).await.unwrap().record.logs;
    assert_eq!((logs[0].level, logs[0].message.as_str()), (LogLevel::Info, "first[31m line"));
    assert_eq!(logs[1].level, LogLevel::Warn);
    assert!(logs[1].message.len() <= host.config.limits.log_line_bytes && logs[1].message.ends_with('…'));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_used_again_tells_times_and_where_it_ended() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let requests = |settings: [&str; 4]| Vec::from(settings.map(request));
    let reused =
        host.host.time_reused(&hostile, requests(["behave", "log", "count", "behave"])).await.unwrap();
    assert_eq!((reused.times.len(), reused.stopped.is_some()), (3, false));
    let reused =
        host.host.time_reused(&hostile, requests(["behave", "log", "panic", "behave"])).await.unwrap();
    assert_eq!((reused.times.len(), reused.stopped.unwrap().code), (1, FailureCode::Abort));
    assert!(host.host.time_reused(&hostile, requests(["panic"; 4])).await.is_err());
}

/// Whoever looks at a denial for want of time finds what was asked, of whom, under which bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_has_a_record_of_what_was_asked() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let said = host.host.evaluate(&hostile, request("log")).await.unwrap().record;
    let unanswered = EvaluationRecord::unanswered(&hostile, request("log"));
    assert_ne!(said.logs, []);
    assert_eq!(unanswered, EvaluationRecord { logs: Vec::new(), memory_peak_bytes: 0, ..said });
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_keeps_its_record() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, request("panic")).await.unwrap_err();
    let record = failure.record.unwrap();
    assert_eq!(record.settings.as_str(), "panic");
    assert_eq!(record.logs[0].level, LogLevel::Error);
    assert!(record.memory_peak_bytes > 0);
}
