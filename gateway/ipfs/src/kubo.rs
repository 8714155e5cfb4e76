//! A Kubo node's RPC API, through the egress client: one call, bounded in time and size, no redirects.

use std::{collections::BTreeSet, fmt, time::Duration};

use gateway_clients::egress::{Egress, EgressConfig, EgressError, NamedHost, Request};
use gateway_domain::{Error, Result, error::Internal};
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;

use crate::name;

#[cfg(test)]
mod tests;

const BOUNDARY: &str = "countersign-6d1f0b0a5c5e4f3b";
const CONTENT_KIND: &str = "multipart/form-data; boundary=countersign-6d1f0b0a5c5e4f3b";
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
const RESPONSE_HEADERS_MAX: usize = 100;

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KuboLimits {
    pub connect_timeout: Duration,
    /// From the start of the call to the last byte of the answer.
    pub call_timeout: Duration,
}

/// A node that keeps what it is given. `Debug` leaves out the URL: it may hold a secret.
pub struct Kubo {
    egress: Egress,
    url: Url,
}

#[derive(Debug, thiserror::Error)]
pub enum KuboSetupError {
    #[error("`ipfs.kubo_url` must be an http or https URL")]
    Url,
    #[error("the client for IPFS cannot be built")]
    Client(#[source] EgressError),
}

#[derive(Debug, thiserror::Error)]
enum KuboError {
    #[error("the node answered {0}")]
    Status(u16),
    #[error("the node's answer names no content")]
    Unreadable,
    #[error("the node named the content otherwise")]
    OtherName,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Added {
    hash: String,
}

impl fmt::Debug for Kubo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubo").finish_non_exhaustive()
    }
}

impl Kubo {
    /// `url` is the RPC API's, such as `http://127.0.0.1:5001`.
    pub fn new(url: &str, limits: KuboLimits) -> Result<Self, KuboSetupError> {
        let url = Url::parse(url).map_err(|_| KuboSetupError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(KuboSetupError::Url);
        }
        // The operator named it: it may be on this machine.
        let host = NamedHost::of_url(&url).ok_or(KuboSetupError::Url)?;
        let egress = Egress::new(EgressConfig {
            named_hosts: BTreeSet::from([host]),
            connect_timeout: limits.connect_timeout,
            request_timeout: limits.call_timeout,
            response_bytes_max: RESPONSE_BYTES_MAX,
            response_headers_max: RESPONSE_HEADERS_MAX,
        })
        .map_err(KuboSetupError::Client)?;
        Ok(Self { egress, url })
    }

    /// Adds and pins the content, and compares the name.
    pub(crate) async fn pin(&self, content: &[u8], cid: &str) -> Result<()> {
        let mut url = self.url.clone();
        url.set_path("/api/v0/add");
        let leaves = if name::is_raw(cid) { "true" } else { "false" };
        url.query_pairs_mut()
            .append_pair("cid-version", "1")
            .append_pair("raw-leaves", leaves)
            .append_pair("chunker", "size-262144")
            .append_pair("pin", "true");
        let kind = HeaderValue::from_static(CONTENT_KIND);
        let request = Request {
            method: Method::POST,
            url,
            headers: vec![(CONTENT_TYPE, kind)],
            body: form(content).into(),
        };
        let reply = self.egress.send(request).await.map_err(away)?;
        if !(200..300).contains(&reply.status) {
            return Err(away(KuboError::Status(reply.status)));
        }
        let last = reply.body.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        let added: Added = serde_json::from_slice(last).map_err(|_| failed(KuboError::Unreadable))?;
        if name::same(&added.hash, cid) { Ok(()) } else { Err(failed(KuboError::OtherName)) }
    }
}

/// One file without a name (RFC 7578).
fn form(content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"payload\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), content, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}

fn away(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the IPFS node", cause)
}

fn failed(cause: KuboError) -> Error {
    Error::Upstream("the IPFS node", Internal::new(cause))
}
