//! How an author signs for a plugin revision: a JWS in compact form (RFC 7515), ES256 (RFC 7518) under the author's
//! enrolled P-256 key, made away from the gateway.
//!
//! Header: `typ` countersign-plugin+jwt, `alg` ES256, `kid` the operator's id. Payload: `origin` of the organization,
//! `organization`, `plugin` (the name it is bound under), `subject` (the revision's subject digest: component, settings and
//! grants), `iat` (seconds). Nothing else is in either.

use std::fmt;

use alloy_primitives::B256;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ids::{OperatorId, OrganizationId},
    operators::OperatorKey,
};

const TYPE: &str = "countersign-plugin+jwt";
const BYTES_MAX: usize = 4_096;

/// A signature as it was handed over: `HEADER.PAYLOAD.SIGNATURE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionSignature(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a signature of a plugin revision in compact form, as `countersign plugin sign` makes it")]
pub struct SignatureMalformed;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionClaims {
    /// The organization's, when the revision is uploaded; a deployment that moves keeps its plugins.
    pub origin: String,
    pub organization: OrganizationId,
    pub plugin: String,
    pub subject: B256,
    /// Seconds since 1970.
    pub iat: i64,
}

/// Header and payload, read; the signature is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRevision {
    pub signer: OperatorId,
    pub claims: RevisionClaims,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: OperatorId,
}

/// What the author's key signs; the signature, in base64url, follows after a full stop.
pub fn signing_input(signer: OperatorId, claims: &RevisionClaims) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": TYPE, "alg": "ES256", "kid": signer });
    format!("{}.{}", part(&header), part(&json!(claims)))
}

impl RevisionSignature {
    /// Accepts what can be read; whether it is anybody's shows only at an examination.
    pub fn parse(text: &str) -> Result<Self, SignatureMalformed> {
        let signature = Self(text.trim().to_owned());
        signature.read()?;
        Ok(signature)
    }

    /// As it is stored, unread.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn read(&self) -> Result<SignedRevision, SignatureMalformed> {
        let parts: Vec<&str> = self.0.split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(SignatureMalformed) };
        if self.0.len() > BYTES_MAX || decoded(signature)?.len() != 64 {
            return Err(SignatureMalformed);
        }
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| SignatureMalformed)?;
        if header.typ != TYPE || header.alg != "ES256" {
            return Err(SignatureMalformed);
        }
        let claims = serde_json::from_slice(&decoded(payload)?).map_err(|_| SignatureMalformed)?;
        Ok(SignedRevision { signer: header.kid, claims })
    }

    /// Whether the key's owner made it.
    pub(super) fn fits(&self, key: &OperatorKey) -> bool {
        let Some((input, signature)) = self.0.rsplit_once('.') else { return false };
        decoded(signature).is_ok_and(|signature| key.verifies(input.as_bytes(), &signature))
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, SignatureMalformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| SignatureMalformed)
}

impl fmt::Display for RevisionSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
