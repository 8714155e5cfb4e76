//! Access tokens: JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037). Composed here, signed in the HSM.

use alloy_primitives::Address;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    entropy::{Entropy, draw},
    error::Result,
    ids::{PrincipalId, SessionId},
    ports::TokenSigner,
    sessions::{Session, Sessions},
};

/// The `aud` of the core family's tokens.
pub const AUDIENCE: &str = "core";
const TYPE: &str = "access";

/// A key that signs or signed access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The `kid` of its tokens.
    pub id: String,
    /// 32 raw bytes (RFC 8032).
    pub public_key: [u8; 32],
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessClaims {
    pub iss: String,
    pub aud: String,
    pub sub: PrincipalId,
    /// The wallet that logged in, with its EIP-55 checksum.
    pub addr: String,
    pub sid: SessionId,
    /// Seconds since the epoch, as `nbf` and `exp`.
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
    pub typ: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

impl AccessClaims {
    pub(super) fn of(
        session: &Session,
        address: Address,
        sessions: &Sessions,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Self {
        Self {
            iss: sessions.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: session.user,
            addr: address.to_checksum(None),
            sid: session.id,
            iat: now.unix_seconds(),
            nbf: now.unix_seconds(),
            exp: now.plus(sessions.limits.access_token_ttl).unix_seconds(),
            jti: hex::encode(draw::<16>(entropy)),
            typ: TYPE.to_owned(),
        }
    }

    /// Whether this is an access token that holds at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.typ == TYPE && self.nbf <= now.unix_seconds() && now.unix_seconds() < self.exp
    }

    /// Header and claims in the compact serialization (RFC 7515 section 7.1): what the key `kid` signs.
    pub fn signing_input(&self, kid: &str) -> String {
        let header = Header { alg: "EdDSA", typ: "JWT", kid };
        let mut input = encoded(&header);
        input.push('.');
        input.push_str(&encoded(self));
        input
    }

    pub(super) async fn signed(&self, signer: &dyn TokenSigner) -> Result<String> {
        let signature = signer.sign_access_token(self).await?;
        let kid = signer.keys().first().map_or("", |key| key.id.as_str());
        Ok(format!("{}.{}", self.signing_input(kid), URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn encoded(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("token parts have string keys only"))
}
