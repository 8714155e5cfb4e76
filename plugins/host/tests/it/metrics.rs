//! What is counted of each plugin, and under which labels.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use plugin_host::{Capability, Grants};

use crate::guests::{TestHost, request, source, with_section};

/// Counters by what they were added up to, histograms by how often.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

struct Samples(Arc<AtomicU64>);

impl HistogramFn for Samples {
    fn record(&self, _value: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Notes {
    fn place(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    /// Everything above zero whose name or labels hold `part`.
    fn of(&self, part: &str) -> BTreeMap<String, u64> {
        let all = self.0.lock().unwrap();
        let read =
            all.iter().map(|(name, count)| (name.replace(part, "P"), count.load(Ordering::Relaxed), name));
        read.filter(|(_, count, name)| *count > 0 && name.contains(part))
            .map(|(name, count, _)| (name, count))
            .collect()
    }
}

impl Recorder for Notes {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.place(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Samples(self.place(key))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_causes_denials_and_time_are_counted_by_plugin() {
    let notes = Notes::default();
    // The process's own, which other tests write into as well, about other components.
    metrics::set_global_recorder(notes.clone()).unwrap();
    let host = TestHost::with(|config| config.schedule.breaker_failures = 2);
    let plugin = host.host.prepare(with_section("hostile", "metrics", &[1])).await.unwrap();
    let name = plugin.digest().to_string();
    host.host.evaluate(&plugin, request("behave")).await.unwrap();
    host.host.evaluate(&plugin, request("log")).await.unwrap();
    for _ in 0..3 {
        host.host.evaluate(&plugin, request("panic")).await.unwrap_err();
    }
    let mut denied = request("behave");
    denied.grants =
        Grants::from_iter([Capability::Log, Capability::Settings, Capability::Clock, Capability::State]);
    host.host.evaluate(&plugin, denied).await.unwrap_err();
    host.host.prepare(source(*b"no component")).await.unwrap_err();

    let short = notes.of("countersign_plugin_verdicts_total");
    let short = short.keys().find_map(|key| {
        let label = key.split("plugin=").nth(1)?.split(',').next()?.to_owned();
        name.starts_with(&label).then_some(label)
    });
    let counted = notes.of(&short.expect("the digest's beginning is the label"));
    let count = |metric: &str| counted.get(metric).copied().unwrap_or_default();
    assert_eq!(count("countersign_plugin_verdicts_total{plugin=P,verdict=approve}"), 1, "{counted:?}");
    assert_eq!(count("countersign_plugin_verdicts_total{plugin=P,verdict=abstain}"), 1, "{counted:?}");
    assert_eq!(count("countersign_plugin_failures_total{plugin=P,code=abort}"), 2, "{counted:?}");
    assert_eq!(count("countersign_plugin_failures_total{plugin=P,code=breaker_open}"), 1, "{counted:?}");
    assert_eq!(count("countersign_plugin_breaker_opened_total{plugin=P}"), 1, "{counted:?}");
    assert_eq!(
        count("countersign_plugin_denied_capabilities_total{plugin=P,capability=history}"),
        1,
        "{counted:?}"
    );
    // Two that it logged, and why it panicked, twice.
    assert_eq!(count("countersign_plugin_log_lines_total{plugin=P}"), 4, "{counted:?}");
    assert_eq!(count("countersign_plugin_log_lines_cut_total{plugin=P}"), 1, "{counted:?}");
    assert_eq!(count("countersign_plugin_prepared_total{plugin=P,origin=compiled}"), 1, "{counted:?}");
    for spent in ["run", "instantiate", "guest", "host_call"] {
        assert_eq!(count(&format!("countersign_plugin_{spent}_seconds{{plugin=P}}")), 4, "{counted:?}");
    }
    let unprepared = notes.of("countersign_plugin_unprepared_total");
    assert!(unprepared.keys().any(|key| key == "P{code=compile_failed}"), "{unprepared:?}");
}
