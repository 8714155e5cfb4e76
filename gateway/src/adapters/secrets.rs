//! Secrets that are read back, sealed with AES-256-GCM in the token.

use async_trait::async_trait;
use gateway_domain::{
    error::{Error, Result},
    secrets::{SealedSecret, SecretPlace, SecretText},
    vendors::SecretVault,
};
use hsm::{Hsm, HsmError, SecretKeyReference};
use zeroize::Zeroizing;

use super::hsm_error::translate;

pub(crate) struct HsmSecretVault {
    pub(crate) hsm: Hsm,
    pub(crate) key: SecretKeyReference,
}

#[async_trait]
impl SecretVault for HsmSecretVault {
    #[tracing::instrument(name = "hsm.seal", skip_all)]
    async fn seal(&self, place: &SecretPlace, secret: &SecretText) -> Result<SealedSecret> {
        let sealed = self.hsm.seal(&self.key, secret.expose().as_bytes(), &place.additional_data()).await;
        sealed.map(SealedSecret).map_err(translate)
    }

    #[tracing::instrument(name = "hsm.open", skip_all)]
    async fn open(&self, place: &SecretPlace, sealed: &SealedSecret) -> Result<SecretText> {
        let opened = self.hsm.open(&self.key, &sealed.0, &place.additional_data()).await;
        let opened = opened.map_err(|error| match error {
            // Not ours, or moved here from elsewhere.
            HsmError::DecryptFailed => Error::inconsistency(error),
            other => translate(other),
        })?;
        let text = std::str::from_utf8(&opened).map_err(Error::inconsistency)?;
        Ok(SecretText::new(Zeroizing::new(text.to_owned())))
    }
}
