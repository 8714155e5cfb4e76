//! From a key record to what the token must hold: the label is rebuilt from the sealed row, never read from it.

use gateway_domain::{
    error::{Error, Result},
    keys::{KeyAlgorithm, KeyRecord},
};
use hsm::{KeyLabel, KeyReference, PublicKey};

pub(super) fn label(record: &KeyRecord) -> KeyLabel {
    KeyLabel {
        organization: record.organization.to_string(),
        key_id: record.id.to_string(),
        purpose: record.purpose.as_str().to_owned(),
        kinds: record.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
    }
}

pub(super) fn reference(record: &KeyRecord) -> Result<KeyReference> {
    let public_key =
        record.public_key.as_ref().ok_or_else(|| Error::inconsistency("the key was never activated"))?;
    let algorithm = pair_algorithm(record.algorithm)?;
    let public_key = PublicKey::new(algorithm, &public_key.0).map_err(Error::inconsistency)?;
    Ok(KeyReference { cka_id: record.cka_id, label: label(record), public_key })
}

pub(super) fn pair_algorithm(algorithm: KeyAlgorithm) -> Result<hsm::KeyAlgorithm> {
    match algorithm {
        KeyAlgorithm::Secp256k1 => Ok(hsm::KeyAlgorithm::Secp256k1),
        KeyAlgorithm::P256 => Ok(hsm::KeyAlgorithm::P256),
        KeyAlgorithm::Ed25519 => Ok(hsm::KeyAlgorithm::Ed25519),
        KeyAlgorithm::Rsa2048 => Ok(hsm::KeyAlgorithm::Rsa2048),
        KeyAlgorithm::Rsa4096 => Ok(hsm::KeyAlgorithm::Rsa4096),
        KeyAlgorithm::Aes256 | KeyAlgorithm::HmacSha256 => {
            Err(Error::inconsistency("a secret key has no public half"))
        }
    }
}
