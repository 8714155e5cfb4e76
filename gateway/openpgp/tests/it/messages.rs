use std::{convert::Infallible, io::Read, sync::Mutex};

use async_trait::async_trait;
use gateway_domain::openpgp::MESSAGE_BYTES_MAX;
use gateway_openpgp::{Content, Message, SessionKeyDecryptor, inspect_message, open_message};
use pgp::{
    armor::{BlockType, Dearmor, write},
    packet::{Packet, PacketParser, PublicKeyEncryptedSessionKey},
    ser::Serialize,
    types::{Mpi, PkeskBytes},
};
use rand_08::rngs::OsRng;
use rsa::Pkcs1v15Encrypt;
use zeroize::Zeroizing;

use crate::software::{CERTIFICATE, Software, decrypt_key, now};

const CONTENT_BYTES_MAX: usize = 192 * 1024;

const FROM_GPG: &str = include_str!("fixtures/gpg-message.asc");
const FROM_OPENPGPJS: &str = include_str!("fixtures/js-message.asc");

fn refusal(armored: &str) -> String {
    inspect_message(armored, CERTIFICATE, now()).unwrap_err().to_string()
}

async fn opened(armored: &str) -> Result<String, &'static str> {
    let message = Message::read(armored).unwrap();
    let Ok(content) = open_message(&message, &decrypt_key(), CONTENT_BYTES_MAX).await;
    match content {
        Content::Data(data) => Ok(String::from_utf8(data.to_vec()).unwrap()),
        Content::Unopened => Err("unopened"),
        Content::Unreadable(reason) => Err(reason),
    }
}

#[tokio::test]
async fn messages_of_other_implementations_are_opened() {
    let (gpg, js) = (r#"{"greeting":"from gpg"}"#, r#"{"greeting":"from openpgp.js"}"#);
    for (armored, expected) in [
        (FROM_GPG, gpg),
        (include_str!("fixtures/gpg-compressed.asc"), gpg),
        (include_str!("fixtures/gpg-zip.asc"), gpg),
        (include_str!("fixtures/gpg-two-recipients.asc"), gpg),
        (FROM_OPENPGPJS, js),
        (include_str!("fixtures/js-compressed.asc"), js),
        (include_str!("fixtures/js-aead.asc"), js),
    ] {
        inspect_message(armored, CERTIFICATE, now()).unwrap();
        assert_eq!(opened(armored).await.unwrap(), expected);
    }
}

#[test]
fn what_is_not_encrypted_and_protected_for_the_service_is_refused() {
    for (armored, rule) in [
        (
            include_str!("fixtures/gpg-other-recipient.asc"),
            "is not encrypted to the verification service's key",
        ),
        (
            include_str!("fixtures/gpg-hidden-recipient.asc"),
            "is not encrypted to the verification service's key",
        ),
        (include_str!("fixtures/gpg-passphrase.asc"), "is encrypted with a passphrase besides"),
        (include_str!("fixtures/gpg-unprotected.asc"), "is not integrity-protected"),
        (include_str!("fixtures/gpg-clear.asc"), "holds a packet that is not encrypted: `compressed data`"),
    ] {
        assert_eq!(refusal(armored), rule);
    }
    let long = format!("{FROM_GPG}{}", " ".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(refusal(&long), "must have at most 262144 bytes");
    assert_eq!(refusal(CERTIFICATE), "must be one ASCII-armored block `PGP MESSAGE` and nothing else");
}

#[tokio::test]
async fn content_that_is_not_one_plain_piece_is_named_after_it_was_authenticated() {
    for (armored, reason) in [
        (include_str!("fixtures/gpg-bomb.asc"), "it is too long"),
        (include_str!("fixtures/js-nested.asc"), "it is compressed more than once"),
        (include_str!("fixtures/gpg-bzip2.asc"), "compressed in a way that is not supported"),
        (include_str!("fixtures/gpg-signed.asc"), "it is signed; send it unsigned"),
    ] {
        inspect_message(armored, CERTIFICATE, now()).unwrap();
        assert_eq!(opened(armored).await.unwrap_err(), reason);
    }
}

fn packet_bytes(armored: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Dearmor::new(armored.as_bytes()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The message with another number in its session-key packet, or another body.
fn altered(armored: &str, change: impl Fn(Packet) -> Vec<Packet>) -> String {
    let bytes = packet_bytes(armored);
    let packets = PacketParser::new(&bytes[..]).flat_map(|packet| change(packet.unwrap()));
    let bytes: Vec<u8> = packets.flat_map(|packet| packet.to_bytes().unwrap()).collect();
    let mut text = Vec::new();
    write(&RawBytes(bytes), BlockType::Message, &mut text, None, true).unwrap();
    String::from_utf8(text).unwrap()
}

struct RawBytes(Vec<u8>);

impl Serialize for RawBytes {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        writer.write_all(&self.0)?;
        Ok(())
    }

    fn write_len(&self) -> usize {
        self.0.len()
    }
}

fn with_session_key(number: &[u8]) -> String {
    altered(FROM_GPG, |packet| match packet {
        Packet::PublicKeyEncryptedSessionKey(PublicKeyEncryptedSessionKey::V3 {
            packet_header,
            id,
            pk_algo,
            ..
        }) => {
            let values = PkeskBytes::Rsa { mpi: Mpi::from_slice(number) };
            vec![PublicKeyEncryptedSessionKey::V3 { packet_header, id, pk_algo, values }.into()]
        }
        other => vec![other],
    })
}

fn encrypted(session_key: &[u8]) -> Vec<u8> {
    decrypt_key().public().encrypt(&mut OsRng, Pkcs1v15Encrypt, session_key).unwrap()
}

#[tokio::test]
async fn broken_padding_and_wrong_session_keys_cannot_be_told_apart() {
    let mut wrong_checksum = vec![9; 35];
    wrong_checksum[1..33].fill(7);
    let mut wrong_key = wrong_checksum.clone();
    wrong_key[33..].copy_from_slice(&(7_u16 * 32).to_be_bytes());
    let unknown_cipher = [&[99_u8][..], &wrong_key[1..]].concat();
    for number in [
        vec![3; 256],
        vec![1],
        encrypted(&wrong_checksum),
        encrypted(&wrong_key),
        encrypted(&unknown_cipher),
        encrypted(&[9, 9]),
        encrypted(b""),
    ] {
        let message = with_session_key(&number);
        inspect_message(&message, CERTIFICATE, now()).unwrap();
        assert_eq!(opened(&message).await.unwrap_err(), "unopened");
    }
}

/// What the token is asked for, in order, with the bytes of each.
struct Traced {
    key: Software,
    asked: Mutex<Vec<(&'static str, usize)>>,
}

#[async_trait]
impl SessionKeyDecryptor for Traced {
    type Error = Infallible;

    fn modulus_bytes(&self) -> usize {
        self.key.modulus_bytes()
    }

    fn key_id(&self) -> [u8; 8] {
        self.key.key_id()
    }

    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        self.asked.lock().unwrap().push(("decrypt", ciphertext.len()));
        self.key.decrypt(ciphertext).await
    }

    fn random(&self, bytes: &mut [u8]) {
        self.asked.lock().unwrap().push(("random", bytes.len()));
        self.key.random(bytes);
    }
}

/// Whatever becomes of the session key, the token is asked for the same things in the same order.
#[tokio::test]
async fn the_token_is_asked_the_same_whatever_a_message_holds() {
    let asked = async |armored: &str| {
        let traced = Traced { key: decrypt_key(), asked: Mutex::default() };
        let message = Message::read(armored).unwrap();
        let Ok(content) = open_message(&message, &traced, CONTENT_BYTES_MAX).await;
        (traced.asked.into_inner().unwrap(), matches!(content, Content::Data(_)))
    };
    let course = vec![("decrypt", 256), ("random", 32)];
    assert_eq!(asked(FROM_GPG).await, (course.clone(), true));
    let shorter_key = [&[7_u8][..], &[5; 16], &(5_u16 * 16).to_be_bytes()].concat();
    let wrong_key = [&[9_u8][..], &[7; 32], &(7_u16 * 32).to_be_bytes()].concat();
    for number in [
        vec![3; 256],
        vec![1],
        vec![0xff; 384],
        encrypted(b""),
        encrypted(&wrong_key),
        encrypted(&wrong_key[..34]),
        encrypted(&shorter_key),
        encrypted(&[99; 35]),
    ] {
        assert_eq!(asked(&with_session_key(&number)).await, (course.clone(), false), "{number:?}");
    }
    // Another recipient's message, which is refused before: were it let through, it would take the same course.
    let elsewhere = include_str!("fixtures/gpg-other-recipient.asc");
    assert_eq!(asked(elsewhere).await, (course, false));
}

#[tokio::test]
async fn no_flipped_bit_of_the_body_is_let_through() {
    let bytes = packet_bytes(FROM_OPENPGPJS);
    let body_from = bytes.len() - 80;
    for position in body_from..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        let mut text = Vec::new();
        write(&RawBytes(flipped), BlockType::Message, &mut text, None, true).unwrap();
        if let Ok(message) = Message::read(&String::from_utf8(text).unwrap()) {
            let Ok(content) = open_message(&message, &decrypt_key(), CONTENT_BYTES_MAX).await;
            assert!(matches!(content, Content::Unopened), "flipped at {position}");
        }
    }
}

#[test]
fn a_session_key_packet_has_one_digest_however_it_is_written() {
    let digest = |armored: &str| inspect_message(armored, CERTIFICATE, now()).unwrap().session_key_digest;
    assert_eq!(digest(FROM_GPG), digest(&altered(FROM_GPG, |packet| vec![packet])));
    assert_ne!(digest(FROM_GPG), digest(FROM_OPENPGPJS));
    let another_body = altered(FROM_GPG, |packet| match packet {
        Packet::SymEncryptedProtectedData(_) => {
            let bytes = packet_bytes(FROM_OPENPGPJS);
            let other = PacketParser::new(&bytes[..]).map(Result::unwrap);
            other.filter(|one| matches!(one, Packet::SymEncryptedProtectedData(_))).collect()
        }
        other => vec![other],
    });
    assert_eq!(digest(FROM_GPG), digest(&another_body));
}

#[test]
fn the_services_key_may_be_named_once() {
    let twice = altered(FROM_GPG, |packet| match packet {
        Packet::PublicKeyEncryptedSessionKey(_) => vec![packet.clone(), packet],
        other => vec![other],
    });
    assert_eq!(refusal(&twice), "names the verification service's key more than once");
}
