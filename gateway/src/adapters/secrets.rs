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
use crate::system_keys::SealingKeys;

pub(crate) struct HsmSecretVault {
    pub(crate) hsm: Hsm,
    pub(crate) keys: SealingKeys,
}

#[async_trait]
impl SecretVault for HsmSecretVault {
    fn epoch(&self) -> u32 {
        self.keys.active
    }

    #[tracing::instrument(name = "hsm.seal", skip_all)]
    async fn seal(&self, place: &SecretPlace, secret: &SecretText) -> Result<SealedSecret> {
        let epoch = self.keys.active;
        let key = self.key(epoch)?;
        let sealed = self.hsm.seal(key, secret.expose().as_bytes(), &place.additional_data()).await;
        Ok(SealedSecret { epoch, bytes: sealed.map_err(translate)? })
    }

    #[tracing::instrument(name = "hsm.open", skip_all)]
    async fn open(&self, place: &SecretPlace, sealed: &SealedSecret) -> Result<SecretText> {
        let key = self.key(sealed.epoch)?;
        let opened = self.hsm.open(key, &sealed.bytes, &place.additional_data()).await;
        let opened = opened.map_err(|error| match error {
            // Not ours, or moved here from elsewhere.
            HsmError::DecryptFailed => Error::inconsistency(error),
            other => translate(other),
        })?;
        let text = std::str::from_utf8(&opened).map_err(Error::inconsistency)?;
        Ok(SecretText::new(Zeroizing::new(text.to_owned())))
    }
}

impl HsmSecretVault {
    fn key(&self, epoch: u32) -> Result<&SecretKeyReference> {
        let key = self.keys.keys.get(&epoch);
        key.ok_or_else(|| Error::inconsistency(format!("rotation {epoch} of the sealing key is not in use")))
    }
}
