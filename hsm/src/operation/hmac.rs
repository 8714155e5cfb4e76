//! HMAC-SHA256 (RFC 2104) with a secret that stays in the token.

use cryptoki::mechanism::Mechanism;

use crate::{
    Hsm,
    error::HsmError,
    key::{SecretAlgorithm, SecretKeyReference},
    key_map::ResolvedSecret,
    lanes::Lane,
    worker::TokenSession,
};

impl Hsm {
    /// The 32-byte MAC of `message`.
    pub async fn hmac_sha256(&self, key: &SecretKeyReference, message: &[u8]) -> Result<[u8; 32], HsmError> {
        if key.algorithm != SecretAlgorithm::HmacSha256 {
            return Err(HsmError::AlgorithmMismatch { operation: "hmac_sha256" });
        }
        self.check_length(message)?;
        let (key, message) = (key.clone(), message.to_vec());
        let mac = move |token: &TokenSession<'_>| {
            let secret = token.shared.keys.usable_secret(token, &key)?;
            hmac_sha256(token, &secret, &message)
        };
        self.run("hmac_sha256", Lane::Token, self.timeouts().sign, mac).await
    }
}

pub(crate) fn hmac_sha256(
    token: &TokenSession<'_>,
    secret: &ResolvedSecret,
    message: &[u8],
) -> Result<[u8; 32], HsmError> {
    let mac = token.session.sign(&Mechanism::Sha256Hmac, secret.handle, message)?;
    mac.try_into().map_err(|_| HsmError::Unsupported("a 32-byte HMAC-SHA256"))
}
