//! How an author signs for a plugin revision: a JWS in compact form (RFC 7515), ES256 (RFC 7518) under the author's
//! enrolled P-256 key, made away from the gateway.
//!
//! Header: `typ` countersign-plugin+jwt, `alg` ES256, `kid` the operator's id. Payload: `origin` of the organization,
//! `organization`, `plugin` (the name it is bound under), `subject` (the revision's subject digest: component, settings and
//! grants), `iat` (seconds). Nothing else is in either.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{OperatorId, OrganizationId},
    jws,
    operators::OperatorKey,
};

const TYPE: &str = "countersign-plugin+jwt";

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

/// What the author's key signs; the signature, in base64url, follows after a full stop.
pub fn signing_input(signer: OperatorId, claims: &RevisionClaims) -> String {
    jws::signing_input(TYPE, signer, claims)
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
        let (signer, claims) = jws::read(&self.0, TYPE).map_err(|jws::Malformed| SignatureMalformed)?;
        Ok(SignedRevision { signer, claims })
    }

    /// Whether the key's owner made it.
    pub(super) fn fits(&self, key: &OperatorKey) -> bool {
        jws::fits(&self.0, key)
    }
}

impl fmt::Display for RevisionSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
