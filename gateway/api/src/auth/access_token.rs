//! Access tokens: signature, algorithm, issuer and audience are pinned, and the session behind a token must be alive.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway_domain::{
    Error,
    actor::SessionActor,
    ids::OrganizationId,
    ports::Services,
    sessions::{AUDIENCE, AccessClaims, Sessions, require_session},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use crate::failure::Failure;

/// The keys of the core family's tokens by their `kid`. Tokens of other families name none of them.
pub(crate) struct TokenVerifier {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl TokenVerifier {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        let keys = sessions.signer.keys().iter().filter_map(|key| {
            let decoding = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(key.public_key));
            Some((key.id.clone(), decoding.ok()?))
        });
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&sessions.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // The gateway's own clock decides, and without leeway.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { keys: keys.collect(), validation }
    }

    /// The session behind `token`. Whatever is wrong with it is one and the same failure.
    pub(crate) async fn authenticate(
        &self,
        services: &Services,
        organization: OrganizationId,
        token: &str,
    ) -> Result<SessionActor, Failure> {
        let now = services.clock.now();
        let claims = self.claims(token).filter(|claims| claims.holds_at(now));
        let claims = claims.ok_or(Error::Unauthenticated)?;
        Ok(require_session(services, (organization, now), &claims).await?)
    }

    fn claims(&self, token: &str) -> Option<AccessClaims> {
        let key = self.keys.get(&decode_header(token).ok()?.kid?)?;
        decode(token, key, &self.validation).ok().map(|token| token.claims)
    }
}
