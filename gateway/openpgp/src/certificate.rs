//! Certificates of others: what may be encrypted to.

use gateway_domain::{
    Timestamp,
    openpgp::{Fingerprint, InspectedKey, OpenPgpFault, PUBLIC_KEY_BYTES_MAX},
};
use pgp::{
    armor::BlockType,
    composed::{Deserializable, SignedPublicKey, SignedPublicSubKey},
    crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm},
    packet::{Packet, PacketParser, Signature, SignatureType},
    types::{KeyDetails, KeyId, KeyVersion, PublicParams, Tag},
};
use rsa::traits::PublicKeyParts;

use crate::{armor::dearmor, fault::Fault};

const RSA_BITS_MIN: usize = 2048;
/// Each costs the check of a signature, and strangers may ask.
const SIGNATURES_MAX: usize = 32;

/// An armored certificate that holds everything [`inspect_key`] demands.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Of the primary key.
    pub fingerprint: Fingerprint,
    /// Keys that may be encrypted to, newest first.
    pub(crate) encryption_keys: Vec<EncryptionKey>,
    /// When the last of them, or the whole, expires; seconds since the epoch.
    usable_until: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct EncryptionKey {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key_id: KeyId,
    created: u32,
    /// When it expires.
    until: Option<u32>,
}

/// See [`gateway_domain::openpgp::OpenPgp::inspect_key`].
pub fn inspect_key(armored: &str, now: Timestamp) -> Result<InspectedKey, OpenPgpFault> {
    let certificate = Certificate::read(armored, now)?;
    let seconds = |until: u32| Timestamp::from_unix_micros(i64::from(until) * 1_000_000);
    let usable_until = certificate.usable_until.map(seconds);
    Ok(InspectedKey { fingerprint: certificate.fingerprint, usable_until })
}

/// See [`gateway_domain::openpgp::OpenPgp::fingerprint`].
pub fn read_fingerprint(armored: &str) -> Result<Fingerprint, OpenPgpFault> {
    Ok(fingerprint(&parse(armored)?.primary_key).ok_or(Fault::KeyVersion)?)
}

pub(crate) fn parse(armored: &str) -> Result<SignedPublicKey, Fault> {
    let block = (BlockType::PublicKey, "PGP PUBLIC KEY BLOCK");
    if armored.contains("PRIVATE KEY BLOCK") {
        return Err(Fault::SecretMaterial);
    }
    let bytes = dearmor(armored, block, PUBLIC_KEY_BYTES_MAX)?;
    let packets: Vec<Packet> =
        PacketParser::new(&bytes[..]).collect::<Result<_, _>>().map_err(|_| Fault::Packets)?;
    let is_secret = |packet: &Packet| matches!(packet, Packet::SecretKey(_) | Packet::SecretSubkey(_));
    if packets.iter().any(is_secret) {
        return Err(Fault::SecretMaterial);
    }
    if packets.iter().filter(|packet| matches!(packet, Packet::Signature(_))).count() > SIGNATURES_MAX {
        return Err(Fault::TooManySignatures(SIGNATURES_MAX));
    }
    if packets.iter().filter(|packet| matches!(packet, Packet::PublicKey(_))).count() != 1 {
        return Err(Fault::OneCertificate);
    }
    let mut keys = SignedPublicKey::from_packets(packets.into_iter().map(Ok).peekable());
    let key = keys.next().and_then(Result::ok).ok_or(Fault::Packets)?;
    if keys.next().is_some() {
        return Err(Fault::OneCertificate);
    }
    Ok(key)
}

impl Certificate {
    pub fn read(armored: &str, now: Timestamp) -> Result<Self, Fault> {
        Self::of(&parse(armored)?, u32::try_from(now.unix_seconds()).unwrap_or(u32::MAX))
    }

    pub(crate) fn of(key: &SignedPublicKey, now: u32) -> Result<Self, Fault> {
        if key.primary_key.version() != KeyVersion::V4 {
            return Err(Fault::KeyVersion);
        }
        let primary = &key.primary_key;
        // Long gone from new keys, and the dearest to check.
        if matches!(primary.algorithm(), PublicKeyAlgorithm::DSA | PublicKeyAlgorithm::Elgamal) {
            return Err(Fault::Algorithm);
        }
        if key.details.revocation_signatures.iter().any(|signature| signature.verify_key(primary).is_ok()) {
            return Err(Fault::Revoked);
        }
        let standing = self_signature(key, now).ok_or(Fault::SelfSignature)?;
        if is_over(standing, primary.created_at().as_secs(), now) {
            return Err(Fault::Expired);
        }
        let mut encryption_keys: Vec<EncryptionKey> =
            key.public_subkeys.iter().filter_map(|subkey| encryption_subkey(key, subkey, now)).collect();
        if may_encrypt(standing) && is_capable(primary) {
            encryption_keys.push(EncryptionKey::of(primary, None).ok_or(Fault::KeyVersion)?);
        }
        if encryption_keys.is_empty() {
            return Err(Fault::NoEncryptionKey);
        }
        encryption_keys.sort_by_key(|key| std::cmp::Reverse(key.created));
        let last = encryption_keys.iter().map(|key| key.until.unwrap_or(u32::MAX)).max();
        let whole = end(standing, primary.created_at().as_secs()).unwrap_or(u32::MAX);
        let until = last.unwrap_or(u32::MAX).min(whole);
        let usable_until = (until != u32::MAX).then_some(until);
        Ok(Self {
            fingerprint: fingerprint(primary).ok_or(Fault::KeyVersion)?,
            encryption_keys,
            usable_until,
        })
    }
}

impl EncryptionKey {
    fn of(key: &impl KeyDetails, until: Option<u32>) -> Option<Self> {
        let created = key.created_at().as_secs();
        Some(Self { fingerprint: fingerprint(key)?, key_id: key.legacy_key_id(), created, until })
    }
}

/// The newest self-signature that speaks for the whole key: over a user id that was not revoked, or over the key.
fn self_signature(key: &SignedPublicKey, now: u32) -> Option<&Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
    });
    let users = key.details.users.iter().flat_map(|user| {
        let valid = move |signature: &&Signature| {
            signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        let revoked =
            user.signatures.iter().filter(valid).any(|one| one.typ() == Some(SignatureType::CertRevocation));
        let certified = |signature: &&Signature| signature.is_certification();
        user.signatures.iter().filter(move |_| !revoked).filter(certified).filter(valid)
    });
    direct.chain(users).filter(|signature| is_acceptable(signature, now)).max_by_key(|one| created(one))
}

fn encryption_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: u32) -> Option<EncryptionKey> {
    let public = &subkey.key;
    let binding = binding(key, subkey, now)?;
    let until = end(binding, public.created_at().as_secs());
    let usable = may_encrypt(binding) && is_capable(public);
    if usable { EncryptionKey::of(public, until) } else { None }
}

/// What binds a version 4 subkey that is neither revoked nor over.
fn binding<'a>(key: &SignedPublicKey, subkey: &'a SignedPublicSubKey, now: u32) -> Option<&'a Signature> {
    let (primary, public) = (&key.primary_key, &subkey.key);
    let mine = |kind: SignatureType| {
        subkey
            .signatures
            .iter()
            .filter(move |signature| signature.typ() == Some(kind))
            .filter(move |signature| signature.verify_subkey_binding(primary, public).is_ok())
    };
    if mine(SignatureType::SubkeyRevocation).next().is_some() || public.version() != KeyVersion::V4 {
        return None;
    }
    let newest = mine(SignatureType::SubkeyBinding)
        .filter(|signature| is_acceptable(signature, now))
        .max_by_key(|one| created(one))?;
    (!is_over(newest, public.created_at().as_secs(), now)).then_some(newest)
}

/// Made with a hash that still means something, not in the future, and not expired itself.
pub(crate) fn is_acceptable(signature: &Signature, now: u32) -> bool {
    let broken = matches!(
        signature.hash_alg(),
        None | Some(HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160)
    );
    let made = created(signature);
    let lasts = signature
        .signature_expiration_time()
        .is_none_or(|length| length.as_secs() == 0 || made.saturating_add(length.as_secs()) > now);
    // Clocks differ by a little.
    !broken && made <= now.saturating_add(300) && lasts
}

fn created(signature: &Signature) -> u32 {
    signature.created().map_or(0, pgp::types::Timestamp::as_secs)
}

/// When the key that this self-signature is over expires, or the signature itself.
fn end(signature: &Signature, key_created: u32) -> Option<u32> {
    let after = |start: u32, length: Option<u32>| {
        length.filter(|length| *length != 0).map(|length| start.saturating_add(length))
    };
    let of_key = after(key_created, signature.key_expiration_time().map(pgp::types::Duration::as_secs));
    let own = signature.signature_expiration_time().map(pgp::types::Duration::as_secs);
    of_key.into_iter().chain(after(created(signature), own)).min()
}

fn is_over(signature: &Signature, key_created: u32, now: u32) -> bool {
    signature
        .key_expiration_time()
        .is_some_and(|length| length.as_secs() != 0 && key_created.saturating_add(length.as_secs()) <= now)
}

fn may_encrypt(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.encrypt_comms() || flags.encrypt_storage()
}

/// Whether the algorithm encrypts, and RSA keys are of a size that still protects.
fn is_capable(key: &impl KeyDetails) -> bool {
    match key.public_params() {
        PublicParams::RSA(rsa) => {
            let kind = key.algorithm();
            kind != PublicKeyAlgorithm::RSASign && rsa.key.n().bits() >= RSA_BITS_MIN
        }
        PublicParams::ECDH(_) | PublicParams::X25519(_) | PublicParams::X448(_) => true,
        _ => false,
    }
}

fn fingerprint(key: &impl KeyDetails) -> Option<Fingerprint> {
    match key.fingerprint() {
        pgp::types::Fingerprint::V4(bytes) => Some(Fingerprint(bytes)),
        _ => None,
    }
}
