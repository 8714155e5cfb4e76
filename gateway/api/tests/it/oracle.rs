//! T23: messages are sent by whoever likes, and what the token made of one is told to nobody before the content has been
//! authenticated.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use gateway_domain::{
    Address, B256,
    ports::{Publication, Services},
};
use pgp::{
    armor::{BlockType, Dearmor, write},
    packet::{Packet, PacketParser, PublicKeyEncryptedSessionKey},
    ser::Serialize,
    types::PkeskBytes,
};
use serde_json::{Value, json};

use crate::{
    encrypted::{body, plaintext},
    masked::masked,
    openpgp::{BUILT_IN, OUTSIDE, Opening, encrypt, encrypt_session_key, watched},
    wallet::Wallet,
    world::{Reply, World},
};

/// How often a message was opened.
#[derive(Default)]
struct Openings(AtomicUsize);

#[async_trait]
impl Opening for Openings {
    async fn before(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A message taken apart: the recipient's key id, the number that holds the session key, and the body.
struct Parts {
    key_id: Vec<u8>,
    number: Vec<u8>,
    body: Vec<u8>,
}

impl Parts {
    fn of(armored: &str) -> Self {
        let mut bytes = Vec::new();
        Dearmor::new(armored.as_bytes()).read_to_end(&mut bytes).unwrap();
        let mut parts = Self { key_id: Vec::new(), number: Vec::new(), body: Vec::new() };
        for packet in PacketParser::new(&bytes[..]) {
            match packet.unwrap() {
                Packet::PublicKeyEncryptedSessionKey(PublicKeyEncryptedSessionKey::V3 {
                    id,
                    values: PkeskBytes::Rsa { mpi },
                    ..
                }) => (parts.key_id, parts.number) = (id.as_ref().to_vec(), mpi.as_ref().to_vec()),
                Packet::SymEncryptedProtectedData(data) => parts.body = data.data().to_vec(),
                other => panic!("{other:?}"),
            }
        }
        parts
    }

    /// RFC 9580, sections 5.1.1 and 5.13.1, written without the library that reads it.
    fn armored(&self) -> String {
        let significant: Vec<u8> = self.number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let first = significant.first().copied().unwrap_or(1);
        let bits =
            u16::try_from(significant.len() * 8).unwrap() - u16::try_from(first.leading_zeros()).unwrap();
        let session_key = [&[3][..], &self.key_id, &[1], &bits.to_be_bytes(), &significant].concat();
        let body = [&[1][..], &self.body].concat();
        let bytes = [packet(1, &session_key), packet(18, &body)].concat();
        let mut text = Vec::new();
        write(&RawBytes(bytes), BlockType::Message, &mut text, None, true).unwrap();
        String::from_utf8(text).unwrap()
    }
}

fn packet(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[0xc0 | tag, 0xff][..], &length, content].concat()
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

struct Scene {
    world: World,
    opened: Arc<Openings>,
    wallet: Wallet,
    escrow: Address,
    service: u32,
}

impl Scene {
    async fn new() -> Self {
        let opened = Arc::<Openings>::default();
        let openpgp = watched(opened.clone());
        let world = World::changed(|services| {
            let publication = Publication { openpgp, ..services.publication.clone() };
            Services { publication, ..services }
        })
        .await;
        let wallet = Wallet::new(1);
        let escrow = world.user(&wallet).await;
        let service = world.built_in_service().await.id;
        Self { world, opened, wallet, escrow, service }
    }

    fn request_hash(number: usize) -> B256 {
        B256::repeat_byte(u8::try_from(number + 1).unwrap())
    }

    /// A message that would be opened, judged and paid.
    fn good(&self, number: usize, certificate: &str) -> Parts {
        let text = plaintext(self.escrow, Self::request_hash(number)).to_string();
        Parts::of(&encrypt(&text, certificate))
    }

    async fn send(&self, number: usize, message: &Parts) -> (Reply, usize) {
        let before = self.opened.0.load(Ordering::SeqCst);
        let request =
            body(&self.wallet, self.escrow, Self::request_hash(number), &message.armored(), self.service);
        let reply = self.world.post("/transactions", &request).key(&self.world, "admin").send().await;
        (reply, self.opened.0.load(Ordering::SeqCst) - before)
    }
}

fn told(reply: &Reply) -> (u16, Value, Vec<String>) {
    let mut told = masked(serde_json::from_str(&reply.text).unwrap());
    if let Some(cid) = told.get_mut("ipfsCid") {
        // The client computes it by itself.
        *cid = json!("[cid]");
    }
    let mut headers: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    (reply.status.as_u16(), told, headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_made_of_a_session_key_is_told_to_nobody() {
    let scene = Scene::new().await;
    let good = |number| scene.good(number, BUILT_IN);
    let shortened = |number, by: usize| {
        let Parts { key_id, number, mut body } = good(number);
        body.truncate(body.len() - by);
        Parts { key_id, number, body }
    };
    let flipped = |number, place: usize| {
        let mut message = good(number);
        let place = place.min(message.body.len() - 1);
        message.body[place] ^= 1;
        message
    };
    let wrong_key = [&[9_u8][..], &[7; 32], &(7_u16 * 32).to_be_bytes()].concat();
    let with_number = |number, value: Vec<u8>| Parts { number: value, ..good(number) };
    let cases: [(&str, Parts); 12] = [
        ("bad padding", with_number(0, vec![3; 256])),
        ("a number too short", with_number(1, vec![1])),
        ("a number too long", with_number(2, vec![0x7f; 300])),
        ("another message's session key", with_number(3, good(3).number)),
        ("another key's session key", with_number(4, scene.good(4, OUTSIDE).number)),
        ("a session key without its checksum", with_number(5, encrypt_session_key(&wrong_key[..34]))),
        ("a cipher that nobody has", with_number(6, encrypt_session_key(&[99; 35]))),
        ("a session key of nothing", with_number(7, encrypt_session_key(b""))),
        ("a body that ends early", shortened(8, 1)),
        ("half a body", shortened(9, 100)),
        ("a body that begins otherwise", flipped(10, 0)),
        ("a body that ends otherwise", flipped(11, usize::MAX)),
    ];
    let mut first = None;
    for (number, (case, message)) in cases.iter().enumerate() {
        let (reply, opened) = scene.send(number, message).await;
        let told = told(&reply);
        assert_eq!((told.0, opened), (201, 1), "{case}: {}", reply.text);
        assert_eq!(told.1["failureReason"], "payload_unopened: it could not be opened", "{case}");
        assert_eq!(*first.get_or_insert_with(|| told.clone()), told, "{case}");
    }
    let (reply, opened) = scene.send(12, &good(12)).await;
    assert_eq!((reply.expect(201)["status"].clone(), opened), (json!("PENDING"), 1), "the honest one");
}

/// For whom a message is stands in clear; what is for somebody else is refused unseen.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_somebody_else_never_reaches_the_token() {
    let scene = Scene::new().await;
    let mut first = None;
    for (number, value) in [None, Some(vec![3; 256]), Some(vec![1])].into_iter().enumerate() {
        let message = scene.good(number, OUTSIDE);
        let message = match value {
            Some(value) => Parts { number: value, ..message },
            None => message,
        };
        let (reply, opened) = scene.send(number, &message).await;
        let told = told(&reply);
        assert_eq!((told.0, opened), (400, 0), "{}", reply.text);
        assert_eq!(*first.get_or_insert_with(|| told.clone()), told);
    }
}
