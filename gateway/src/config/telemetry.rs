//! `[telemetry]`: logs, traces and metrics.

use serde::Deserialize;

use super::{
    section::section,
    value::{Value, quoted},
};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Value for LogFormat {
    fn kind(&self) -> &'static str {
        "`text` or `json`"
    }

    fn toml(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

section! {
    /// Logs to standard error, traces over OTLP, metrics on the operator listener.
    pub(crate) struct Telemetry = "telemetry" {
        /// Form of log lines.
        log_format: LogFormat = LogFormat::Text;
        /// Which log lines are written: a level, or `target=level` pairs with commas.
        log_filter: String = "info".to_owned();
        /// Seconds after which a counter or histogram that nothing was added to is shown no more; it begins anew with the next
        /// addition. Without it the metrics of plugins that are long gone would stay for ever.
        metrics_idle_seconds: u64 = 86_400, within 300..=31_536_000;
        /// URL that takes traces (OTLP over HTTP, protobuf), path included. Without it, none are sent.
        otlp_endpoint: Option<String> = None, like "\"http://127.0.0.1:4318/v1/traces\"";
        /// Percent of requests that are traced.
        trace_sample_percent: u32 = 100, within 0..=100;
        /// Spans that wait to be sent; more are dropped.
        trace_queue_max: usize = 2048, within 1..=1_000_000;
        /// Milliseconds for sending spans, at shutdown too.
        otlp_timeout_ms: u64 = 5000, within 1..=60_000;
    }
}
