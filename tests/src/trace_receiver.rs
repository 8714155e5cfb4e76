//! An OTLP/HTTP receiver for traces: keeps what it is sent, as bytes. Names and texts stand in the
//! protobuf encoding as they are, so a test can look for them without decoding it.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Batches = Arc<Mutex<Vec<Bytes>>>;

pub struct TraceReceiver {
    endpoint: String,
    batches: Batches,
    server: JoinHandle<()>,
}

impl TraceReceiver {
    pub async fn start() -> Result<TraceReceiver> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}/v1/traces", listener.local_addr()?);
        let batches = Batches::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&batches));
        let server = tokio::spawn(async move {
            // It serves until the drop below aborts it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(TraceReceiver { endpoint, batches, server })
    }

    /// The URL for `telemetry.otlp_endpoint`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn has_seen(&self, text: &str) -> bool {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().any(|batch| batch.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

impl Drop for TraceReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(batches): State<Batches>,
    headers: HeaderMap,
    body: Bytes,
) -> [(&'static str, &'static str); 1] {
    if headers.get("content-type").is_some_and(|kind| kind == "application/x-protobuf") {
        batches.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    }
    // An empty `ExportTraceServiceResponse` is zero bytes.
    [("content-type", "application/x-protobuf")]
}
