//! OpenPGP with keys of the token: the parsing is in `gateway-openpgp`, every private operation is the token's.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use gateway_domain::{
    Timestamp,
    entropy::Entropy,
    error::{Error, Result},
    keys::{KeyPurpose, KeyRecord},
    openpgp::{Fingerprint, InspectedKey, InspectedMessage, MessageFault, OpenPgp, OpenPgpFault, Opened},
    sealed::Sealed,
};
use gateway_openpgp::{
    CertificateSigner, ComposeError, Content, Message, RsaPublic, SessionKeyDecryptor, compose_certificate,
    inspect_key, inspect_message, open_message, read_fingerprint, rsa_key_id, verify_possession,
};
use hsm::{Hsm, HsmError, KeyReference, Lane, RsaDecryption, SignatureScheme};
use zeroize::Zeroizing;

use super::{hsm_error::translate, key_reference, system::SystemEntropy};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct HsmOpenPgp {
    pub(crate) hsm: Hsm,
    /// Bytes of a decrypted message.
    pub(crate) content_bytes_max: usize,
}

#[async_trait]
impl OpenPgp for HsmOpenPgp {
    fn inspect_key(&self, armored: &str, now: Timestamp) -> Result<InspectedKey, OpenPgpFault> {
        inspect_key(armored, now)
    }

    fn verify_possession(
        &self,
        certificate: &str,
        signed: (&str, &str),
        now: Timestamp,
    ) -> Result<(), OpenPgpFault> {
        verify_possession(certificate, signed, now)
    }

    fn fingerprint(&self, armored: &str) -> Result<Fingerprint, OpenPgpFault> {
        read_fingerprint(armored)
    }

    fn inspect_message(
        &self,
        armored: &str,
        recipient: &str,
        now: Timestamp,
    ) -> Result<InspectedMessage, MessageFault> {
        inspect_message(armored, recipient, now)
    }

    #[tracing::instrument(name = "hsm.certify", skip_all, fields(key.id = %certify.id))]
    async fn certificate(
        &self,
        name: &str,
        certify: &Sealed<KeyRecord>,
        decrypt: &Sealed<KeyRecord>,
    ) -> Result<String> {
        let key = reference(certify, KeyPurpose::OpenPgpCertify)?;
        let subkey = reference(decrypt, KeyPurpose::OpenPgpDecrypt)?;
        let primary = RsaPublic { der: key.public_key.as_bytes(), created_at: certify.created_at };
        let encryption = RsaPublic { der: subkey.public_key.as_bytes(), created_at: decrypt.created_at };
        let signer = Certifier { hsm: &self.hsm, key: &key };
        compose_certificate(name, primary, encryption, &signer).await.map_err(|error| match error {
            ComposeError::Signer(error) => translate(error),
            ComposeError::PublicKey => Error::inconsistency("the key is not an RSA key"),
            ComposeError::OpenPgp(cause) => Error::inconsistency(cause),
        })
    }

    #[tracing::instrument(name = "hsm.open_message", skip_all, fields(key.id = %decrypt.id))]
    async fn open(&self, armored: &str, decrypt: &Sealed<KeyRecord>) -> Result<Opened> {
        let key = reference(decrypt, KeyPurpose::OpenPgpDecrypt)?;
        let message = Message::read(armored).map_err(Error::inconsistency)?;
        let public = RsaPublic { der: key.public_key.as_bytes(), created_at: decrypt.created_at };
        let key_id = rsa_key_id(public).ok_or_else(|| Error::inconsistency("the key is not an RSA key"))?;
        let modulus_bytes = match key.public_key.algorithm() {
            hsm::KeyAlgorithm::Rsa2048 => 256,
            _ => 512,
        };
        let decryptor = Decryptor { hsm: &self.hsm, key: &key, key_id, modulus_bytes };
        let content = open_message(&message, &decryptor, self.content_bytes_max).await.map_err(translate)?;
        Ok(match content {
            Content::Data(data) => Opened::Content(data),
            Content::Unopened => Opened::Unopened,
            Content::Unreadable(reason) => Opened::Unreadable(reason),
        })
    }
}

fn reference(record: &KeyRecord, purpose: KeyPurpose) -> Result<KeyReference> {
    if record.purpose != purpose {
        return Err(Error::inconsistency("the key has another purpose"));
    }
    key_reference::reference(record)
}

struct Certifier<'a> {
    hsm: &'a Hsm,
    key: &'a KeyReference,
}

#[async_trait]
impl CertificateSigner for Certifier<'_> {
    type Error = HsmError;

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (scheme, not_after) = (SignatureScheme::RsaPkcs1Sha256, Instant::now() + PATIENCE);
        self.hsm.sign_message(self.key, scheme, message, Lane::Token, not_after).await
    }
}

struct Decryptor<'a> {
    hsm: &'a Hsm,
    key: &'a KeyReference,
    key_id: [u8; 8],
    modulus_bytes: usize,
}

#[async_trait]
impl SessionKeyDecryptor for Decryptor<'_> {
    type Error = HsmError;

    fn modulus_bytes(&self) -> usize {
        self.modulus_bytes
    }

    fn key_id(&self) -> [u8; 8] {
        self.key_id
    }

    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, HsmError> {
        match self.hsm.decrypt_rsa(self.key, RsaDecryption::Pkcs1v15, ciphertext).await {
            Ok(plaintext) => Ok(Some(plaintext)),
            Err(HsmError::DecryptFailed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemEntropy.fill(bytes);
    }
}
