//! AES-256-GCM (NIST SP 800-38D) for secrets at rest.

use cryptoki::{
    error::{Error as ModuleError, RvError},
    mechanism::{Mechanism, aead::GcmParams},
};
use zeroize::Zeroizing;

use crate::{
    Hsm,
    error::HsmError,
    key::{SecretAlgorithm, SecretKeyReference},
    key_map::ResolvedSecret,
    lanes::Lane,
    operation::decrypt,
    worker::TokenSession,
};

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const TAG_BITS: u64 = 128;

impl Hsm {
    /// Encrypts `plaintext` and binds it to `additional_data`. The result is the 12-byte IV, drawn from the token,
    /// then ciphertext, then the 16-byte tag.
    pub async fn seal(
        &self,
        key: &SecretKeyReference,
        plaintext: &[u8],
        additional_data: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        self.check_sealing(key, "seal", plaintext, additional_data)?;
        let (key, additional_data) = (key.clone(), additional_data.to_vec());
        let plaintext = Zeroizing::new(plaintext.to_vec());
        let call = move |token: &TokenSession<'_>| {
            let secret = token.shared.keys.usable_secret(token, &key)?;
            seal(token, &secret, &plaintext, &additional_data)
        };
        self.run("seal", Lane::Token, self.timeouts().sign, call).await
    }

    /// Opens what [`Self::seal`] made, with the same `additional_data`.
    pub async fn open(
        &self,
        key: &SecretKeyReference,
        sealed: &[u8],
        additional_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.check_sealing(key, "open", sealed, additional_data)?;
        let (key, sealed, additional_data) = (key.clone(), sealed.to_vec(), additional_data.to_vec());
        let call = move |token: &TokenSession<'_>| {
            let secret = token.shared.keys.usable_secret(token, &key)?;
            open(token, &secret, &sealed, &additional_data)
        };
        self.run("open", Lane::Decrypt, self.timeouts().decrypt, call).await
    }

    fn check_sealing(
        &self,
        key: &SecretKeyReference,
        operation: &'static str,
        input: &[u8],
        additional_data: &[u8],
    ) -> Result<(), HsmError> {
        if key.algorithm != SecretAlgorithm::Aes256 {
            return Err(HsmError::AlgorithmMismatch { operation });
        }
        self.check_length(input)?;
        self.check_length(additional_data)
    }
}

pub(crate) fn seal(
    token: &TokenSession<'_>,
    secret: &ResolvedSecret,
    plaintext: &[u8],
    additional_data: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let mut iv = [0; IV_BYTES];
    token.session.generate_random_slice(&mut iv)?;
    let mut given = iv;
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut given, additional_data, TAG_BITS.into())?);
    let encrypted = match token.session.encrypt(&mechanism, secret.handle, plaintext) {
        // NSS leaves the tag out when asked for the length, and then finds the buffer too small.
        Err(ModuleError::Pkcs11(RvError::BufferTooSmall, _)) => {
            return Err(HsmError::Unsupported("AES-GCM: its length query leaves out the tag"));
        }
        outcome => outcome?,
    };
    if encrypted.len() != plaintext.len() + TAG_BYTES {
        return Err(HsmError::Unsupported("AES-GCM with the tag appended"));
    }
    Ok([&iv[..], &encrypted].concat())
}

pub(crate) fn open(
    token: &TokenSession<'_>,
    secret: &ResolvedSecret,
    sealed: &[u8],
    additional_data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let Some((iv, encrypted)) = sealed.split_first_chunk::<IV_BYTES>() else {
        return Err(HsmError::DecryptFailed);
    };
    if encrypted.len() < TAG_BYTES {
        return Err(HsmError::DecryptFailed);
    }
    let mut iv = *iv;
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, additional_data, TAG_BITS.into())?);
    decrypt::run(token, &mechanism, secret.handle, encrypted)
}
