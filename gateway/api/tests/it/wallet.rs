//! A person's wallet. The forms are written from the contract, without the gateway's own text and hash functions.

use gateway_domain::{Address, B256};
use k256::ecdsa::SigningKey;
use sha2::{Digest, Sha256};

pub(crate) struct Wallet(SigningKey);

impl Wallet {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    /// The key that the double of the HSM generates as its `count`th.
    pub(crate) fn of_test_token(count: u8) -> Self {
        let mut secret = [7; 32];
        secret[24..].copy_from_slice(&u64::from(count).to_be_bytes());
        Self(SigningKey::from_slice(&secret).unwrap())
    }

    /// One of many.
    pub(crate) fn numbered(number: u64) -> Self {
        let mut secret = [1; 32];
        secret[24..].copy_from_slice(&number.to_be_bytes());
        Self(SigningKey::from_slice(&secret).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        Address::from_raw_public_key(&point.as_bytes()[1..])
    }

    /// r || s || v with v 27 or 28.
    pub(crate) fn sign(&self, digest: B256) -> [u8; 65] {
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        bytes
    }

    /// ERC-191.
    pub(crate) fn sign_text(&self, text: &str) -> [u8; 65] {
        self.sign(gateway_chains::evm::signature::personal_message_hash(text.as_bytes()))
    }

    /// Form 1. An absent timestamp is an empty last line.
    pub(crate) fn sign_request(&self, lines: [&str; 3], body: &[u8], timestamp: Option<u64>) -> [u8; 65] {
        self.sign_text(&Self::request_text(lines, body, timestamp))
    }

    pub(crate) fn request_text(lines: [&str; 3], body: &[u8], timestamp: Option<u64>) -> String {
        let [origin, method, path] = lines;
        let body_hash = hex(&Sha256::digest(body));
        let timestamp = timestamp.map(|seconds| seconds.to_string()).unwrap_or_default();
        ["gateway-core-v1", origin, method, path, &body_hash[2..], &timestamp].join("\n")
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
