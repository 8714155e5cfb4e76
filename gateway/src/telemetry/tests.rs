//! Spans reach a real receiver, histograms keep to their buckets.

use std::{io::Read as _, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{metrics::builder, panic, traces::Traces};
use crate::config::Telemetry as Settings;

/// Takes one request and returns what arrived.
async fn receive(listener: TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut received = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.expect("readable");
        received.extend_from_slice(&chunk[..count]);
        if count == 0 || is_whole(&received) {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("writable");
    received
}

fn is_whole(received: &[u8]) -> bool {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("a length");
    received.len() >= end + 4 + length
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_receiver_before_shutdown_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().expect("address"));
    let received = tokio::spawn(receive(listener));
    let settings = Settings { otlp_endpoint: Some(endpoint), ..Settings::default() };
    let traces = Traces::start(&settings).expect("starts").expect("configured");
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("sign_transaction", route = "/transactions").in_scope(|| {});
        tracing::info_span!(target: "hyper::client", "carrier_noise").in_scope(|| {});
    });
    traces.shutdown().await;
    let received =
        tokio::time::timeout(Duration::from_secs(10), received).await.expect("in time").expect("received");
    let text = String::from_utf8_lossy(&received);
    assert!(text.starts_with("POST /v1/traces"), "{text}");
    for expected in ["sign_transaction", "countersign", "/transactions"] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(!text.contains("carrier_noise"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_answer_holds_up_neither_spans_nor_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().expect("address"));
    let settings = Settings {
        otlp_endpoint: Some(endpoint),
        trace_queue_max: 1,
        otlp_timeout_ms: 3000,
        ..Settings::default()
    };
    let traces = Traces::start(&settings).expect("starts").expect("configured");
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..1000 {
            tracing::info_span!("flooding").in_scope(|| {});
        }
    });
    // Nobody accepts: a batch takes its whole time, one span waits meanwhile, and the others are dropped.
    tokio::time::timeout(Duration::from_secs(20), traces.shutdown()).await.expect("in time");
    let listener = listener.into_std().expect("a socket");
    let mut sent = 0;
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nonblocking(false).expect("set");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("readable");
        sent += received.windows(8).filter(|window| window == b"flooding").count();
    }
    assert!((1..100).contains(&sent), "{sent} of 1000 spans waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sampled_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().expect("address"));
    let settings = Settings { otlp_endpoint: Some(endpoint), trace_sample_percent: 0, ..Settings::default() };
    let traces = Traces::start(&settings).expect("starts").expect("configured");
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || tracing::info_span!("unsampled").in_scope(|| {}));
    traces.shutdown().await;
    let arrived = listener.into_std().expect("a socket").accept();
    assert!(arrived.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn nothing_is_sent_without_a_receiver() {
    assert!(Traces::start(&Settings::default()).expect("starts").is_none());
}

#[test]
fn seconds_have_buckets_that_are_bounded() {
    let recorder = builder(Duration::from_mins(5)).expect("valid buckets").build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for micros in 0..1000 {
            metrics::histogram!("countersign_sign_seconds").record(f64::from(micros) / 1e6);
        }
    });
    let text = handle.render();
    let buckets = text.lines().filter(|line| line.starts_with("countersign_sign_seconds_bucket")).count();
    assert_eq!(buckets, 16, "{text}");
    assert!(text.contains("countersign_sign_seconds_count 1000"), "{text}");
}

/// What is counted of one plugin is counted under its digest, and digests come and go.
#[tokio::test]
async fn counters_that_nothing_was_added_to_are_let_go_and_gauges_stay() {
    let recorder = builder(Duration::from_millis(20)).expect("valid buckets").build_recorder();
    let handle = recorder.handle();
    let counted = || {
        metrics::counter!("countersign_plugin_verdicts_total", "plugin" => "ab").increment(1);
        metrics::histogram!("countersign_plugin_run_seconds", "plugin" => "ab").record(0.1);
    };
    metrics::with_local_recorder(&recorder, || {
        metrics::gauge!("countersign_hsm_available").set(1.0);
        counted();
    });
    assert!(handle.render().contains("countersign_plugin_run_seconds_count{plugin=\"ab\"} 1"));
    let gone = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while handle.render().contains("plugin=\"ab\"") {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("they go");
    assert!(handle.render().contains("countersign_hsm_available 1"));
    metrics::with_local_recorder(&recorder, counted);
    let again = handle.render();
    assert!(again.contains("countersign_plugin_verdicts_total{plugin=\"ab\"} 1"), "{again}");
}

#[test]
fn panic_message_made_of_values_is_withheld() {
    let caught = |secret: Option<&str>| {
        let closure = || match secret {
            Some(secret) => panic!("the pin is {secret}"),
            None => panic!("the queue is empty"),
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure)).expect_err("panics")
    };
    assert_eq!(panic::message(caught(None).as_ref()), "the queue is empty");
    assert_eq!(panic::message(caught(Some("1234")).as_ref()), "a formatted message, withheld");
}
