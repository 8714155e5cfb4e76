//! Services that policy plugins may ask, each declared by the operator: methods, path templates, headers, one secret.
//!
//! A plugin names a declared route and fills its places; it never writes a URL. The secret is added here, on the way
//! out, and taken out of whatever comes back, so that neither plugin nor record ever holds it (T30).

mod route;
mod scrub;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue},
};
use zeroize::Zeroizing;

pub use reqwest::Url;

pub use self::route::{Route, RouteMalformed};
use self::scrub::{PART_BYTES_MIN as PASSWORD_BYTES_MIN, Scrubber};
use crate::egress::{Egress, EgressConfig, EgressError, Lookup, Request};

#[cfg(test)]
mod tests;

/// Headers that say where a message goes or ends; a plugin sets none of them.
const RESERVED: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is declared of an upstream.
pub struct UpstreamConfig {
    /// Root of its API: scheme, host, port, and a path that every route begins with.
    pub url: Url,
    pub routes: Vec<Route>,
    /// Headers that a plugin may set.
    pub request_headers: HashSet<HeaderName>,
    /// Headers of an answer that a plugin is shown.
    pub response_headers: HashSet<HeaderName>,
    /// Header that carries the secret, and its whole value.
    pub secret: Option<(HeaderName, Zeroizing<String>)>,
    pub request_bytes_max: usize,
}

/// A request as a plugin makes it.
#[derive(Clone, Debug)]
pub struct Question {
    pub method: String,
    /// The path of a declared route, places and all.
    pub path: String,
    pub parameters: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer as a plugin may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not declared, or malformed: nothing was sent, and asking again is of no use.
    #[error("{0}")]
    Undeclared(String),
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] EgressError),
    #[error("the upstream did not answer in time")]
    TimedOut,
    #[error("the upstream's answer is too large")]
    TooLarge,
    #[error("the upstream's answer cannot be used")]
    Broken,
}

/// A declared upstream with its own connections.
pub struct Upstream {
    config: UpstreamConfig,
    scrubber: Scrubber,
    egress: Egress,
}

/// A declaration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamMalformed {
    #[error("the header `{0}` is not a plugin's to set")]
    Reserved(HeaderName),
    #[error("the secret's header `{0}` may not be among those that a plugin sets")]
    SecretHeader(HeaderName),
    #[error(
        "the secret must have {SECRET_BYTES_MIN} characters or more, all of them visible ASCII or spaces"
    )]
    Secret,
    #[error(
        "the password in Basic credentials must have {PASSWORD_BYTES_MIN} bytes or more: a shorter one could not be \
         told from other text in an answer"
    )]
    ShortPassword,
    #[error(transparent)]
    Egress(#[from] EgressError),
}

/// A shorter one could not be told from other text in an answer.
const SECRET_BYTES_MIN: usize = 8;

impl Upstream {
    pub fn new(
        config: UpstreamConfig,
        egress: EgressConfig,
        lookup: std::sync::Arc<dyn Lookup>,
    ) -> Result<Self, UpstreamMalformed> {
        for header in &config.request_headers {
            if RESERVED.contains(&header.as_str()) {
                return Err(UpstreamMalformed::Reserved(header.clone()));
            }
        }
        if let Some((header, secret)) = &config.secret {
            if config.request_headers.contains(header) || RESERVED.contains(&header.as_str()) {
                return Err(UpstreamMalformed::SecretHeader(header.clone()));
            }
            let visible = secret.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if secret.len() < SECRET_BYTES_MIN || !visible {
                return Err(UpstreamMalformed::Secret);
            }
            if scrub::basic_secret(secret).is_some_and(|password| password.len() < PASSWORD_BYTES_MIN) {
                return Err(UpstreamMalformed::ShortPassword);
            }
        }
        let scrubber = Scrubber::new(config.secret.as_ref().map_or("", |(_, secret)| secret.as_str()));
        let egress = Egress::with_lookup(egress, lookup)?;
        Ok(Self { config, scrubber, egress })
    }

    /// Sends one request and reads the whole answer, by `deadline` at the latest.
    pub async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, UpstreamError> {
        let request = self.request(question)?;
        match tokio::time::timeout_at(deadline.into(), self.egress.send(request)).await {
            Err(_) => Err(UpstreamError::TimedOut),
            Ok(Ok(reply)) => self.answer(reply.status, &reply.headers, &reply.body),
            Ok(Err(error)) => Err(failure(error)),
        }
    }

    fn request(&self, question: &Question) -> Result<Request, UpstreamError> {
        let declared = |route: &&Route| route.is(&question.method, &question.path);
        let route = self.config.routes.iter().find(declared).ok_or_else(|| {
            undeclared(format!("no route `{} {}` is declared", question.method, question.path))
        })?;
        let path = route.fill(&question.parameters).map_err(undeclared)?;
        let root = self.config.url.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{root}{path}"))
            .map_err(|_| undeclared("the route and its values make no URL".to_owned()))?;
        if question.body.len() > self.config.request_bytes_max {
            let most = self.config.request_bytes_max;
            return Err(undeclared(format!("a body of more than {most} bytes")));
        }
        if route.method() == Method::GET && !question.body.is_empty() {
            return Err(undeclared("a body with `GET`".to_owned()));
        }
        let headers = self.headers(&question.headers)?;
        Ok(Request { method: route.method(), url, headers, body: Bytes::copy_from_slice(&question.body) })
    }

    fn headers(&self, given: &[(String, String)]) -> Result<Vec<(HeaderName, HeaderValue)>, UpstreamError> {
        let mut headers = Vec::with_capacity(given.len() + 1);
        for (name, value) in given {
            let declared = HeaderName::from_bytes(name.as_bytes()).ok();
            let declared = declared.filter(|name| self.config.request_headers.contains(name));
            let declared =
                declared.ok_or_else(|| undeclared(format!("the header `{name}` is not declared")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| undeclared(format!("the value of the header `{name}` is none")))?;
            if headers.iter().any(|(earlier, _)| *earlier == declared) {
                return Err(undeclared(format!("the header `{name}` is given twice")));
            }
            headers.push((declared, value));
        }
        if let Some((name, secret)) = &self.config.secret {
            let value = HeaderValue::from_str(secret).expect("a secret is visible ASCII, which is checked");
            headers.push((name.clone(), value));
        }
        Ok(headers)
    }

    /// Whatever repeats the secret reaches nobody: it is cut out of headers and body. An encoded body could hide it.
    fn answer(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Result<Answer, UpstreamError> {
        let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !is_plain(encoding)) {
            return Err(UpstreamError::Broken);
        }
        let shown = headers.iter().filter(|(name, _)| self.config.response_headers.contains(*name));
        let scrubbed = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = self.scrubber.scrub(value.as_bytes());
            Some((name.as_str().to_owned(), String::from_utf8(value).ok()?))
        };
        Ok(Answer { status, headers: shown.filter_map(scrubbed).collect(), body: self.scrubber.scrub(body) })
    }
}

fn undeclared(detail: String) -> UpstreamError {
    UpstreamError::Undeclared(detail)
}

fn failure(error: EgressError) -> UpstreamError {
    match error {
        EgressError::Refused(_) | EgressError::Unreachable(_) | EgressError::Client(_) => {
            UpstreamError::Unreachable(error)
        }
        EgressError::TimedOut => UpstreamError::TimedOut,
        EgressError::TooLarge { .. } | EgressError::HeadTooLarge => UpstreamError::TooLarge,
        EgressError::Broken(_) => UpstreamError::Broken,
    }
}

/// The longest that an upstream may take by itself.
pub fn egress_config(common: &EgressConfig, timeout: Duration, response_bytes_max: usize) -> EgressConfig {
    EgressConfig {
        connect_timeout: common.connect_timeout.min(timeout),
        request_timeout: timeout,
        response_bytes_max,
        ..common.clone()
    }
}
