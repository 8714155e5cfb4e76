//! What parts of a request cost without a gateway: a handler that does nothing, a client that asks a node.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use countersign_tests::node::Node;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::load::{self, Answered, Expected, Request};
use crate::processor::Snapshot;
use crate::runtimes::{BARE_THREADS, Runtimes};
use crate::statistics::micros_each;

const CONNECTIONS: usize = 16;
const DURATION: Duration = Duration::from_secs(1);
/// About as long as the gateway's answer to a created transaction.
const ANSWER_BYTES: usize = 1200;

/// Processor microseconds of an axum handler that takes the body and answers at once.
pub(crate) async fn handler_micros(runtimes: &Runtimes, body: &str) -> Result<f64> {
    let own = std::process::id();
    let before = Snapshot::of(own)?;
    let count = under_load(runtimes, body, CONNECTIONS, DURATION).await?.count;
    let spent = Snapshot::of(own)?.threads_since(&before, BARE_THREADS);
    Ok(micros_each(spent, count))
}

/// What the same handler answers to `connections` at once.
pub(crate) async fn handler(runtimes: &Runtimes, connections: usize, duration: Duration) -> Result<Answered> {
    under_load(runtimes, "{}", connections, duration).await
}

async fn under_load(
    runtimes: &Runtimes,
    body: &str,
    connections: usize,
    duration: Duration,
) -> Result<Answered> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.into_std()?;
    let address = listener.local_addr()?;
    let server = runtimes.bare.spawn(async move {
        let answer = format!("{{\"status\":\"APPROVED\",\"data\":\"{}\"}}", "0".repeat(ANSWER_BYTES));
        let handler = move |_: Bytes| {
            let answer = answer.clone();
            async { (StatusCode::CREATED, [("content-type", "application/json")], answer) }
        };
        axum::serve(TcpListener::from_std(listener)?, Router::new().route("/transactions", post(handler)))
            .await
    });
    let requests: Vec<Request> =
        (0..connections).map(|_| load::post("/transactions", address, "none", body)).collect();
    let expected = Expected { status: "201", body_contains: "APPROVED" };
    let load = async move { load::run(address, &requests, connections, duration, expected).await };
    let answered = runtimes.load.spawn(load).await?;
    server.abort();
    answered
}

/// Processor microseconds of one JSON-RPC call with the HTTP client that the gateway uses.
pub(crate) async fn node_call_micros(runtimes: &Runtimes, url: &str) -> Result<f64> {
    let node = Node::new(url);
    let own = std::process::id();
    let before = Snapshot::of(own)?;
    let asking = runtimes.bare.spawn(async move {
        let started = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let node = node.clone();
            running.spawn(async move {
                let mut count = 0;
                while started.elapsed() < DURATION {
                    node.call("eth_chainId", json!([])).await?;
                    count += 1;
                }
                Ok::<usize, anyhow::Error>(count)
            });
        }
        let mut total = 0;
        while let Some(finished) = running.join_next().await {
            total += finished??;
        }
        Ok::<usize, anyhow::Error>(total)
    });
    let count = asking.await??;
    let spent = Snapshot::of(own)?.threads_since(&before, BARE_THREADS);
    Ok(micros_each(spent, count))
}
