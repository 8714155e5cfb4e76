//! The two keys of the fixtures, in software: what the token does for the gateway.

use std::convert::Infallible;

use async_trait::async_trait;
use gateway_domain::Timestamp;
use gateway_openpgp::{CertificateSigner, RsaPublic, SessionKeyDecryptor, compose_certificate};
use rand_08::{RngCore, rngs::OsRng};
use rsa::{
    Pkcs1v15Encrypt, Pkcs1v15Sign, RsaPrivateKey,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPublicKey},
    traits::PublicKeyParts,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(crate) const NAME: &str = "Countersign test service <orion@countersign.test>";
/// The committed certificate, as [`certificate`] makes it.
pub(crate) const CERTIFICATE: &str = include_str!("fixtures/service.asc");

pub(crate) struct Software(RsaPrivateKey);

pub(crate) fn certify_key() -> Software {
    Software(RsaPrivateKey::from_pkcs1_pem(include_str!("fixtures/certify.pem")).unwrap())
}

pub(crate) fn decrypt_key() -> Software {
    Software(RsaPrivateKey::from_pkcs1_pem(include_str!("fixtures/decrypt.pem")).unwrap())
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds * 1_000_000)
}

/// When the fixtures' keys were made; messages are read a little later.
pub(crate) fn made_at() -> Timestamp {
    at(1_790_000_000)
}

pub(crate) fn now() -> Timestamp {
    at(1_800_000_000)
}

pub(crate) async fn certificate() -> String {
    let (certify, decrypt) = (certify_key(), decrypt_key());
    let (primary, encryption) = (certify.der(), decrypt.der());
    let public = |der| RsaPublic { der, created_at: made_at() };
    compose_certificate(NAME, public(&primary), public(&encryption), &certify).await.unwrap()
}

impl Software {
    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.to_public_key().to_pkcs1_der().unwrap().as_bytes().to_vec()
    }

    pub(crate) fn public(&self) -> rsa::RsaPublicKey {
        self.0.to_public_key()
    }
}

#[async_trait]
impl CertificateSigner for Software {
    type Error = Infallible;

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Infallible> {
        Ok(self.0.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)).unwrap())
    }
}

#[async_trait]
impl SessionKeyDecryptor for Software {
    type Error = Infallible;

    fn modulus_bytes(&self) -> usize {
        self.0.size()
    }

    fn key_id(&self) -> [u8; 8] {
        gateway_openpgp::rsa_key_id(RsaPublic { der: &self.der(), created_at: made_at() }).unwrap()
    }

    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        Ok(self.0.decrypt(Pkcs1v15Encrypt, ciphertext).ok().map(Zeroizing::new))
    }

    fn random(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }
}
