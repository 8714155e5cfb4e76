//! Signs heads of the audit log with a P-256 key of that purpose, and nothing else.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use gateway_domain::{audit::Checkpoint, error::Result, keys::PublicKey, ports::CheckpointSigner};
use hsm::{Hsm, KeyReference, Lane};

use super::hsm_error::translate;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct HsmCheckpointSigner {
    pub(crate) hsm: Hsm,
    pub(crate) key: KeyReference,
}

#[async_trait]
impl CheckpointSigner for HsmCheckpointSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.key.public_key.as_bytes().to_vec())
    }

    #[tracing::instrument(name = "hsm.sign_checkpoint", skip_all, fields(checkpoint.number = checkpoint.number))]
    async fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
        let not_after = Instant::now() + PATIENCE;
        let signed = self.hsm.sign_digest(&self.key, &checkpoint.hash().0, Lane::Token, not_after).await;
        Ok(signed.map_err(translate)?.bytes.to_vec())
    }
}
