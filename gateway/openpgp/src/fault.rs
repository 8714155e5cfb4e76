//! Why foreign OpenPGP data is refused.

use gateway_domain::openpgp::OpenPgpFault;

/// The closed list; each text completes a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("must have at most {0} bytes")]
    TooLong(usize),
    #[error("must be one ASCII-armored block `{0}` and nothing else")]
    Armor(&'static str),
    #[error("cannot be read as OpenPGP packets")]
    Packets,
    #[error("holds secret key material; send the public key only")]
    SecretMaterial,
    #[error("must hold exactly one certificate")]
    OneCertificate,
    #[error("must be a version 4 key")]
    KeyVersion,
    #[error("has a primary key of type DSA or ElGamal, which are not taken")]
    Algorithm,
    #[error("holds more than {0} signatures; export it without those of others")]
    TooManySignatures(usize),
    #[error("has no valid self-signature")]
    SelfSignature,
    #[error("is revoked")]
    Revoked,
    #[error("is expired")]
    Expired,
    #[error("has no key that may be encrypted to")]
    NoEncryptionKey,
    #[error("must hold exactly one signature")]
    OneSignature,
    #[error("is no signature of what is to be signed by the key")]
    Possession,
    #[error("holds a packet that is not encrypted: `{0}`")]
    ClearText(&'static str),
    #[error("is encrypted with a passphrase besides")]
    Passphrase,
    #[error("is not integrity-protected")]
    NotProtected,
    #[error("holds no encrypted data, or more than one of it")]
    OneEncryptedData,
    #[error("is not encrypted to the verification service's key")]
    OtherRecipient,
    #[error("names the verification service's key more than once")]
    RepeatedRecipient,
    #[error("has more than {0} recipients")]
    TooManyRecipients(usize),
}

impl From<Fault> for OpenPgpFault {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}
