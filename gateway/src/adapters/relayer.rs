//! Registry calls: the only function of this process that reaches a relayer key, and it takes an order that only the
//! domain makes of bytes it has decoded.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use gateway_domain::{
    error::{Error, Result},
    keys::{KeyPurpose, KeyRecord},
    registry::{RelayOrder, RelayerSigner},
    sealed::Sealed,
};
use hsm::{Hsm, Lane};

use super::{hsm_error::translate, key_reference};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct HsmRelayer {
    pub(crate) hsm: Hsm,
}

#[async_trait]
impl RelayerSigner for HsmRelayer {
    #[tracing::instrument(name = "hsm.sign_relay", skip_all, fields(key.id = %key.id))]
    async fn sign_relay(&self, order: &RelayOrder, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        if order.key() != key.id || key.purpose != KeyPurpose::Relayer {
            return Err(Error::inconsistency("the order is for another key"));
        }
        let reference = key_reference::reference(key)?;
        let not_after = Instant::now() + PATIENCE;
        let signed = self.hsm.sign_digest(&reference, &order.digest().0, Lane::Token, not_after).await;
        let signed = signed.map_err(translate)?;
        let recovery_id =
            signed.recovery_id.ok_or_else(|| Error::inconsistency("the key is not of secp256k1"))?;
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&signed.bytes);
        signature[64] = recovery_id;
        Ok(signature)
    }
}
