//! Opening a message whose session key only the token can decrypt.
//!
//! Until the content has been authenticated there is one failure and one course: a session key that does not decrypt
//! is replaced by a random one, and the content is decrypted with that (Bleichenbacher's and Vaudenay's attacks).

use std::io::Read as _;

use async_trait::async_trait;
use pgp::{
    crypto::sym::SymmetricKeyAlgorithm,
    packet::{Packet, PacketParser, PublicKeyEncryptedSessionKey},
    types::{PkeskBytes, Seipdv1ReadMode},
};
use zeroize::Zeroizing;

use crate::message::Message;

/// RSAES-PKCS1-v1_5 (RFC 8017, section 7.2) with one private key.
#[async_trait]
pub trait SessionKeyDecryptor: Send + Sync {
    type Error: Send;

    /// Bytes of the modulus; ciphertexts have exactly as many.
    fn modulus_bytes(&self) -> usize;

    /// The key id's last eight bytes of the fingerprint, as session-key packets name it.
    fn key_id(&self) -> [u8; 8];

    /// `None` if the padding is wrong; an error only if the token could not be asked.
    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Self::Error>;

    /// Fills `bytes` with random ones.
    fn random(&self, bytes: &mut [u8]);
}

/// What a message held.
pub enum Content {
    Data(Zeroizing<Vec<u8>>),
    /// Not authenticated, for whatever reason.
    Unopened,
    /// Authenticated, and not one piece of literal data.
    Unreadable(&'static str),
}

/// Decrypts the content, at most `content_bytes_max` of it after at most one layer of compression.
pub async fn open_message<D: SessionKeyDecryptor>(
    message: &Message,
    decryptor: &D,
    content_bytes_max: usize,
) -> Result<Content, D::Error> {
    let ciphertext = ciphertext(message, decryptor);
    let decrypted = decryptor.decrypt(&ciphertext).await?;
    let session_key = SessionKey::of(message, decryptor, decrypted.as_deref().map(Vec::as_slice));
    let mode = Seipdv1ReadMode::CheckFirst { max_message_size: message.body.data().len() };
    match message.body.decrypt(&session_key.key, Some(session_key.algorithm), mode) {
        Ok(packets) => Ok(content(&Zeroizing::new(packets), content_bytes_max)),
        Err(_) => Ok(Content::Unopened),
    }
}

/// The number for our key, as long as the modulus; zeros, which decrypt to nothing, when there is none.
fn ciphertext<D: SessionKeyDecryptor>(message: &Message, decryptor: &D) -> Vec<u8> {
    let wanted = decryptor.key_id();
    let ours = message.session_keys.iter().find_map(|packet| match packet {
        PublicKeyEncryptedSessionKey::V3 { id, values: PkeskBytes::Rsa { mpi }, .. }
            if id.as_ref() == wanted =>
        {
            Some(mpi)
        }
        PublicKeyEncryptedSessionKey::V6 {
            fingerprint: Some(fingerprint),
            values: PkeskBytes::Rsa { mpi },
            ..
        } if fingerprint.as_bytes().ends_with(&wanted) => Some(mpi),
        _ => None,
    });
    let mut padded = vec![0; decryptor.modulus_bytes()];
    if let Some(mpi) = ours
        && let Some(start) = padded.len().checked_sub(mpi.len())
    {
        padded[start..].copy_from_slice(mpi.as_ref());
    }
    padded
}

struct SessionKey {
    algorithm: SymmetricKeyAlgorithm,
    key: Zeroizing<Vec<u8>>,
}

impl SessionKey {
    /// What the token decrypted if it is well formed, else random bytes in its place.
    fn of<D: SessionKeyDecryptor>(message: &Message, decryptor: &D, decrypted: Option<&[u8]>) -> Self {
        let v2 = match message.body.config() {
            pgp::packet::SymEncryptedProtectedDataConfig::V1 => None,
            pgp::packet::SymEncryptedProtectedDataConfig::V2 { sym_alg, .. } => Some(*sym_alg),
        };
        let substitute = v2.unwrap_or(SymmetricKeyAlgorithm::AES256);
        let mut random = Zeroizing::new(vec![0; substitute.key_size()]);
        decryptor.random(&mut random);
        let read = decrypted.and_then(|bytes| match v2 {
            // RFC 9580, section 5.1.2: key and checksum, the algorithm stands in the body.
            Some(algorithm) => Self::checked(algorithm, bytes),
            // Section 5.1.1: algorithm, key and checksum.
            None => bytes.split_first().and_then(|(id, rest)| Self::checked((*id).into(), rest)),
        });
        read.unwrap_or(Self { algorithm: substitute, key: random })
    }

    fn checked(algorithm: SymmetricKeyAlgorithm, bytes: &[u8]) -> Option<Self> {
        let is_aes = matches!(
            algorithm,
            SymmetricKeyAlgorithm::AES128 | SymmetricKeyAlgorithm::AES192 | SymmetricKeyAlgorithm::AES256
        );
        let (key, checksum) = bytes.split_at_checked(algorithm.key_size()).filter(|_| is_aes)?;
        let sum = key.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        (checksum == sum.to_be_bytes()).then(|| Self { algorithm, key: Zeroizing::new(key.to_vec()) })
    }
}

/// Authenticated packets: literal data, possibly compressed once.
fn content(packets: &[u8], bytes_max: usize) -> Content {
    match only_packet(packets) {
        Ok(Packet::LiteralData(literal)) => literal_content(literal.data(), bytes_max),
        Ok(Packet::CompressedData(compressed)) => {
            // Packet headers, name and date of the literal data come on top of its content.
            let room = bytes_max.saturating_add(1024);
            let Ok(reader) = compressed.decompress() else {
                return Content::Unreadable("compressed in a way that is not supported");
            };
            let mut inner = Zeroizing::new(Vec::new());
            let limit = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
            if reader.take(limit).read_to_end(&mut inner).is_err() {
                return Content::Unreadable("its compressed data is broken");
            }
            if inner.len() > room {
                return Content::Unreadable("it is too long");
            }
            match only_packet(&inner) {
                Ok(Packet::LiteralData(literal)) => literal_content(literal.data(), bytes_max),
                Ok(Packet::CompressedData(_)) => Content::Unreadable("it is compressed more than once"),
                Ok(_) => Content::Unreadable("it is not literal data"),
                Err(reason) => Content::Unreadable(reason),
            }
        }
        Ok(_) => Content::Unreadable("it is not literal data"),
        Err(reason) => Content::Unreadable(reason),
    }
}

fn literal_content(data: &[u8], bytes_max: usize) -> Content {
    if data.len() > bytes_max {
        return Content::Unreadable("it is too long");
    }
    Content::Data(Zeroizing::new(data.to_vec()))
}

fn only_packet(bytes: &[u8]) -> Result<Packet, &'static str> {
    let mut only = None;
    for packet in PacketParser::new(bytes) {
        match packet {
            Ok(Packet::Padding(_) | Packet::Marker(_)) => {}
            Ok(Packet::OnePassSignature(_) | Packet::Signature(_)) => {
                return Err("it is signed; send it unsigned");
            }
            Ok(_) if only.is_some() => return Err("it holds more than one packet"),
            Ok(packet) => only = Some(packet),
            Err(_) => return Err("its packets cannot be read"),
        }
    }
    only.ok_or("it is empty")
}
