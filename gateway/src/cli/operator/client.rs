//! Requests to `/operator/v1`, each signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway_domain::ids::OperatorId;
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Longer than a gateway compiles an upload by default.
const TIMEOUT: Duration = Duration::from_mins(3);

pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    operator: OperatorId,
    key: SigningKey,
}

impl Client {
    pub(super) fn new(url: &str, operator: OperatorId, key: SecretKey) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("making an HTTP client")?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), operator, key: key.into() })
    }

    /// As [`Client::ask`], but for what is not there.
    pub(super) async fn find(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<Value>> {
        let (status, answer) = self.send(method, path, body).await?;
        if status == reqwest::StatusCode::NOT_FOUND { Ok(None) } else { successful(status, answer).map(Some) }
    }

    /// The answer's JSON, or an error with what the gateway says is wrong.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.send(method, path, body).await?;
        successful(status, answer)
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(reqwest::StatusCode, Value)> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let method: reqwest::Method = method.parse().context("`METHOD` is not an HTTP method")?;
        let proof = self.proof(method.as_str(), path, &bytes)?;
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.header("authorization", format!("Operator {proof}"));
        if body.is_some() {
            request = request.header("content-type", "application/json").body(bytes);
        }
        let response = request.send().await.with_context(|| format!("asking {}", self.url))?;
        let status = response.status();
        let answer: Value =
            response.json().await.with_context(|| format!("the answer ({status}) is not JSON"))?;
        Ok((status, answer))
    }

    /// A JWT for this request alone; see the description of the operator API.
    fn proof(&self, method: &str, path: &str, body: &[u8]) -> Result<String> {
        let header = json!({
            "typ": "countersign-operator+jwt", "alg": "ES256", "kid": self.operator.to_string(),
        });
        let claims = json!({
            "htm": method, "htu": path, "bsh": URL_SAFE_NO_PAD.encode(Sha256::digest(body)), "iat": unix_seconds()?,
            "jti": hex::encode(rand::random::<[u8; 16]>()),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature: Signature = self.key.sign(input.as_bytes());
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }
}

fn successful(status: reqwest::StatusCode, answer: Value) -> Result<Value> {
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or("no detail");
        bail!("{status}: {}", plugin_host::plain(detail, 1_000));
    }
    Ok(answer)
}

#[expect(clippy::disallowed_methods, reason = "an operator's own machine tells its own time")]
pub(in crate::cli) fn unix_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs())
}
