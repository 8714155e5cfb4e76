//! The documented checks of a request's token.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Heard, Workspace};
use crate::environment::unix_seconds;
use crate::vendor::header;

const CLAIMS: [&str; 6] = ["bodyHash", "exp", "iat", "nonce", "sub", "uri"];

/// Who may ask.
pub(super) struct User {
    /// In DER.
    pub(super) spki: Vec<u8>,
    /// Longest life of a token taken from this user.
    pub(super) token_seconds_max: i64,
}

impl Heard {
    /// The token's header and claims, unverified.
    pub fn token(&self) -> Result<(Value, Value), String> {
        let token = self.headers.get("authorization").ok_or("no authorization")?;
        let (signed, _) = parts(token)?;
        read(signed)
    }
}

impl Workspace {
    pub(super) fn check(&mut self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let api_key = header(headers, "x-api-key")?;
        let (signed, signature) = parts(header(headers, "authorization")?)?;
        let (head, claims) = read(signed)?;
        if head["alg"] != "RS256" || head["typ"] != "JWT" {
            return Err("the algorithm is not RS256".to_owned());
        }
        let user = self.users.get(api_key).ok_or("the API key is unknown")?;
        let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &user.spki);
        let signature = decode(signature)?;
        verifier.verify(signed.as_bytes(), &signature).map_err(|_| "the signature does not verify")?;
        let mut names: Vec<&str> =
            claims.as_object().ok_or("claims are no object")?.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names != CLAIMS {
            return Err(format!("the claims are {names:?}"));
        }
        if claims["sub"] != api_key || claims["uri"] != uri.to_string() {
            return Err("`sub` or `uri` is of another request".to_owned());
        }
        if claims["bodyHash"] != hex::encode(Sha256::digest(body)) {
            return Err("`bodyHash` is of another body".to_owned());
        }
        let (issued, expires) = (seconds(&claims["iat"])?, seconds(&claims["exp"])?);
        let now = i64::try_from(unix_seconds()).unwrap_or(i64::MAX);
        if expires <= now || issued > now + 5 || expires - issued > user.token_seconds_max {
            return Err("the token is not of now, or lives too long".to_owned());
        }
        let nonce = claims["nonce"].as_str().ok_or("the nonce is no text")?;
        if nonce.len() != 36 || !self.nonces.insert(nonce.to_owned()) {
            return Err("the nonce is no UUID or was used before".to_owned());
        }
        Ok(())
    }
}

/// What is signed, and the signature.
fn parts(authorization: &str) -> Result<(&str, &str), String> {
    let token = authorization.strip_prefix("Bearer ").ok_or("the scheme is not Bearer")?;
    Ok(token.rsplit_once('.').ok_or("not a JWT")?)
}

fn read(signed: &str) -> Result<(Value, Value), String> {
    let (head, claims) = signed.split_once('.').ok_or("not a JWT")?;
    let read = |part| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| "not JSON".to_owned());
    Ok((read(head)?, read(claims)?))
}

fn decode(part: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64url".to_owned())
}

fn seconds(claim: &Value) -> Result<i64, String> {
    claim.as_i64().ok_or_else(|| "a time is not in whole seconds".to_owned())
}
