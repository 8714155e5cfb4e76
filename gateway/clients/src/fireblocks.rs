//! Fireblocks' REST API, as far as the gateway uses it: two reads, and the one post that a permit allows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_domain::{
    Clock, Error, Result,
    entropy::{Entropy, draw},
    fireblocks::{CheckReply, Login},
    keys::KeyRecord,
    policy::VendorPermit,
    sealed::Sealed,
    vendors::{VendorError, VendorTransaction},
};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};

use crate::egress::{Egress, Reply, Request};

mod refusal;
mod token;
mod wire;

pub use token::{LIFETIME_SECONDS, Token};

use refusal::Verdict;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Signs with the integration's RSA key: PKCS #1 v1.5 with SHA-256 (RFC 7518, RS256).
#[async_trait]
pub trait TokenSigner: Send + Sync {
    async fn sign_rs256(&self, key: &Sealed<KeyRecord>, message: &[u8]) -> Result<Vec<u8>>;
}

/// Everything that can be asked of Fireblocks. There is no other request (T8).
pub enum Call<'a> {
    /// One vault account: harmless.
    ListVaultAccounts,
    FindByExternalId(&'a str),
    /// The very request that the permit binds.
    Create(&'a VendorPermit),
}

impl Call<'_> {
    pub fn method(&self) -> Method {
        match self {
            Self::ListVaultAccounts | Self::FindByExternalId(_) => Method::GET,
            Self::Create(_) => Method::POST,
        }
    }

    /// Path and query.
    pub fn uri(&self) -> String {
        match self {
            Self::ListVaultAccounts => "/v1/vault/accounts_paged?limit=1".to_owned(),
            Self::FindByExternalId(id) => format!("/v1/transactions/external_tx_id/{id}"),
            Self::Create(permit) => permit.uri().to_owned(),
        }
    }

    pub fn body(&self) -> &[u8] {
        match self {
            Self::ListVaultAccounts | Self::FindByExternalId(_) => &[],
            Self::Create(permit) => permit.body(),
        }
    }
}

/// The client; it holds no credential of any workspace.
pub struct FireblocksClient {
    pub egress: Egress,
    pub signer: Arc<dyn TokenSigner>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl FireblocksClient {
    /// An answer that says something of the API key is a reply.
    pub async fn check(&self, base_url: &str, login: &Login) -> Result<CheckReply, VendorError> {
        let reply = self.send(base_url, login, &Call::ListVaultAccounts).await?;
        match refusal::verdict(reply.status, None) {
            Verdict::Unknown => Err(refusal(&reply)),
            // The key is not accepted, or not yet: that is what was asked.
            Verdict::NotTaken if reply.status != 401 => Err(refusal(&reply)),
            Verdict::Taken | Verdict::NotTaken | Verdict::Final => {
                Ok(CheckReply { http_status: reply.status, code: wire::error_code(&reply.body) })
            }
        }
    }

    pub async fn find(
        &self,
        base_url: &str,
        login: &Login,
        external_id: &str,
    ) -> Result<Option<VendorTransaction>, VendorError> {
        let reply = self.send(base_url, login, &Call::FindByExternalId(external_id)).await?;
        match reply.status {
            200 => wire::transaction(&reply.body, Some(external_id)).map(Some).map_err(malformed),
            404 => Ok(None),
            _ => Err(refusal(&reply)),
        }
    }

    pub async fn create(
        &self,
        base_url: &str,
        login: &Login,
        permit: &VendorPermit,
    ) -> Result<VendorTransaction, VendorError> {
        let reply = self.send(base_url, login, &Call::Create(permit)).await?;
        match reply.status {
            200 | 201 => wire::transaction(&reply.body, None).map_err(malformed),
            _ => Err(refusal(&reply)),
        }
    }

    async fn send(&self, base_url: &str, login: &Login, call: &Call<'_>) -> Result<Reply, VendorError> {
        let uri = call.uri();
        let url =
            Url::parse(&format!("{base_url}{uri}")).map_err(|error| not_sent(Error::inconsistency(error)))?;
        let token = self.token(login, call, &uri).await.map_err(not_sent)?;
        let mut headers = vec![
            (AUTHORIZATION, secret(&format!("Bearer {token}"))?),
            (API_KEY, secret(login.api_key.expose())?),
        ];
        if let Call::Create(permit) = call {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
            headers.push((IDEMPOTENCY_KEY, secret(&permit.idempotency_key())?));
        }
        let body = Bytes::copy_from_slice(call.body());
        let request = Request { method: call.method(), url, headers, body };
        self.egress.send(request).await.map_err(|error| VendorError::Unavailable(Box::new(error)))
    }

    /// A token for this call alone, signed in the HSM.
    async fn token(&self, login: &Login, call: &Call<'_>, uri: &str) -> Result<String> {
        let now = self.clock.now();
        let until = match call {
            // Never longer than the permit.
            Call::Create(permit) => permit.expires_at(),
            Call::ListVaultAccounts | Call::FindByExternalId(_) => now.plus(std::time::Duration::MAX),
        };
        let token = Token {
            uri,
            body: call.body(),
            api_key: login.api_key.expose(),
            nonce: draw(self.entropy.as_ref()),
            issued_at: now.unix_seconds(),
            not_after: until.unix_seconds(),
        };
        let input = token.signing_input();
        let signature = self.signer.sign_rs256(&login.key, input.as_bytes()).await?;
        Ok(token::join(&input, &signature))
    }
}

fn secret(text: &str) -> Result<HeaderValue, VendorError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| not_sent(Error::inconsistency("a stored credential is no header value")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn not_sent(error: Error) -> VendorError {
    VendorError::NotSent(error)
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
}

fn malformed(fault: &'static str) -> VendorError {
    VendorError::Unavailable(Box::new(Fault::Malformed(fault)))
}

/// What an answer means that is not the one hoped for.
fn refusal(reply: &Reply) -> VendorError {
    let (http_status, code) = (reply.status, wire::error_code(&reply.body));
    match refusal::verdict(http_status, code) {
        Verdict::Final => VendorError::Refused { http_status, code },
        Verdict::NotTaken => VendorError::NotTaken { http_status, code },
        Verdict::Unknown | Verdict::Taken => VendorError::Unknown { http_status, code },
    }
}

#[cfg(test)]
mod tests;
