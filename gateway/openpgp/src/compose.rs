//! A certificate around two RSA keys whose private halves are elsewhere: the primary certifies, the subkey is
//! encrypted to. Version 4, so that every OpenPGP implementation in use can read it.

use async_trait::async_trait;
use gateway_domain::Timestamp;
use pgp::{
    composed::{ArmorOptions, SignedKeyDetails, SignedPublicKey, SignedPublicSubKey},
    crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm, sym::SymmetricKeyAlgorithm},
    packet::{
        Features, KeyFlags, PacketTrait, PubKeyInner, PublicKey, PublicSubkey, Signature, SignatureConfig,
        SignatureType, Subpacket, SubpacketData, UserId,
    },
    ser::Serialize,
    types::{
        CompressionAlgorithm, KeyDetails, KeyVersion, Mpi, PacketHeaderVersion, PublicParams,
        RsaPublicParams, SignatureBytes, SignedUser, Timestamp as PgpTimestamp,
    },
};
use rsa::{RsaPublicKey, pkcs1::DecodeRsaPublicKey};
use sha2::{Digest, Sha256};
use smallvec::smallvec;

/// Signs with the primary key: RSASSA-PKCS1-v1_5 over SHA-256 of the message.
#[async_trait]
pub trait CertificateSigner: Send + Sync {
    type Error: Send;

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// A public RSA key and when it was made, which is part of its fingerprint.
#[derive(Clone, Copy, Debug)]
pub struct RsaPublic<'a> {
    /// DER `RSAPublicKey` (RFC 8017, appendix A.1.1).
    pub der: &'a [u8],
    pub created_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum ComposeError<E> {
    #[error("the public key is not an RSA key")]
    PublicKey,
    #[error("the certificate cannot be composed")]
    OpenPgp(#[source] Box<pgp::errors::Error>),
    #[error("the primary key did not sign")]
    Signer(E),
}

impl<E> From<pgp::errors::Error> for ComposeError<E> {
    fn from(error: pgp::errors::Error) -> Self {
        Self::OpenPgp(Box::new(error))
    }
}

/// The armored certificate; its signatures have been verified.
pub async fn compose_certificate<S: CertificateSigner>(
    name: &str,
    primary: RsaPublic<'_>,
    encryption: RsaPublic<'_>,
    signer: &S,
) -> Result<String, ComposeError<S::Error>> {
    let primary_key = PublicKey::from_inner(rsa_key(primary)?)?;
    let subkey = PublicSubkey::from_inner(rsa_key(encryption)?)?;
    let user = UserId::from_str(PacketHeaderVersion::New, name)?;

    let config = certification(&primary_key, primary.created_at)?;
    let mut message = hashed_key(&primary_key)?;
    message.push(0xb4);
    message.extend(u32::try_from(user.id().len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(user.id());
    let certified = signed(config, message, signer).await?;

    let config = subkey_binding(&primary_key, encryption.created_at)?;
    let message = [hashed_key(&primary_key)?, hashed_key(&subkey)?].concat();
    let bound = signed(config, message, signer).await?;

    let users = vec![SignedUser::new(user, vec![certified])];
    let details = SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new());
    let subkeys = vec![SignedPublicSubKey::new(subkey, vec![bound])];
    let certificate = SignedPublicKey::new(primary_key, details, subkeys);
    certificate.verify_bindings()?;
    Ok(certificate.to_armored_string(ArmorOptions::default())?)
}

fn rsa_key<E>(key: RsaPublic<'_>) -> Result<PubKeyInner, ComposeError<E>> {
    let public = RsaPublicKey::from_pkcs1_der(key.der).map_err(|_| ComposeError::PublicKey)?;
    let params = PublicParams::RSA(RsaPublicParams { key: public });
    let created = seconds(key.created_at);
    Ok(PubKeyInner::new(KeyVersion::V4, PublicKeyAlgorithm::RSA, created, None, params)?)
}

fn seconds(at: Timestamp) -> PgpTimestamp {
    PgpTimestamp::from_secs(u32::try_from(at.unix_seconds()).unwrap_or(0))
}

fn certification(primary: &PublicKey, at: Timestamp) -> Result<SignatureConfig, pgp::errors::Error> {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    let mut features = Features::new();
    features.set_seipd_v1(true);
    let ciphers = smallvec![SymmetricKeyAlgorithm::AES256, SymmetricKeyAlgorithm::AES128];
    let data = vec![
        SubpacketData::KeyFlags(flags),
        SubpacketData::Features(features),
        SubpacketData::PreferredSymmetricAlgorithms(ciphers),
        SubpacketData::PreferredHashAlgorithms(smallvec![HashAlgorithm::Sha512, HashAlgorithm::Sha256]),
        SubpacketData::PreferredCompressionAlgorithms(smallvec![
            CompressionAlgorithm::Uncompressed,
            CompressionAlgorithm::ZLIB
        ]),
        SubpacketData::IsPrimary(true),
    ];
    config(SignatureType::CertPositive, primary, at, data)
}

fn subkey_binding(primary: &PublicKey, at: Timestamp) -> Result<SignatureConfig, pgp::errors::Error> {
    let mut flags = KeyFlags::default();
    flags.set_encrypt_comms(true);
    flags.set_encrypt_storage(true);
    config(SignatureType::SubkeyBinding, primary, at, vec![SubpacketData::KeyFlags(flags)])
}

fn config(
    kind: SignatureType,
    primary: &PublicKey,
    at: Timestamp,
    more: Vec<SubpacketData>,
) -> Result<SignatureConfig, pgp::errors::Error> {
    let mut config = SignatureConfig::v4(kind, PublicKeyAlgorithm::RSA, HashAlgorithm::Sha256);
    let own = [
        SubpacketData::SignatureCreationTime(seconds(at)),
        SubpacketData::IssuerFingerprint(primary.fingerprint()),
    ];
    let hashed = own.into_iter().chain(more).map(Subpacket::regular);
    config.hashed_subpackets = hashed.collect::<Result<_, _>>()?;
    config.unhashed_subpackets =
        vec![Subpacket::regular(SubpacketData::IssuerKeyId(primary.legacy_key_id()))?];
    Ok(config)
}

/// A key as signatures over it hash it (RFC 9580, section 5.2.4).
fn hashed_key(key: &(impl Serialize + KeyDetails)) -> Result<Vec<u8>, pgp::errors::Error> {
    let body = key.to_bytes()?;
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    Ok([&[0x99][..], &length.to_be_bytes(), &body].concat())
}

/// Appends what a version 4 signature hashes of itself, and has the whole signed.
async fn signed<S: CertificateSigner>(
    config: SignatureConfig,
    mut message: Vec<u8>,
    signer: &S,
) -> Result<Signature, ComposeError<S::Error>> {
    let hashed = hashed_part(&config)?;
    message.extend_from_slice(&hashed);
    message.extend([4, 0xff]);
    message.extend(u32::try_from(hashed.len()).unwrap_or(u32::MAX).to_be_bytes());
    let digest = Sha256::digest(&message);
    let bytes = signer.sign(&message).await.map_err(ComposeError::Signer)?;
    let signature = SignatureBytes::Mpis(vec![Mpi::from_slice(&bytes)]);
    Ok(Signature::from_config(config, [digest[0], digest[1]], signature)?)
}

/// Version, type, algorithms and hashed subpackets: how the packet's body begins.
fn hashed_part(config: &SignatureConfig) -> Result<Vec<u8>, pgp::errors::Error> {
    let unsigned = Signature::from_config(config.clone(), [0; 2], SignatureBytes::Mpis(Vec::new()))?;
    debug_assert_eq!(unsigned.packet_header().version(), PacketHeaderVersion::New);
    let mut body = unsigned.to_bytes()?;
    let length = 6 + usize::from(u16::from_be_bytes([body[4], body[5]]));
    body.truncate(length);
    Ok(body)
}

/// The key id (RFC 9580, section 5.5.4.2) under which session-key packets name an RSA key; `None` if it is not one.
pub fn rsa_key_id(key: RsaPublic<'_>) -> Option<[u8; 8]> {
    let inner = rsa_key::<std::convert::Infallible>(key).ok()?;
    let key = PublicKey::from_inner(inner).ok()?;
    key.legacy_key_id().as_ref().try_into().ok()
}
