//! The way out: HTTP requests to public hosts and to those that the operator named, bounded in time and size.
//!
//! A name is resolved for each connection, and the very addresses that were judged are connected to: nothing
//! resolves it a second time. Redirects are answers, never followed. Errors name no URL, header or body.

use std::{collections::BTreeSet, error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Client, Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};

mod host;
mod networks;
mod resolve;

pub use host::{NamedHost, NamedHostMalformed};
pub use networks::is_public;
pub use resolve::{Lookup, SystemLookup};

use resolve::Guarded;

#[cfg(test)]
mod tests;

/// Bounds of every request, and where it may go besides the public network.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    /// Hosts that may be private, on loopback, and without TLS, because the operator named them.
    pub named_hosts: BTreeSet<NamedHost>,
    pub connect_timeout: Duration,
    /// From the start of the request to the last byte of the answer.
    pub request_timeout: Duration,
    /// Of an answer, its head included.
    pub response_bytes_max: usize,
    pub response_headers_max: usize,
}

/// A request; its header values never appear in errors or logs.
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// A whole answer, whatever its status.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no answer. None of the texts holds anything of the request but its rule.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Refused here: nothing was sent.
    #[error("the destination is refused: {0}")]
    Refused(&'static str),
    /// No connection: nothing was sent.
    #[error("the destination cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the destination did not answer in time")]
    TimedOut,
    /// The connection broke; the request may have been heard.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] reqwest::Error),
    #[error("the answer exceeds {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// More headers than allowed, or a head that the HTTP library takes for endless.
    #[error("the head of the answer is too large")]
    HeadTooLarge,
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

impl EgressError {
    /// Whether it is certain that the destination saw nothing of the request.
    pub fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unreachable(_) | Self::Client(_))
    }
}

/// The egress client; clones share their connections.
#[derive(Clone)]
pub struct Egress {
    config: Arc<EgressConfig>,
    /// Connects to public addresses only.
    public: Client,
    /// Connects wherever the name leads; used for named hosts only.
    named: Client,
}

impl Egress {
    pub fn new(config: EgressConfig) -> Result<Self, EgressError> {
        Self::with_lookup(config, Arc::new(SystemLookup))
    }

    /// The same with another source of addresses.
    pub fn with_lookup(config: EgressConfig, lookup: Arc<dyn Lookup>) -> Result<Self, EgressError> {
        let client = |guarded: Guarded| {
            Client::builder()
                .dns_resolver(Arc::new(guarded))
                .connect_timeout(config.connect_timeout)
                .timeout(config.request_timeout)
                .http1_max_headers(config.response_headers_max)
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .build()
                .map_err(EgressError::Client)
        };
        let public = client(Guarded { lookup: Arc::clone(&lookup), public_only: true })?;
        let named = client(Guarded { lookup, public_only: false })?;
        Ok(Self { config: Arc::new(config), public, named })
    }

    /// Sends the request once and reads the whole answer.
    pub async fn send(&self, request: Request) -> Result<Reply, EgressError> {
        let client = self.client_for(&request.url)?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, mut value) in request.headers {
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let sent = client.request(request.method, request.url).headers(headers).body(request.body).send();
        let mut response = sent.await.map_err(failure)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes_max = self.config.response_bytes_max;
        let body_bytes_max =
            bytes_max.checked_sub(head_bytes(&headers)).ok_or(EgressError::TooLarge { bytes_max })?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > body_bytes_max {
                return Err(EgressError::TooLarge { bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.into() })
    }

    fn client_for(&self, url: &Url) -> Result<&Client, EgressError> {
        match host::judge(url, &self.config.named_hosts)? {
            host::Destination::Named => Ok(&self.named),
            host::Destination::Public => Ok(&self.public),
        }
    }
}

/// Headers as a server writes them, each with its colon, space and end of line.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn failure(error: reqwest::Error) -> EgressError {
    let error = error.without_url();
    if resolve::is_refusal(&error) {
        EgressError::Refused(resolve::PRIVATE)
    } else if is_endless_head(&error) {
        EgressError::HeadTooLarge
    } else if error.is_connect() {
        EgressError::Unreachable(error)
    } else if error.is_timeout() {
        EgressError::TimedOut
    } else {
        EgressError::Broken(error)
    }
}

fn is_endless_head(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
            return true;
        }
        next = cause.source();
    }
    false
}
