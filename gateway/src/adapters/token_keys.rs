//! Making key pairs in the token.

use async_trait::async_trait;
use gateway_domain::{
    error::Result,
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, PublicKey},
    ports::TokenKeys,
    sealed::Sealed,
};
use hsm::{Hsm, KeySpec, KeyUsage};

use super::{
    hsm_error::translate,
    key_reference::{label, pair_algorithm},
};

pub(crate) struct HsmTokenKeys {
    pub(crate) hsm: Hsm,
    pub(crate) token_id: String,
}

/// What the token lets the key do.
fn usage(purpose: KeyPurpose) -> KeyUsage {
    match purpose {
        KeyPurpose::OpenPgpDecrypt => KeyUsage::Decrypt,
        KeyPurpose::Wallet
        | KeyPurpose::CharterMark
        | KeyPurpose::DevelopmentMark
        | KeyPurpose::AuditCheckpoint
        | KeyPurpose::SealMaster
        | KeyPurpose::CredentialMaster
        | KeyPurpose::AccessToken
        | KeyPurpose::FireblocksRequest
        | KeyPurpose::PrivyAuthorization
        | KeyPurpose::SecretSealing
        | KeyPurpose::Relayer
        | KeyPurpose::OpenPgpCertify => KeyUsage::Sign,
    }
}

#[async_trait]
impl TokenKeys for HsmTokenKeys {
    fn token_id(&self) -> &str {
        &self.token_id
    }

    #[tracing::instrument(name = "hsm.generate", skip_all, fields(key.id = %record.id))]
    async fn generate(&self, record: &Sealed<KeyRecord>) -> Result<PublicKey> {
        let spec = KeySpec {
            cka_id: record.cka_id,
            label: label(record),
            algorithm: pair_algorithm(record.algorithm)?,
            usage: usage(record.purpose),
            permanent: false,
        };
        let reference = self.hsm.generate(spec).await.map_err(translate)?;
        Ok(PublicKey(reference.public_key.as_bytes().to_vec()))
    }

    #[tracing::instrument(name = "hsm.adopt", skip_all, fields(key.id = %record.id))]
    async fn adopt(&self, record: &Sealed<KeyRecord>) -> Result<Option<PublicKey>> {
        match self.hsm.find(record.cka_id).await.map_err(translate)? {
            // Compares the label, syncs and proves the pair; nothing is made beside one that is there.
            Some(_) => self.generate(record).await.map(Some),
            None => Ok(None),
        }
    }

    fn supports(&self, algorithm: KeyAlgorithm) -> bool {
        pair_algorithm(algorithm).is_ok()
    }
}
