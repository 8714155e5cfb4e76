//! Logs to standard error, traces over OTLP, metrics for the operator listener.
//!
//! Nothing here sees secrets: they live in types without `Debug`, spans carry route templates and ids, and the panic
//! hook keeps formatted messages to itself.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, Telemetry as Settings};

mod metrics;
mod panic;
mod traces;

pub(crate) use metrics::Metrics;
use traces::Traces;

/// What must be flushed before the process ends.
pub(crate) struct Telemetry {
    traces: Option<Traces>,
}

impl Telemetry {
    /// Installs the process's subscriber and panic hook. Call once, on the runtime whose end is the server's.
    pub(crate) fn start(settings: &Settings) -> Result<Self> {
        panic::install_hook();
        let filter: Targets =
            settings.log_filter.parse().context("`telemetry.log_filter` is not a filter")?;
        let traces = Traces::start(settings)?;
        let spans = traces.as_ref().map(Traces::layer);
        tracing_subscriber::registry()
            .with(spans)
            .with(log_lines(settings.log_format).with_filter(filter))
            .try_init()
            .context("installing the log")?;
        Ok(Self { traces })
    }

    /// Sends what waits, within `telemetry.otlp_timeout_ms`.
    pub(crate) async fn flush(self) {
        if let Some(traces) = self.traces {
            traces.shutdown().await;
        }
    }
}

/// Warnings and errors to standard error, for commands that end by themselves.
pub(crate) fn start_for_command() {
    panic::install_hook();
    let lines = log_lines(LogFormat::Text).with_filter(LevelFilter::WARN);
    // Fails only if something else is installed, which then logs.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

fn log_lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

#[cfg(test)]
mod tests;
