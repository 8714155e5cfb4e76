//! Where a request comes from, and how often.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;

use crate::{
    failure::Failure,
    layers::unread::{Unread, discard},
    state::App,
};

/// The client's address: the peer's, or behind trusted proxies the one they name. Absent when the listener does
/// not tell peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(pub(crate) Option<IpAddr>);

pub(crate) async fn source(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let source =
        Source(peer.map(|peer| client_address(peer, request.headers(), &app.config.trusted_proxies)));
    if let Err(retry_after) = app.rates.source.check(&source.bucket()) {
        return Failure::RateLimited { retry_after }.into_response();
    }
    let Some(place) = app.shares.enter(source.bucket()) else {
        return Failure::SourceBusy.into_response();
    };
    request.extensions_mut().insert(source);
    let (request, unread) = Unread::watch(request);
    let response = next.run(request).await;
    if let Some(rest) = unread.rest() {
        (app.spawner)(Box::pin(discard(rest, app.config.clone(), place)));
    }
    response
}

/// The rightmost address in `x-forwarded-for` that is not a trusted proxy. Each proxy appends the peer it saw, so
/// what stands left of an untrusted address is that address's claim.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| value.to_str().unwrap_or("unreadable"))
        .collect();
    let mut nearest = peer;
    for entry in lines.iter().flat_map(|line| line.split(',')).rev() {
        let Ok(address) = entry.trim().parse::<IpAddr>() else { return nearest };
        nearest = address.to_canonical();
        if !is_trusted(&nearest) {
            return nearest;
        }
    }
    nearest
}

impl Source {
    pub(crate) fn is_loopback(self) -> bool {
        self.0.is_some_and(|address| address.is_loopback())
    }

    /// What rates and shares are counted by.
    pub(crate) fn bucket(self) -> IpAddr {
        self.0.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), subscriber)
    }
}

/// An IPv4 address or an IPv6 /64, which is what one subscriber holds.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
