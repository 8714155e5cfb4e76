//! Prometheus metrics, kept in memory and rendered when asked.

use std::time::Duration;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio_util::sync::CancellationToken;

use crate::config::Telemetry;

/// Upper bounds of every histogram of seconds: a store write at the bottom, a stuck node at the top.
const SECONDS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Upper bounds of every other histogram: sizes and counts.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0, 16_384.0, 1_048_576.0];
/// Upper bounds of every histogram of bytes: a page of WebAssembly at the bottom, the largest memory at the top.
const BYTES: [f64; 8] = [
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];
/// How often samples are folded into their buckets while nobody asks.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process's recorder. Call once.
    pub(crate) fn start(settings: &Telemetry) -> Result<Self> {
        let idle = Duration::from_secs(settings.metrics_idle_seconds);
        let handle = builder(idle)?.install_recorder().context("installing the metrics recorder")?;
        Ok(Self(handle))
    }

    /// Renders them as Prometheus text, version 0.0.4.
    pub(crate) fn handle(&self) -> PrometheusHandle {
        self.0.clone()
    }

    /// Bounds the memory of samples until `stop`.
    pub(crate) async fn upkeep(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => self.0.run_upkeep(),
            }
        }
    }
}

/// Gauges stay: each tells how something is until somebody says otherwise.
pub(super) fn builder(idle: Duration) -> Result<PrometheusBuilder> {
    Ok(PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::COUNTER | MetricKindMask::HISTOGRAM, Some(idle))
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?)
}
