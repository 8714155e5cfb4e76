//! Login nonces that are not stored until they are used (T38): 32 letters and digits that carry their time, 48
//! random bits and a keyed hash over both, the organization and the address they were issued for.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    actor::OpCtx,
    changes::ReplayGuard,
    clock::Timestamp,
    entropy::draw,
    error::{Error, Result},
    ids::OrganizationId,
    mac::{EpochMac, MacKeys},
    ports::Services,
};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHARACTERS: usize = 32;
/// 62^32 exceeds 2^190, so 23 bytes fit.
const BYTES: usize = 23;
const RANDOM: usize = 6;
const MAC: usize = BYTES - 4 - RANDOM;
/// Stands in the place of a wallet in the table of what was used once.
const GUARD: &str = "login-nonce";

/// Makes and recognises nonces without storing them and without asking the HSM.
pub struct NonceKeys(MacKeys);

/// A nonce as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedNonce {
    /// 32 characters of `[0-9A-Za-z]`.
    pub text: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

struct Decoded {
    issued_at_seconds: u32,
    random: [u8; RANDOM],
    mac: [u8; MAC],
}

impl NonceKeys {
    pub fn new(keys: MacKeys) -> Self {
        Self(keys)
    }

    fn parts<'a>(
        organization: &'a OrganizationId,
        address: Option<&'a Address>,
        fresh: &'a [u8; 4 + RANDOM],
    ) -> [&'a [u8]; 4] {
        let address = address.map_or(&[] as &[u8], |address| address.as_slice());
        [b"login-nonce", organization.as_bytes(), address, fresh]
    }
}

/// A nonce for one login, by `address` alone if one is given.
pub fn issue_nonce(ctx: &OpCtx, services: &Services, address: Option<Address>) -> IssuedNonce {
    let seconds = u32::try_from(ctx.now.unix_seconds()).unwrap_or(u32::MAX);
    let fresh = fresh(seconds, draw(services.entropy.as_ref()));
    let keys = &services.sessions.nonces.0;
    let mac = keys.mac(&NonceKeys::parts(&ctx.organization, address.as_ref(), &fresh));
    let mut bytes = [0; BYTES];
    bytes[..fresh.len()].copy_from_slice(&fresh);
    bytes[fresh.len()..].copy_from_slice(&mac.bytes()[..MAC]);
    let issued_at = at(seconds);
    let expires_at = issued_at.plus(services.sessions.limits.nonce_ttl);
    IssuedNonce { text: encode(&bytes), issued_at, expires_at }
}

/// Consumes a nonce that was issued here, to this address if to any, and is young enough. Unknown, expired, foreign
/// and used nonces are one and the same failure.
pub async fn use_nonce(ctx: &OpCtx, services: &Services, text: &str, address: Address) -> Result<()> {
    let decoded = decode(text).ok_or(Error::Unauthenticated)?;
    let fresh = fresh(decoded.issued_at_seconds, decoded.random);
    let fits = |bound: Option<&Address>| {
        let macs = services.sessions.nonces.0.macs(&NonceKeys::parts(&ctx.organization, bound, &fresh));
        macs.iter().any(|mac: &EpochMac| bool::from(mac.bytes()[..MAC].ct_eq(&decoded.mac)))
    };
    let issued_at = at(decoded.issued_at_seconds);
    let age_max: Duration = services.sessions.limits.nonce_ttl;
    let expires_at = issued_at.plus(age_max);
    if !(fits(None) || fits(Some(&address))) || expires_at <= ctx.now {
        return Err(Error::Unauthenticated);
    }
    let guard = ReplayGuard {
        organization: ctx.organization,
        signer: GUARD.to_owned(),
        signed_hash: B256::new(Sha256::digest(text).into()),
        expires_at: expires_at.plus(ReplayGuard::CLOCKS_DIFFER_BY),
    };
    if services.store.use_once(guard).await? { Ok(()) } else { Err(Error::Unauthenticated) }
}

fn fresh(seconds: u32, random: [u8; RANDOM]) -> [u8; 4 + RANDOM] {
    let mut fresh = [0; 4 + RANDOM];
    fresh[..4].copy_from_slice(&seconds.to_be_bytes());
    fresh[4..].copy_from_slice(&random);
    fresh
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_unix_micros(i64::from(seconds) * 1_000_000)
}

fn encode(bytes: &[u8; BYTES]) -> String {
    let mut number = U256::from_be_slice(bytes);
    let base = U256::from(ALPHABET.len());
    let mut characters = [0; CHARACTERS];
    for character in characters.iter_mut().rev() {
        let (quotient, digit) = number.div_rem(base);
        *character = ALPHABET[digit.to::<usize>()];
        number = quotient;
    }
    characters.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes whose encoding is exactly `text`.
fn decode(text: &str) -> Option<Decoded> {
    if text.len() != CHARACTERS {
        return None;
    }
    let base = U256::from(ALPHABET.len());
    let mut number = U256::ZERO;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|character| *character == byte)?;
        number = number * base + U256::from(digit);
    }
    let bytes: [u8; 32] = number.to_be_bytes();
    let (zeros, bytes) = bytes.split_at(32 - BYTES);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(Decoded {
        issued_at_seconds: u32::from_be_bytes(bytes[..4].try_into().ok()?),
        random: bytes[4..4 + RANDOM].try_into().ok()?,
        mac: bytes[4 + RANDOM..].try_into().ok()?,
    })
}
