//! How an operator signs a request: a JWT of its own for each (after RFC 9449, `DPoP`), in
//! `Authorization: Operator TOKEN`, ES256 under the operator's enrolled P-256 key.
//!
//! It names the operator (`kid`), method (`htm`), path with query (`htu`), the body's SHA-256 in base64url (`bsh`), the time
//! (`iat`) and a number of its own (`jti`). An operator's id is this deployment's own, so a proof is good nowhere else.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway_domain::{
    B256, Error, Timestamp,
    changes::ReplayGuard,
    ids::OperatorId,
    operators::{DEPLOYMENT, OperatorActor, OperatorKey, require_charter},
    ports::Services,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{config::ApiConfig, failure::Failure};

const TYPE: &str = "countersign-operator+jwt";
const SCHEME: &str = "Operator ";

/// The request as far as its head says.
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    /// With the query.
    pub(super) path: &'a str,
}

/// An operator's proof for a head, which may have been shown before.
pub(super) struct Proof {
    proven: ProvenHead,
    guard: ReplayGuard,
}

/// A proof for a head that is shown for the first time. It proves nothing before the body was compared.
pub(super) struct ProvenHead {
    operator: OperatorActor,
    body_hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    htm: String,
    htu: String,
    bsh: String,
    iat: i64,
    jti: String,
}

/// The proof that was shown, if it is for a request with this head, now. Whatever is wrong is one and the same failure.
pub(super) async fn examine(
    services: &Services,
    config: &ApiConfig,
    authorization: Option<&str>,
    head: &Head<'_>,
) -> Result<Proof, Failure> {
    let token =
        authorization.and_then(|value| value.strip_prefix(SCHEME)).ok_or(Failure::CredentialMissing)?;
    let charter = require_charter(services).await?;
    let now = services.clock.now();
    let named = operator_named(token).and_then(|id| charter.operator(id));
    let operator = named.filter(|operator| operator.is_active()).ok_or(Error::Unauthenticated)?;
    let window = config.eth_signature.window_seconds;
    let claims = claims(token, &operator.public_key).filter(|claims| claims.fits(head, now, window));
    let claims = claims.ok_or(Error::Unauthenticated)?;
    let guard = ReplayGuard {
        organization: DEPLOYMENT,
        signer: format!("operator {}", operator.id),
        // Not the signature, of which there is more than one for the same text.
        signed_hash: B256::new(Sha256::digest(claims.jti.as_bytes()).into()),
        expires_at: now.plus(Duration::from_secs(2 * window)).plus(ReplayGuard::CLOCKS_DIFFER_BY),
    };
    let (roles, evidence) = (operator.roles.clone(), token.to_owned());
    let operator = OperatorActor { operator: operator.id, roles, evidence };
    Ok(Proof { proven: ProvenHead { operator, body_hash: claims.bsh }, guard })
}

impl Proof {
    pub(super) fn operator(&self) -> &OperatorActor {
        &self.proven.operator
    }

    /// Uses the proof up.
    pub(super) async fn accept(self, services: &Services) -> Result<ProvenHead, Failure> {
        if !services.store.use_once(self.guard).await? {
            return Err(Error::Unauthenticated.into());
        }
        Ok(self.proven)
    }
}

impl ProvenHead {
    pub(super) fn operator(&self) -> &OperatorActor {
        &self.operator
    }

    /// The operator who signed the request with this body.
    pub(super) fn with_body(self, body_hash: B256) -> Result<OperatorActor, Failure> {
        if self.body_hash != URL_SAFE_NO_PAD.encode(body_hash) {
            return Err(Error::Unauthenticated.into());
        }
        Ok(self.operator)
    }
}

fn operator_named(token: &str) -> Option<OperatorId> {
    let header = decode_header(token).ok()?;
    if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::ES256 {
        return None;
    }
    header.kid?.parse().ok()
}

fn claims(token: &str, key: &OperatorKey) -> Option<Claims> {
    let (x, y) = key.coordinates();
    let key = DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y)).ok()?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_aud = false;
    // A proof has one time only, which is checked against the gateway's own clock.
    validation.validate_exp = false;
    decode(token, &key, &validation).ok().map(|token| token.claims)
}

impl Claims {
    fn fits(&self, head: &Head<'_>, now: Timestamp, window_seconds: u64) -> bool {
        self.htm == head.method
            && self.htu == head.path
            && now.unix_seconds().abs_diff(self.iat) <= window_seconds
            && (16..=64).contains(&self.jti.len())
    }
}
