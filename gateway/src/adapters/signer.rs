//! Wallet signatures: the only function of this process that reaches a wallet key, and it takes a permit.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use gateway_domain::{
    Clock,
    error::{Error, Result},
    keys::{KeyPurpose, KeyRecord},
    policy::SigningPermit,
    ports::Signer,
    sealed::Sealed,
};
use hsm::{Hsm, Lane};

use super::{hsm_error::translate, key_reference};

pub(crate) struct HsmSigner {
    pub(crate) hsm: Hsm,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Signer for HsmSigner {
    #[tracing::instrument(name = "hsm.sign", skip_all, fields(transaction.id = %permit.transaction()))]
    async fn sign(&self, permit: &SigningPermit, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        let matches = permit.key() == key.id && permit.organization() == key.organization;
        if !matches || key.purpose != KeyPurpose::Wallet {
            return Err(Error::inconsistency("the permit is for another key"));
        }
        let not_after = Instant::now() + permit.expires_at().since(self.clock.now());
        let reference = key_reference::reference(key)?;
        let signed = self.hsm.sign_digest(&reference, &permit.digest().0, Lane::Sign, not_after).await;
        let signed = signed.map_err(translate)?;
        let recovery_id =
            signed.recovery_id.ok_or_else(|| Error::inconsistency("the key is not of secp256k1"))?;
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&signed.bytes);
        signature[64] = recovery_id;
        Ok(signature)
    }
}
