//! An HTTP client of the core family, as strict about answers as the contract allows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::environment;
use crate::wallet::{SignedRequest, Wallet};

/// What no request takes, an upload that is compiled on a busy machine included.
const ANSWER_DEADLINE: Duration = Duration::from_mins(5);

/// How a request proves who sends it.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    Nobody,
    ApiKey(&'a str),
    /// An access token.
    Token(&'a str),
    /// Form 1: `personal_sign` over the request.
    Personal(&'a Wallet),
    /// Form 2: EIP-712 over the request, with the first configured chain id.
    Typed(&'a Wallet, u64),
    /// Headers made by the test itself: address, signature, timestamp.
    Signature(&'a str, &'a str, Option<u64>),
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    origin: String,
    signed_origin: String,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON in the answer `{}`", self.body))
    }

    /// The body, if the status is the expected one.
    pub fn expect(self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "expected status {status}, got {}: {}", self.status, self.body);
        self.json()
    }

    /// All of `message`, which is a text or, for validation, a list of texts.
    pub fn message(&self) -> Result<String> {
        let json = self.json()?;
        Ok(match &json["message"] {
            Value::String(text) => text.clone(),
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            other => anyhow::bail!("`message` is neither text nor list: {other}"),
        })
    }
}

/// The gateway ends a connection on which nothing was asked for twice as long (`server.header_timeout_ms`).
const IDLE_MAX: Duration = Duration::from_secs(5);

/// A client that does not wait for ever, and asks nothing where the gateway may be hanging up.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(ANSWER_DEADLINE)
        .pool_idle_timeout(IDLE_MAX)
        .build()
        .expect("nothing is set that a machine could lack")
}

impl Client {
    /// `origin` is the gateway's base URL, which is also what signatures are bound to.
    pub fn new(origin: &str) -> Client {
        let origin = origin.trim_end_matches('/').to_owned();
        Client { http: http(), signed_origin: origin.clone(), origin }
    }

    /// The same for a gateway that is known by another origin than its address: that is what is signed.
    #[must_use]
    pub fn known_as(&self, signed_origin: &str) -> Client {
        Client { signed_origin: signed_origin.to_owned(), ..self.clone() }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub async fn get(&self, path: &str, credential: Credential<'_>) -> Result<Reply> {
        self.send(Method::GET, path, credential, Vec::new(), &[]).await
    }

    pub async fn post(&self, path: &str, credential: Credential<'_>, body: &Value) -> Result<Reply> {
        self.send(Method::POST, path, credential, serde_json::to_vec(body)?, &[]).await
    }

    /// Sends exactly these bytes, with `content-type: application/json` unless `headers` say otherwise.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        credential: Credential<'_>,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.origin));
        for (name, value) in self.authenticate(&method, path, credential, &body)? {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method != Method::GET && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header("content-type", "application/json");
        }
        let response = request.body(body).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, body: response.text().await? })
    }

    fn authenticate(
        &self,
        method: &Method,
        path: &str,
        credential: Credential<'_>,
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>> {
        let timestamp = environment::signing_time();
        let signed =
            SignedRequest { origin: &self.signed_origin, method: method.as_str(), path, body, timestamp };
        Ok(match credential {
            Credential::Nobody => Vec::new(),
            Credential::ApiKey(key) => vec![("x-api-key", key.to_owned())],
            Credential::Token(token) => vec![("authorization", format!("Bearer {token}"))],
            Credential::Personal(wallet) => signature_headers(
                &wallet.address().to_string(),
                &hex(&wallet.sign_request(&signed)?),
                Some(timestamp),
            ),
            Credential::Typed(wallet, chain_id) => {
                let signature = hex(&wallet.sign_typed_request(chain_id, &signed)?);
                signature_headers(&wallet.address().to_string(), &signature, Some(timestamp))
            }
            Credential::Signature(address, signature, timestamp) => {
                signature_headers(address, signature, timestamp)
            }
        })
    }
}

/// `0x` and lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn signature_headers(address: &str, signature: &str, timestamp: Option<u64>) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![("x-ethereum-address", address.to_owned()), ("x-ethereum-signature", signature.to_owned())];
    headers.extend(timestamp.map(|seconds| ("x-ethereum-timestamp", seconds.to_string())));
    headers
}
