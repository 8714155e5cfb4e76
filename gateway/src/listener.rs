//! Listeners: bounded connections, overall and by source, a deadline and a size for each request's head, and a drain
//! at the end.
//!
//! HTTP/1.1 only. Its head deadline also ends connections that never say anything; HTTP/2 without TLS has no such
//! deadline before and between requests, and belongs to the proxy that ends TLS.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use gateway_api::{Place, Shares, subscriber};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

#[cfg(test)]
mod tests;

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections_max: usize,
    /// From one address; proxies carry many clients and are bounded by `connections_max` alone.
    pub(crate) connections_per_source_max: usize,
    pub(crate) proxies: Arc<[IpNet]>,
    pub(crate) header_timeout: Duration,
    /// Of a request's head as it is buffered. The API refuses smaller heads already, in its own words.
    pub(crate) head_bytes_max: usize,
    pub(crate) drain_timeout: Duration,
}

/// What the HTTP library would refuse without a body is left to the API, which explains itself.
const HEADERS_MAX: usize = 1024;

/// Sent before anything is read, so in the words of the family at `/`.
fn too_many_connections() -> Vec<u8> {
    let body = r#"{"statusCode":429,"error":"Too Many Requests","message":"too many connections of this source are open","requestId":"-"}"#;
    let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 1";
    format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Serves `router` until `stop`, then lets open requests end.
pub(crate) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let (sources, refusal) = (Shares::new(bounds.connections_per_source_max), too_many_connections());
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout);
    builder.max_headers(HEADERS_MAX).max_buf_size(bounds.head_bytes_max);
    loop {
        // A slot before the accept: beyond the bound, connections wait in the kernel's backlog.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let Ok(place) = place_of(&sources, &bounds, peer.ip().to_canonical()) else {
            metrics::counter!("countersign_connections_refused_total").increment(1);
            // The few bytes fit into an empty send buffer; whether they arrive is not worth waiting for.
            let _ = stream.try_write(&refusal);
            continue;
        };
        let service = router.clone().layer(axum::Extension(ConnectInfo(peer)));
        let service = TowerToHyperService::new(
            service.map_request(|request: hyper::Request<_>| request.map(axum::body::Body::new)),
        );
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended early");
            }
            drop((slot, place));
        });
    }
    drop(listener);
    if tokio::time::timeout(bounds.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open when the drain time ended");
    }
}

/// The source has its share of connections.
struct ShareUsedUp;

/// A proxy needs no place.
fn place_of(sources: &Shares, bounds: &Bounds, peer: IpAddr) -> Result<Option<Place>, ShareUsedUp> {
    if bounds.proxies.iter().any(|network| network.contains(&peer)) {
        return Ok(None);
    }
    sources.enter(subscriber(peer)).map(Some).ok_or(ShareUsedUp)
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and complete: waiting to fill a packet only adds delay.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot))
        }
        Err(error) => {
            // Out of file descriptors or a reset in the backlog: try again once others have ended.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
