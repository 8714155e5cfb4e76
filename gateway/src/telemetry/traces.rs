//! Spans, sent in batches over OTLP/HTTP to the configured receiver.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData},
};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer as _, filter};

use super::SpanLayer;
use crate::config::Telemetry as Settings;

/// Libraries that carry the spans away: tracing them would make more.
const CARRIERS: [&str; 5] = ["hyper", "h2", "reqwest", "opentelemetry", "tower"];

/// A running exporter.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    timeout: Duration,
}

impl Traces {
    /// `None` when no receiver is configured.
    pub(super) fn start(settings: &Settings) -> Result<Option<Self>> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let timeout = Duration::from_millis(settings.otlp_timeout_ms);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .build()
            .context("`telemetry.otlp_endpoint` cannot be used")?;
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(settings.trace_queue_max)
            .with_max_export_batch_size(settings.trace_queue_max.min(512))
            .build();
        let exporter = OnRuntime { exporter: Arc::new(exporter), runtime: Handle::current() };
        let share = f64::from(settings.trace_sample_percent) / 100.0;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(queue).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(Resource::builder().with_service_name("countersign").build())
            .build();
        Ok(Some(Self { provider, timeout }))
    }

    /// Spans of level info and above, the carriers' own left out.
    pub(super) fn layer(&self) -> SpanLayer {
        let ours = filter::filter_fn(|metadata| {
            !CARRIERS.iter().any(|carrier| metadata.target().starts_with(carrier))
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("countersign"))
            .with_filter(ours)
            .with_filter(LevelFilter::INFO)
            .boxed()
    }

    pub(super) async fn shutdown(self) {
        let Self { provider, timeout } = self;
        // Waits on the batch thread, which needs this runtime to send.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(timeout)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("spans were left unsent at the end");
        }
    }
}

/// Sends on the gateway's runtime: the batch processor's thread has none, and the HTTP client needs one.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sent = self.runtime.spawn(async move { exporter.export(batch).await }).await;
        sent.unwrap_or_else(|ended| Err(OTelSdkError::InternalFailure(ended.to_string())))
    }
}
