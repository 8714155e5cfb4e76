//! `[[plugin_upstreams]]`: services that plugins may be granted to ask.

use std::{path::PathBuf, sync::Arc, time::Duration};

use gateway_clients::{
    egress::{EgressConfig, SystemLookup},
    upstream::{Route, Upstream, UpstreamConfig, egress_config},
};
use gateway_domain::ids::OrganizationId;
use zeroize::Zeroizing;

use super::{
    ConfigError,
    section::section,
    value::{List, Secret},
};

section! {
    /// One service that policy plugins may ask; the table repeats. A plugin reaches it only if its binding is granted
    /// `http:NAME`, and sends only what is declared here. Hosts without TLS or on private addresses must also be named in
    /// `egress.named_hosts`.
    pub(crate) struct PluginUpstream = "plugin_upstreams" {
        /// Name for grants and plugins: 1 to 64 of `a-z`, `0-9`, `-`. Required.
        name: String = String::new(), like "\"screening\"";
        /// Scheme, host and port, and a path that all routes begin with. Required.
        url: String = String::new(), like "\"https://api.screening.example/v2\"";
        /// Id of the only organization whose plugins may ask. Required, unless it is shared.
        organization: Option<String> = None, like "\"01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45\"";
        /// Whether plugins of every organization may ask, instead of one's: the service then hears of all of them.
        shared: bool = false;
        /// What may be asked: `GET` or `POST`, and a path with places for values. Required.
        routes: List = List::default(), like "[\"GET /addresses/{address}\", \"POST /review\"]";
        /// Headers that a plugin may set.
        request_headers: List = List::default(), like "[\"content-type\"]";
        /// Headers of an answer that a plugin is shown.
        response_headers: List = List::default(), like "[\"content-type\"]";
        /// Header that carries the secret.
        secret_header: Option<String> = None, like "\"authorization\"";
        /// The header's whole value. No plugin sees it.
        secret: Option<Secret> = None, like "\"Bearer 5q8v3hTz\"";
        /// File that holds the secret, instead of `secret`.
        secret_file: Option<PathBuf> = None, like "\"/run/secrets/screening\"";
        /// Milliseconds for one request; the evaluation's deadline ends it earlier.
        timeout_ms: u64 = 2000, within 1..=60_000;
        /// Bytes of a request's body.
        request_bytes_max: usize = 16 << 10, within 0..=16 << 20;
        /// Bytes of an answer, its head included.
        response_bytes_max: usize = 64 << 10, within 1024..=16 << 20;
    }
}

impl PluginUpstream {
    /// The only organization that may ask; none where all may.
    pub(crate) fn organization(&self) -> Result<Option<OrganizationId>, ConfigError> {
        let refused = |rule: &str| ConfigError::Value(format!("`plugin_upstreams`: `{}`: {rule}", self.name));
        match (&self.organization, self.shared) {
            (None, true) => Ok(None),
            (Some(text), false) => {
                let malformed = |_| refused("`organization` must be the id of an organization");
                text.parse().map(Some).map_err(malformed)
            }
            (None, false) | (Some(_), true) => Err(refused(
                "it needs either `organization`, with the id of the one that may ask, or `shared = true`",
            )),
        }
    }

    /// The client for it; names the key that breaks its rule.
    pub(crate) fn connect(&self, common: &EgressConfig) -> Result<Upstream, ConfigError> {
        let refused =
            |rule: String| ConfigError::Value(format!("`plugin_upstreams`: `{}`: {rule}", self.name));
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(allowed) {
            return Err(refused("`name` must have 1 to 64 of `a-z`, `0-9`, `-`".into()));
        }
        let url = self.url.parse().map_err(|_| refused("`url` must be a URL".into()))?;
        require_root(&url).map_err(|rule| refused(rule.into()))?;
        if self.routes.0.is_empty() {
            return Err(refused("`routes` must name one route or more".into()));
        }
        let route =
            |text: &String| text.parse::<Route>().map_err(|error| refused(format!("`{text}`: {error}")));
        let header = |text: &String| {
            text.parse().map_err(|_| refused(format!("`{text}` is not the name of a header")))
        };
        let config = UpstreamConfig {
            url,
            routes: self.routes.0.iter().map(route).collect::<Result<_, _>>()?,
            request_headers: self.request_headers.0.iter().map(header).collect::<Result<_, _>>()?,
            response_headers: self.response_headers.0.iter().map(header).collect::<Result<_, _>>()?,
            secret: match (&self.secret_header, &self.secret) {
                (Some(name), Some(secret)) => {
                    Some((header(name)?, Zeroizing::new(secret.expose().to_owned())))
                }
                (None, None) => None,
                _ => return Err(refused("`secret_header` and `secret` belong together".into())),
            },
            request_bytes_max: self.request_bytes_max,
        };
        let egress = egress_config(common, Duration::from_millis(self.timeout_ms), self.response_bytes_max);
        Upstream::new(config, egress, Arc::new(SystemLookup)).map_err(|error| refused(error.to_string()))
    }
}

fn require_root(url: &gateway_clients::upstream::Url) -> Result<(), &'static str> {
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err("`url` must be https or http with a host and no user, query or fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
