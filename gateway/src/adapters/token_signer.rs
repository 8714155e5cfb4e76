//! Signs access tokens with an Ed25519 key of that purpose, and nothing else.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use gateway_domain::{
    error::{Error, Result},
    ports::TokenSigner,
    sessions::{AccessClaims, TokenKey},
};
use hsm::{Hsm, Lane, SignatureScheme};

use super::hsm_error::translate;
use crate::system_keys::TokenKeys;

/// A person waits for the login.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct HsmTokenSigner {
    pub(crate) hsm: Hsm,
    pub(crate) keys: TokenKeys,
}

#[async_trait]
impl TokenSigner for HsmTokenSigner {
    fn keys(&self) -> &[TokenKey] {
        &self.keys.accepted
    }

    #[tracing::instrument(name = "hsm.sign_access_token", skip_all)]
    async fn sign_access_token(&self, claims: &AccessClaims) -> Result<[u8; 64]> {
        let kid = self.keys.accepted.first().map_or("", |key| key.id.as_str());
        let (input, not_after) = (claims.signing_input(kid), Instant::now() + PATIENCE);
        let scheme = SignatureScheme::Ed25519;
        let signed =
            self.hsm.sign_message(&self.keys.active, scheme, input.as_bytes(), Lane::Token, not_after);
        let signature = signed.await.map_err(translate)?;
        signature.try_into().map_err(|_| Error::inconsistency("an Ed25519 signature has 64 bytes"))
    }
}
