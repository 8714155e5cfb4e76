//! Where a URL leads, as far as its text tells.

use std::{collections::BTreeSet, fmt, str::FromStr};

use reqwest::Url;

use super::{EgressError, networks::is_public};

/// A host that the operator named, with a port or for all ports, in the form a URL gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedHost {
    host: String,
    port: Option<u16>,
}

#[derive(Debug, thiserror::Error)]
#[error("a named host reads `host` or `host:port`")]
pub struct NamedHostMalformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Public,
    Named,
}

impl NamedHost {
    /// The host and port that a URL of the configuration names.
    pub fn of_url(url: &Url) -> Option<Self> {
        Some(Self { host: url.host_str()?.to_owned(), port: url.port_or_known_default() })
    }

    fn covers(&self, host: &str, port: Option<u16>) -> bool {
        self.host == host && (self.port.is_none() || self.port == port)
    }
}

impl FromStr for NamedHost {
    type Err = NamedHostMalformed;

    /// Read by the URL parser, so that no spelling of a host slips past a comparison.
    fn from_str(text: &str) -> Result<Self, NamedHostMalformed> {
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| NamedHostMalformed)?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|host| plain && !host.is_empty()).ok_or(NamedHostMalformed)?;
        // Port 80 is the default of the scheme borrowed for parsing; the text tells whether it was written.
        let port = if text.ends_with(":80") { Some(80) } else { url.port() };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for NamedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Judges the URL's text. Addresses written as numbers never reach the resolver, so they are judged here; the URL
/// parser has already turned octal, hexadecimal and short forms into what they mean.
pub(super) fn judge(url: &Url, named: &BTreeSet<NamedHost>) -> Result<Destination, EgressError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EgressError::Refused("the scheme is neither https nor http"));
    }
    let host = url.host_str().ok_or(EgressError::Refused("there is no host"))?;
    if named.iter().any(|entry| entry.covers(host, url.port_or_known_default())) {
        return Ok(Destination::Named);
    }
    if url.scheme() != "https" {
        return Err(EgressError::Refused(
            "only https leads to hosts that `egress.named_hosts` does not name",
        ));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse() {
        Ok(address) if !is_public(address) => Err(EgressError::Refused(super::resolve::PRIVATE)),
        Ok(_) | Err(_) => Ok(Destination::Public),
    }
}
