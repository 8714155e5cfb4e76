//! Encrypted messages of others, before anything is decrypted.

use gateway_domain::{
    B256, Timestamp,
    openpgp::{InspectedMessage, MESSAGE_BYTES_MAX, MessageFault},
};
use pgp::{
    armor::BlockType,
    packet::{Packet, PacketParser, PublicKeyEncryptedSessionKey, SymEncryptedProtectedData},
    ser::Serialize,
    types::{Fingerprint, PkeskBytes},
};
use sha2::{Digest, Sha256};

use crate::{
    armor::dearmor,
    certificate::{Certificate, EncryptionKey},
    fault::Fault,
};

const RECIPIENTS_MAX: usize = 16;

/// Session-key packets and the one body of encrypted data.
pub struct Message {
    pub(crate) session_keys: Vec<PublicKeyEncryptedSessionKey>,
    pub(crate) body: SymEncryptedProtectedData,
}

/// See [`gateway_domain::openpgp::OpenPgp::inspect_message`].
pub fn inspect_message(
    armored: &str,
    recipient: &str,
    now: Timestamp,
) -> Result<InspectedMessage, MessageFault> {
    let of_message = |fault: Fault| MessageFault::Message(fault.into());
    let message = Message::read(armored).map_err(of_message)?;
    let certificate = Certificate::read(recipient, now);
    let certificate = certificate.map_err(|fault| MessageFault::Recipient(fault.into()))?;
    let (key, packet) = message.addressed_to(&certificate).map_err(of_message)?;
    let session_key_digest = session_key_digest(key, packet).map_err(of_message)?;
    Ok(InspectedMessage { session_key_digest })
}

impl Message {
    pub fn read(armored: &str) -> Result<Self, Fault> {
        let bytes = dearmor(armored, (BlockType::Message, "PGP MESSAGE"), MESSAGE_BYTES_MAX)?;
        let mut session_keys = Vec::new();
        let mut body = None;
        for packet in PacketParser::new(&bytes[..]) {
            match packet.map_err(|_| Fault::Packets)? {
                Packet::PublicKeyEncryptedSessionKey(packet) if body.is_none() => {
                    if session_keys.len() == RECIPIENTS_MAX {
                        return Err(Fault::TooManyRecipients(RECIPIENTS_MAX));
                    }
                    session_keys.push(packet);
                }
                Packet::SymEncryptedProtectedData(data) if body.is_none() => body = Some(data),
                Packet::SymEncryptedProtectedData(_) | Packet::PublicKeyEncryptedSessionKey(_) => {
                    return Err(Fault::OneEncryptedData);
                }
                Packet::Marker(_) | Packet::Padding(_) => {}
                Packet::SymKeyEncryptedSessionKey(_) => return Err(Fault::Passphrase),
                Packet::SymEncryptedData(_) | Packet::GnupgAeadData(_) => return Err(Fault::NotProtected),
                other => return Err(Fault::ClearText(clear_text_name(&other))),
            }
        }
        Ok(Self { session_keys, body: body.ok_or(Fault::OneEncryptedData)? })
    }

    /// The one session-key packet for a key of the certificate, of the version that fits the body.
    pub(crate) fn addressed_to<'a>(
        &'a self,
        certificate: &'a Certificate,
    ) -> Result<(&'a EncryptionKey, &'a PublicKeyEncryptedSessionKey), Fault> {
        let mut found = self.session_keys.iter().filter_map(|packet| {
            let key = certificate.encryption_keys.iter().find(|key| is_for(packet, key))?;
            Some((key, packet))
        });
        let first = found.next().ok_or(Fault::OtherRecipient)?;
        if found.next().is_some() {
            return Err(Fault::RepeatedRecipient);
        }
        let fits = match first.1 {
            PublicKeyEncryptedSessionKey::V3 { .. } => self.body.version() == 1,
            PublicKeyEncryptedSessionKey::V6 { .. } => self.body.version() == 2,
            PublicKeyEncryptedSessionKey::Other { .. } => false,
        };
        if fits { Ok(first) } else { Err(Fault::NotProtected) }
    }
}

fn is_for(packet: &PublicKeyEncryptedSessionKey, key: &EncryptionKey) -> bool {
    match packet {
        PublicKeyEncryptedSessionKey::V3 { id, .. } => *id == key.key_id,
        PublicKeyEncryptedSessionKey::V6 { fingerprint: Some(Fingerprint::V4(bytes)), .. } => {
            *bytes == key.fingerprint.0
        }
        PublicKeyEncryptedSessionKey::V6 { .. } | PublicKeyEncryptedSessionKey::Other { .. } => false,
    }
}

/// The digest is of the number or bytes that were encrypted, not of how the packet around them is written.
fn session_key_digest(key: &EncryptionKey, packet: &PublicKeyEncryptedSessionKey) -> Result<B256, Fault> {
    let values = packet.values().map_err(|_| Fault::Packets)?;
    let canonical = match values {
        PkeskBytes::Rsa { mpi } => mpi.as_ref().to_vec(),
        other => other.to_bytes().map_err(|_| Fault::Packets)?,
    };
    let mut hash = Sha256::new();
    hash.update(b"countersign-session-key-1");
    hash.update(key.fingerprint.0);
    hash.update(canonical);
    Ok(B256::new(hash.finalize().into()))
}

fn clear_text_name(packet: &Packet) -> &'static str {
    match packet {
        Packet::LiteralData(_) => "literal data",
        Packet::CompressedData(_) => "compressed data",
        Packet::Signature(_) | Packet::OnePassSignature(_) => "signature",
        _ => "packet of another kind",
    }
}
