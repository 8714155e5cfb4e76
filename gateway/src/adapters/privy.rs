//! Authorizing requests to Privy with an HSM key of that purpose, on a permit.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use gateway_clients::privy::RequestAuthorizer;
use gateway_domain::{
    Clock,
    error::{Error, Result},
    keys::{KeyPurpose, KeyRecord},
    policy::SigningPermit,
    sealed::Sealed,
};
use hsm::{Hsm, Lane};
use p256::ecdsa::Signature;
use sha2::{Digest as _, Sha256};

use super::{hsm_error::translate, key_reference};

pub(crate) struct HsmRequestAuthorizer {
    pub(crate) hsm: Hsm,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl RequestAuthorizer for HsmRequestAuthorizer {
    #[tracing::instrument(name = "hsm.authorize_privy", skip_all, fields(transaction.id = %permit.transaction()))]
    async fn authorize(
        &self,
        permit: &SigningPermit,
        key: &Sealed<KeyRecord>,
        request: &[u8],
    ) -> Result<Vec<u8>> {
        let matches = permit.key() == key.id && permit.organization() == key.organization;
        if !matches || key.purpose != KeyPurpose::PrivyAuthorization {
            return Err(Error::inconsistency("the permit is for another key"));
        }
        let not_after = Instant::now() + permit.expires_at().since(self.clock.now());
        let reference = key_reference::reference(key)?;
        let digest = Sha256::digest(request).into();
        let signed = self.hsm.sign_digest(&reference, &digest, Lane::Token, not_after).await;
        let signature =
            Signature::from_slice(&signed.map_err(translate)?.bytes).map_err(Error::inconsistency)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
