//! The JWT that authenticates one request (contract/core.md section 5): claims `uri`, `nonce`, `iat`, `exp`, `sub` and
//! `bodyHash`, header RS256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Builder;

/// Fireblocks wants less than 30 s between `iat` and `exp`.
pub const LIFETIME_SECONDS: i64 = 29;

/// What a token says.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// Path and query as sent.
    pub uri: &'a str,
    pub body: &'a [u8],
    pub api_key: &'a str,
    /// Random; the token's nonce is a version 4 UUID made of it.
    pub nonce: [u8; 16],
    /// Seconds since 1970.
    pub issued_at: i64,
    /// The token ends then, or earlier.
    pub not_after: i64,
}

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    uri: &'a str,
    nonce: String,
    iat: i64,
    exp: i64,
    sub: &'a str,
    #[serde(rename = "bodyHash")]
    body_hash: String,
}

impl Token<'_> {
    /// Header and claims as they are signed (RFC 7515, section 5.1).
    pub fn signing_input(&self) -> String {
        let claims = Claims {
            uri: self.uri,
            nonce: Builder::from_random_bytes(self.nonce).into_uuid().to_string(),
            iat: self.issued_at,
            exp: (self.issued_at + LIFETIME_SECONDS).min(self.not_after),
            sub: self.api_key,
            body_hash: hex::encode(Sha256::digest(self.body)),
        };
        format!("{}.{}", part(&Header { alg: "RS256", typ: "JWT" }), part(&claims))
    }
}

pub(super) fn join(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("text and numbers serialize"))
}
