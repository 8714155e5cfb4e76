//! Detached signatures of others (RFC 9580, section 10.4): whoever makes one has the key.

use gateway_domain::{
    Timestamp,
    openpgp::{OpenPgpFault, SIGNATURE_BYTES_MAX},
};
use pgp::{
    armor::BlockType,
    composed::SignedPublicKey,
    packet::{Packet, PacketParser, Signature, SignatureType},
};

use crate::{
    armor::dearmor,
    certificate::{Certificate, is_acceptable, parse},
    fault::Fault,
};

/// See [`gateway_domain::openpgp::OpenPgp::verify_possession`].
pub fn verify_possession(
    certificate: &str,
    (signature, text): (&str, &str),
    now: Timestamp,
) -> Result<(), OpenPgpFault> {
    let now = u32::try_from(now.unix_seconds()).unwrap_or(u32::MAX);
    let key = parse(certificate)?;
    Certificate::of(&key, now)?;
    let signature = read(signature)?;
    let is_of_data = matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text));
    if is_of_data && is_acceptable(&signature, now) && is_by(&key, &signature, text) {
        Ok(())
    } else {
        Err(Fault::Possession.into())
    }
}

fn read(armored: &str) -> Result<Signature, Fault> {
    let bytes = dearmor(armored, (BlockType::Signature, "PGP SIGNATURE"), SIGNATURE_BYTES_MAX)?;
    let mut packets = PacketParser::new(&bytes[..]);
    match (packets.next(), packets.next()) {
        (Some(Ok(Packet::Signature(signature))), None) => Ok(signature),
        _ => Err(Fault::OneSignature),
    }
}

/// The primary key alone, whatever its flags say: who certifies with it has it. Whether a subkey was revoked is not for the
/// certificate to say that its claimant brings, which may be an old one.
fn is_by(key: &SignedPublicKey, signature: &Signature, text: &str) -> bool {
    signature.verify(&key.primary_key, text.as_bytes()).is_ok()
}
