//! Privy's REST API, as far as the gateway uses it: key quorums, finding a user's wallet, and asking that wallet to
//! sign one transaction.
//!
//! A wallet whose owner is a key quorum signs only on requests that a member has authorized: a P-256 signature over the
//! request as RFC 8785 canonical JSON, in `privy-authorization-signature`. That member is the gateway's own HSM key.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gateway_domain::{
    Address, Error, Result,
    keys::KeyRecord,
    policy::SigningPermit,
    quorums::{MadeQuorum, NewQuorum, PrivyApi, PrivySigning},
    sealed::Sealed,
    secrets::SecretText,
    vendors::VendorError,
};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::egress::{Egress, Reply, Request};

mod canonical;
mod signing;

pub use canonical::canonical_json;

const APP_ID: HeaderName = HeaderName::from_static("privy-app-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("privy-idempotency-key");
const AUTHORIZATION_SIGNATURE: HeaderName = HeaderName::from_static("privy-authorization-signature");

/// Longest id taken from an answer.
const ID_CHARACTERS_MAX: usize = 128;

/// Pages of wallets looked through for the one at an address.
const WALLET_PAGES_MAX: usize = 10;

/// Authorizes a request: ECDSA with P-256 and SHA-256 over the canonical request, in DER.
#[async_trait]
pub trait RequestAuthorizer: Send + Sync {
    async fn authorize(
        &self,
        permit: &SigningPermit,
        key: &Sealed<KeyRecord>,
        request: &[u8],
    ) -> Result<Vec<u8>>;
}

/// The client, with the app's credentials.
pub struct PrivyClient {
    pub egress: Egress,
    /// Scheme and host.
    pub base_url: String,
    pub app_id: String,
    pub app_secret: SecretText,
    pub authorizer: Arc<dyn RequestAuthorizer>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    #[error("the answer has status {0}")]
    Status(u16),
}

#[async_trait]
impl PrivyApi for PrivyClient {
    async fn create_quorum(&self, quorum: &NewQuorum) -> Result<MadeQuorum, VendorError> {
        let mut body = json!({"display_name": quorum.display_name, "authorization_threshold": 1});
        if !quorum.public_keys.is_empty() {
            body["public_keys"] = json!(quorum.public_keys);
        }
        if !quorum.user_ids.is_empty() {
            body["user_ids"] = json!(quorum.user_ids);
        }
        let idempotency = (IDEMPOTENCY_KEY, header(&quorum.idempotency_key)?);
        let told = self.ask(Method::POST, "/v1/key_quorums", Some(&body), vec![idempotency]).await?;
        let id = id_of(&told).ok_or_else(|| malformed("a quorum without an id"))?;
        let threshold =
            told["authorization_threshold"].as_u64().and_then(|number| u32::try_from(number).ok());
        Ok(MadeQuorum { id, authorization_threshold: threshold.unwrap_or(1) })
    }

    async fn sign(
        &self,
        permit: &SigningPermit,
        key: &Sealed<KeyRecord>,
        signing: &PrivySigning<'_>,
    ) -> Result<[u8; 65], VendorError> {
        if signing.digest != permit.digest() {
            return Err(VendorError::NotSent(Error::inconsistency("the permit is for another payload")));
        }
        let body = signing::request(signing).map_err(VendorError::NotSent)?;
        let wallet = self.wallet(signing.privy_user_id, signing.intent.from).await?;
        let path = format!("/v1/wallets/{wallet}/rpc");
        // The same for every try of one permit's payload, so that a repeat is answered with the first signature.
        let idempotency_key = hex::encode(permit.digest());
        let authorized = json!({
            "version": 1,
            "method": "POST",
            "url": format!("{}{path}", self.base_url),
            "body": body,
            "headers": {"privy-app-id": self.app_id, "privy-idempotency-key": idempotency_key},
        });
        let canonical = canonical_json(&authorized);
        let signature = self.authorizer.authorize(permit, key, canonical.as_bytes()).await;
        let signature = signature.map_err(VendorError::NotSent)?;
        let headers = vec![
            (IDEMPOTENCY_KEY, header(&idempotency_key)?),
            (AUTHORIZATION_SIGNATURE, header(&STANDARD.encode(signature))?),
        ];
        let told = self.ask(Method::POST, &path, Some(&body), headers).await?;
        signing::signature(&told).map_err(malformed)
    }
}

impl PrivyClient {
    /// The wallet of the user at an address; nothing else selects it. That there is none is a refusal with status 404, as of
    /// a wallet that was deleted.
    async fn wallet(&self, user_id: &str, address: Address) -> Result<String, VendorError> {
        let mut cursor: Option<String> = None;
        for _ in 0..WALLET_PAGES_MAX {
            let mut url = Url::parse("http://query/").expect("a constant URL");
            url.query_pairs_mut().append_pair("user_id", user_id).append_pair("chain_type", "ethereum");
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let path = format!("/v1/wallets?{}", url.query().unwrap_or_default());
            let told = self.ask(Method::GET, &path, None, Vec::new()).await?;
            let wallets = told["data"].as_array().ok_or_else(|| malformed("a list without wallets"))?;
            let is_ours = |wallet: &&Value| {
                wallet["address"].as_str().and_then(|text| text.parse::<Address>().ok()) == Some(address)
            };
            if let Some(found) = wallets.iter().find(is_ours) {
                return id_of(found).ok_or_else(|| malformed("a wallet without an id"));
            }
            cursor = told["next_cursor"].as_str().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Err(VendorError::Refused { http_status: 404, code: None })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        more: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Value, VendorError> {
        let inconsistent = |error| VendorError::NotSent(Error::inconsistency(error));
        let url = Url::parse(&format!("{}{path}", self.base_url)).map_err(inconsistent)?;
        let login = Zeroizing::new(format!("{}:{}", self.app_id, self.app_secret.expose()));
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(login.as_bytes())));
        let mut headers = vec![(AUTHORIZATION, header(&basic)?), (APP_ID, header(&self.app_id)?)];
        headers.extend(more);
        let body = match body {
            Some(body) => {
                headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = Request { method, url, headers, body };
        let sent = self.egress.send(request).await.map_err(|error| {
            if error.nothing_was_sent() {
                VendorError::NotSent(Error::unavailable("Privy", error))
            } else {
                VendorError::Unavailable(Box::new(error))
            }
        });
        answer(&sent?)
    }
}

fn answer(reply: &Reply) -> Result<Value, VendorError> {
    match reply.status {
        200..=299 => serde_json::from_slice(&reply.body).map_err(|_| malformed("it is not JSON")),
        // Credentials and rates are ours to mend; the same request may succeed later.
        400..=499 if !matches!(reply.status, 401 | 408 | 429) => {
            Err(VendorError::Refused { http_status: reply.status, code: None })
        }
        status => Err(VendorError::Unavailable(Box::new(Fault::Status(status)))),
    }
}

fn id_of(value: &Value) -> Option<String> {
    let id = value["id"].as_str()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!id.is_empty() && id.len() <= ID_CHARACTERS_MAX && id.bytes().all(plain)).then(|| id.to_owned())
}

fn header(text: &str) -> Result<HeaderValue, VendorError> {
    HeaderValue::from_str(text)
        .map_err(|_| VendorError::NotSent(Error::inconsistency("a configured credential is no header value")))
}

fn malformed(fault: &'static str) -> VendorError {
    VendorError::Unavailable(Box::new(Fault::Malformed(fault)))
}

#[cfg(test)]
mod tests;
