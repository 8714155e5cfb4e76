//! The health signature: a key of its own, found and used like any other.

use crate::{
    error::HsmError,
    key::{CkaId, KeyAlgorithm, KeySpec, KeyUsage},
    key_map::Resolved,
    label::KeyLabel,
    object,
    operation::{generate, sign},
    worker::TokenSession,
};

/// `CKA_ID` of the canary pair.
pub(crate) const CKA_ID: CkaId = *b"countersign-cnry";

/// Finds the canary, signs a random digest with it and verifies the signature.
pub(crate) fn sign(token: &TokenSession<'_>) -> Result<(), HsmError> {
    let pair = match token.shared.keys.resolve(token, &CKA_ID) {
        Ok(Resolved::Pair(pair)) => pair,
        Ok(Resolved::Secret(_)) | Err(HsmError::KeyNotFound { .. }) => {
            return Err(HsmError::Doubtful("the canary key is not found"));
        }
        Err(error) => return Err(error),
    };
    let mut digest = [0; 32];
    token.session.generate_random_slice(&mut digest)?;
    sign::ecdsa(token, &pair, &digest, None)?;
    Ok(())
}

/// Makes the canary pair on a token that has none.
pub(crate) fn create_if_absent(token: &TokenSession<'_>) -> Result<(), HsmError> {
    if !object::find(token.session, &CKA_ID)?.is_empty() {
        return Ok(());
    }
    let label = KeyLabel {
        organization: "-".into(),
        key_id: "canary".into(),
        purpose: "canary".into(),
        kinds: Vec::new(),
    };
    let spec = KeySpec {
        cka_id: CKA_ID,
        label,
        algorithm: KeyAlgorithm::P256,
        usage: KeyUsage::Sign,
        permanent: false,
    };
    generate::create_pair(token, &spec)?;
    Ok(())
}
