//! PKCS #10 certificate requests (RFC 2986), composed by rcgen and signed by the token.

use std::cell::RefCell;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, PublicKeyData, SignatureAlgorithm, SigningKey,
    string::{Ia5String, PrintableString},
};
use secp256k1::ecdsa::Signature as DerSignature;
use sha2::{Digest, Sha256};

use crate::{
    Hsm,
    error::HsmError,
    key::{KeyAlgorithm, KeyReference},
    key_map::ResolvedPair,
    lanes::Lane,
    operation::sign::{self, SignatureScheme},
    worker::TokenSession,
};

/// `emailAddress` (RFC 2985, section 5.2.1).
const EMAIL_ADDRESS: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];

/// Whom the certificate is for.
#[derive(Clone, Debug, Default)]
pub struct CsrSubject {
    /// `CN`; required.
    pub common_name: String,
    /// `O`.
    pub organization: Option<String>,
    /// `OU`.
    pub organizational_unit: Option<String>,
    /// `C`, two letters.
    pub country: Option<String>,
    /// `ST`.
    pub state_or_province: Option<String>,
    /// `L`.
    pub locality: Option<String>,
    /// `emailAddress` of PKCS #9, ASCII.
    pub email: Option<String>,
    /// DNS names and IP addresses for the subject alternative name.
    pub alternative_names: Vec<String>,
}

impl Hsm {
    /// A certificate request in DER. secp256k1 is refused: X.509 has no use for it here.
    pub async fn csr(&self, key: &KeyReference, subject: CsrSubject) -> Result<Vec<u8>, HsmError> {
        if key.public_key.algorithm() == KeyAlgorithm::Secp256k1 {
            return Err(HsmError::AlgorithmMismatch { operation: "csr" });
        }
        let parameters = parameters(&subject)?;
        let key = key.clone();
        let call = move |token: &TokenSession<'_>| {
            let pair = token.shared.keys.usable_pair(token, &key)?;
            compose(token, &pair, &parameters)
        };
        self.run("csr", Lane::Token, self.timeouts().sign, call).await
    }
}

fn parameters(subject: &CsrSubject) -> Result<CertificateParams, HsmError> {
    if subject.common_name.is_empty() {
        return Err(HsmError::InvalidInput("the common name is empty"));
    }
    let mut parameters =
        CertificateParams::new(subject.alternative_names.clone()).map_err(HsmError::CertificateRequest)?;
    let mut name = DistinguishedName::new();
    if let Some(country) = &subject.country {
        // X.520 has the two letters as a PrintableString.
        let country = PrintableString::try_from(country.as_str()).map_err(HsmError::CertificateRequest)?;
        name.push(DnType::CountryName, DnValue::PrintableString(country));
    }
    let fields = [
        (DnType::StateOrProvinceName, &subject.state_or_province),
        (DnType::LocalityName, &subject.locality),
        (DnType::OrganizationName, &subject.organization),
        (DnType::OrganizationalUnitName, &subject.organizational_unit),
    ];
    for (kind, value) in fields {
        if let Some(value) = value {
            name.push(kind, value.as_str());
        }
    }
    name.push(DnType::CommonName, subject.common_name.as_str());
    if let Some(email) = &subject.email {
        let email = Ia5String::try_from(email.as_str()).map_err(HsmError::CertificateRequest)?;
        name.push(DnType::CustomDnType(EMAIL_ADDRESS.to_vec()), DnValue::Ia5String(email));
    }
    parameters.distinguished_name = name;
    Ok(parameters)
}

fn compose(
    token: &TokenSession<'_>,
    pair: &ResolvedPair,
    parameters: &CertificateParams,
) -> Result<Vec<u8>, HsmError> {
    let signer = Signer { token, pair, failure: RefCell::new(None) };
    match parameters.serialize_request(&signer) {
        Ok(request) => Ok(request.der().to_vec()),
        // rcgen's error for a foreign signer says nothing; the ladder needs the module's own.
        Err(error) => Err(signer.failure.into_inner().unwrap_or(HsmError::CertificateRequest(error))),
    }
}

struct Signer<'a> {
    token: &'a TokenSession<'a>,
    pair: &'a ResolvedPair,
    failure: RefCell<Option<HsmError>>,
}

impl Signer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (token, pair) = (self.token, self.pair);
        match pair.public_key.algorithm() {
            KeyAlgorithm::P256 | KeyAlgorithm::Secp256k1 => {
                let signature = sign::ecdsa(token, pair, &Sha256::digest(message).into(), None)?;
                to_der(&signature.bytes)
            }
            KeyAlgorithm::Ed25519 => {
                sign::whole_message(token, pair, SignatureScheme::Ed25519, message, None)
            }
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => {
                sign::whole_message(token, pair, SignatureScheme::RsaPkcs1Sha256, message, None)
            }
        }
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.pair.public_key.algorithm() {
            KeyAlgorithm::P256 | KeyAlgorithm::Secp256k1 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.try_sign(message).map_err(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            rcgen::Error::RemoteKeyError
        })
    }
}

fn to_der(compact: &[u8; 64]) -> Result<Vec<u8>, HsmError> {
    let signature = DerSignature::from_compact(compact).map_err(|_| HsmError::VerificationFailed)?;
    Ok(signature.serialize_der().to_vec())
}
