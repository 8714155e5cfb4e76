//! Requests to upstreams. Field by field the interface `http` of the contract.

use serde::{Deserialize, Serialize};

use crate::transaction::NameValue;

/// A request as the guest makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpQuestion {
    pub upstream: String,
    pub method: String,
    pub path: String,
    pub parameters: Vec<NameValue>,
    pub headers: Vec<NameValue>,
    #[serde(with = "crate::hexadecimal")]
    pub body: Vec<u8>,
}

/// What came of a request; no secret is left in it.
pub type HttpAnswer = Result<HttpResponse, HttpFailure>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<NameValue>,
    #[serde(with = "crate::hexadecimal")]
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpFailure {
    Unreachable,
    TimedOut,
    TooLarge,
    Broken,
}

impl HttpQuestion {
    /// For people: what was asked of whom.
    pub(crate) fn asked(&self) -> String {
        format!("http: {} {} of `{}`", self.method, self.path, self.upstream)
    }

    /// What the guest hands over, about.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.upstream.len() + self.method.len() + self.path.len();
        texts + pairs(&self.parameters) + pairs(&self.headers) + self.body.len()
    }
}

/// What the guest is given, about.
pub(crate) fn bytes(answer: &HttpAnswer) -> usize {
    answer.as_ref().map_or(0, |answer| answer.body.len() + pairs(&answer.headers))
}

/// Empty pairs cost memory and a place in the record too.
fn pairs(pairs: &[NameValue]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + size_of::<NameValue>()).sum()
}
