//! By what a person recognizes the key of a certificate request.

use p256::pkcs8::{
    AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{AnyRef, Encode, asn1::BitStringRef},
};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    keys::PublicKey,
};

/// `rsaEncryption` (RFC 8017, appendix C).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Hex SHA-256 of the `SubjectPublicKeyInfo` of an RSA key given as PKCS #1 DER.
pub fn fingerprint(key: &PublicKey) -> Result<String> {
    let subject_public_key = BitStringRef::from_bytes(&key.0).map_err(Error::inconsistency)?;
    let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) };
    let info = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
    let der = info.to_der().map_err(Error::inconsistency)?;
    Ok(hex::encode(Sha256::digest(der)))
}
