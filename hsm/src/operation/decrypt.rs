//! RSA decryption, and the one rule by which a failed decryption is told from a failed token.

use cryptoki::{
    context::Function,
    error::{Error as ModuleError, RvError},
    mechanism::Mechanism,
    object::ObjectHandle,
};
use zeroize::Zeroizing;

use crate::{
    Hsm, error::HsmError, key::KeyReference, lanes::Lane, operation::generate::oaep_sha256,
    recovery::SessionHealth, worker::TokenSession,
};

/// RSA encryption schemes (RFC 8017, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaDecryption {
    /// RSAES-PKCS1-v1_5. The caller must not let an outsider tell a bad padding from any other failure.
    Pkcs1v15,
    /// RSAES-OAEP with SHA-256, MGF1-SHA-256 and an empty label.
    OaepSha256,
}

impl Hsm {
    /// Decrypts with a key made for [`crate::KeyUsage::Decrypt`].
    pub async fn decrypt_rsa(
        &self,
        key: &KeyReference,
        scheme: RsaDecryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if !key.public_key.algorithm().is_rsa() {
            return Err(HsmError::AlgorithmMismatch { operation: "decrypt_rsa" });
        }
        self.check_length(ciphertext)?;
        let (key, ciphertext) = (key.clone(), ciphertext.to_vec());
        let call = move |token: &TokenSession<'_>| {
            let pair = token.shared.keys.usable_pair(token, &key)?;
            let mechanism = match scheme {
                RsaDecryption::Pkcs1v15 => Mechanism::RsaPkcs,
                RsaDecryption::OaepSha256 => oaep_sha256(),
            };
            match run(token, &mechanism, pair.private, &ciphertext) {
                Err(HsmError::Module(ModuleError::Pkcs11(
                    RvError::ArgumentsBad | RvError::MechanismParamInvalid | RvError::MechanismInvalid,
                    Function::DecryptInit,
                ))) => Err(HsmError::Unsupported("this RSA decryption scheme")),
                outcome => outcome,
            }
        };
        self.run("decrypt_rsa", Lane::Decrypt, self.timeouts().decrypt, call).await
    }
}

/// Decrypts. Modules answer bad ciphertext with codes up to `CKR_GENERAL_ERROR`; while the session is still logged in
/// these must not open the breaker, and the canary notices if the token is at fault.
pub(crate) fn run(
    token: &TokenSession<'_>,
    mechanism: &Mechanism<'_>,
    key: ObjectHandle,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    match token.session.decrypt(mechanism, key, ciphertext) {
        Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
        Err(ModuleError::Pkcs11(
            RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::DeviceError
            | RvError::SignatureInvalid,
            _,
        )) if SessionHealth::of(token.session) == SessionHealth::LoggedIn => Err(HsmError::DecryptFailed),
        Err(error) => Err(error.into()),
    }
}
