//! OpenPGP as the domain sees it (RFC 9580): certificates and messages are armored text, examined through a port.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{clock::Timestamp, error::Result, keys::KeyRecord, sealed::Sealed};

/// Longest armored public key, bytes.
pub const PUBLIC_KEY_BYTES_MAX: usize = 16 * 1024;
/// Longest armored signature, bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Longest armored message, bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// The fingerprint of a version 4 key; printed as 40 upper-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub [u8; 20]);

#[derive(Debug, thiserror::Error)]
#[error("a fingerprint has 40 hex digits")]
pub struct FingerprintMalformed;

/// Why a key or message is refused: a rule that completes `pgpPublicKey ..` or `encryptedPayload ..`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenPgpFault(pub String);

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    #[error(transparent)]
    Message(#[from] OpenPgpFault),
    /// The certificate that it should be encrypted to cannot be encrypted to any more.
    #[error("the recipient's key {0}")]
    Recipient(OpenPgpFault),
}

/// A public key that may be encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedKey {
    /// Of the primary key.
    pub fingerprint: Fingerprint,
    /// From when on nothing in it may be encrypted to, if that is foreseen.
    pub usable_until: Option<Timestamp>,
}

/// A message that was encrypted to one given certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedMessage {
    /// SHA-256 over the recipient key and the one session-key packet for it, in canonical form. A message that was
    /// sent before, by whomever, has the same.
    pub session_key_digest: B256,
}

/// What came of opening a message.
pub enum Opened {
    /// Its content, authenticated.
    Content(Zeroizing<Vec<u8>>),
    /// It could not be authenticated. Why is nobody's business: padding, session key and content all end here.
    Unopened,
    /// Authenticated, and not what it should be.
    Unreadable(&'static str),
}

/// Reads certificates and messages, and makes and opens them with keys of the token.
#[async_trait]
pub trait OpenPgp: Send + Sync {
    /// Accepts one armored version 4 certificate of at most [`PUBLIC_KEY_BYTES_MAX`] that can be encrypted to, is
    /// neither expired nor revoked at `now`, and holds no secret material.
    fn inspect_key(&self, armored: &str, now: Timestamp) -> Result<InspectedKey, OpenPgpFault>;

    /// Accepts an armored detached signature (of type binary or text) over `text` by the certificate's primary key; not by
    /// a subkey, whose revocation the certificate might leave out. The certificate is one that [`Self::inspect_key`] accepts.
    fn verify_possession(
        &self,
        certificate: &str,
        signed: (&str, &str),
        now: Timestamp,
    ) -> Result<(), OpenPgpFault>;

    /// Names the one armored certificate, usable or not, without a look at its signatures.
    fn fingerprint(&self, armored: &str) -> Result<Fingerprint, OpenPgpFault>;

    /// Accepts one armored message of at most [`MESSAGE_BYTES_MAX`], integrity-protected, encrypted to `recipient`
    /// (an armored certificate) by exactly one session-key packet, with nothing in clear text.
    fn inspect_message(
        &self,
        armored: &str,
        recipient: &str,
        now: Timestamp,
    ) -> Result<InspectedMessage, MessageFault>;

    /// An armored certificate for two RSA keys of the token: `certify` signs, `decrypt` is the encryption subkey.
    async fn certificate(
        &self,
        name: &str,
        certify: &Sealed<KeyRecord>,
        decrypt: &Sealed<KeyRecord>,
    ) -> Result<String>;

    /// Opens a message that was inspected before. Takes the token once, whatever the session-key packet holds.
    async fn open(&self, armored: &str, decrypt: &Sealed<KeyRecord>) -> Result<Opened>;
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintMalformed;

    fn from_str(text: &str) -> Result<Self, FingerprintMalformed> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| FingerprintMalformed)?;
        Ok(Self(bytes))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintMalformed;

    fn try_from(text: String) -> Result<Self, FingerprintMalformed> {
        text.parse()
    }
}
