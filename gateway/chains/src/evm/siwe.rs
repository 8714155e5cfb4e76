//! Sign-In with Ethereum messages (ERC-4361), read by the standard's grammar to the letter.
//!
//! The crate `siwe` 0.6 does not fit: it knows no scheme before the domain, refuses lower-case addresses and skips
//! what follows the last line it knows.

use std::str::Lines;

use alloy_primitives::Address;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::address::{has_valid_checksum, parse as parse_address};

const PREAMBLE: &str = " wants you to sign in with your Ethereum account:";
const NONCE_CHARACTERS_MIN: usize = 8;

/// A message that keeps the grammar. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    pub scheme: Option<String>,
    /// RFC 3986 authority: host, and port if there is one.
    pub domain: String,
    pub address: Address,
    pub statement: Option<String>,
    pub uri: String,
    pub chain_id: u64,
    pub nonce: String,
    pub issued_at: OffsetDateTime,
    pub expiration_time: Option<OffsetDateTime>,
    pub not_before: Option<OffsetDateTime>,
    pub request_id: Option<String>,
    pub resources: Vec<String>,
}

/// Where a text leaves the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInMalformed {
    #[error("line 1 must be `domain{PREAMBLE}`")]
    Preamble,
    #[error("line 2 must be an address with its EIP-55 checksum or in lower case")]
    Address,
    #[error("the address must be followed by an empty line, an optional statement and an empty line")]
    Statement,
    #[error("`{0}` is missing, out of place or malformed")]
    Field(&'static str),
    #[error("nothing may follow the last field")]
    Surplus,
}

impl SignIn {
    pub fn parse(text: &str) -> Result<Self, SignInMalformed> {
        // `lines` would forgive a final line feed and carriage returns.
        if text.ends_with('\n') || text.contains('\r') {
            return Err(SignInMalformed::Surplus);
        }
        let mut lines = text.lines();
        let (scheme, domain) = preamble(lines.next().unwrap_or_default())?;
        let address = lines.next().filter(|line| has_valid_checksum(line));
        let address = address.and_then(|line| parse_address(line).ok()).ok_or(SignInMalformed::Address)?;
        let statement = statement(&mut lines)?;
        let mut fields = Fields { lines };
        let uri = fields.required("URI", is_uri)?.to_owned();
        fields.required("Version", |version| version == "1")?;
        let chain_id = fields.required("Chain ID", is_canonical_number)?;
        let chain_id = chain_id.parse().map_err(|_| SignInMalformed::Field("Chain ID"))?;
        let nonce = fields.required("Nonce", is_nonce)?.to_owned();
        let issued_at = time("Issued At", fields.required("Issued At", |_| true)?)?;
        let expiration_time = fields.optional_time("Expiration Time")?;
        let not_before = fields.optional_time("Not Before")?;
        let request_id = fields.optional("Request ID", |id| made_of(id, is_pchar))?.map(str::to_owned);
        let resources = fields.resources()?;
        if fields.lines.next().is_some() {
            return Err(SignInMalformed::Surplus);
        }
        Ok(Self {
            scheme,
            domain,
            address,
            statement,
            uri,
            chain_id,
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
        })
    }
}

fn preamble(line: &str) -> Result<(Option<String>, String), SignInMalformed> {
    let origin = line.strip_suffix(PREAMBLE).ok_or(SignInMalformed::Preamble)?;
    let (scheme, domain) = match origin.split_once("://") {
        Some((scheme, domain)) => (Some(scheme), domain),
        None => (None, origin),
    };
    let domain_fits = !domain.is_empty()
        && made_of(domain, |byte| {
            is_unreserved(byte) || is_sub_delimiter(byte) || matches!(byte, b':' | b'@' | b'[' | b']')
        });
    if !domain_fits || !scheme.is_none_or(is_scheme) {
        return Err(SignInMalformed::Preamble);
    }
    Ok((scheme.map(str::to_owned), domain.to_owned()))
}

/// LF, an optional line, LF: so an absent statement leaves two empty lines.
fn statement(lines: &mut Lines<'_>) -> Result<Option<String>, SignInMalformed> {
    if lines.next() != Some("") {
        return Err(SignInMalformed::Statement);
    }
    let statement = match lines.next() {
        Some("") => return Ok(None),
        Some(line) => line,
        None => return Err(SignInMalformed::Statement),
    };
    // The statement has no percent-encoding: `%` is in neither of its sets.
    let plain = |byte| is_reserved(byte) || is_unreserved(byte) || byte == b' ';
    if !statement.bytes().all(plain) || lines.next() != Some("") {
        return Err(SignInMalformed::Statement);
    }
    Ok(Some(statement.to_owned()))
}

/// The tagged lines, in the one order that the grammar has.
struct Fields<'a> {
    lines: Lines<'a>,
}

impl<'a> Fields<'a> {
    fn required(
        &mut self,
        name: &'static str,
        fits: impl FnOnce(&str) -> bool,
    ) -> Result<&'a str, SignInMalformed> {
        self.optional(name, fits)?.ok_or(SignInMalformed::Field(name))
    }

    fn optional(
        &mut self,
        name: &'static str,
        fits: impl FnOnce(&str) -> bool,
    ) -> Result<Option<&'a str>, SignInMalformed> {
        let mut ahead = self.lines.clone();
        let value = ahead.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let Some(value) = value else { return Ok(None) };
        if !fits(value) {
            return Err(SignInMalformed::Field(name));
        }
        self.lines = ahead;
        Ok(Some(value))
    }

    fn optional_time(&mut self, name: &'static str) -> Result<Option<OffsetDateTime>, SignInMalformed> {
        self.optional(name, |_| true)?.map(|value| time(name, value)).transpose()
    }

    fn resources(&mut self) -> Result<Vec<String>, SignInMalformed> {
        let mut ahead = self.lines.clone();
        if ahead.next() != Some("Resources:") {
            return Ok(Vec::new());
        }
        self.lines = ahead;
        let read = |line: &str| match line.strip_prefix("- ") {
            Some(uri) if is_uri(uri) => Ok(uri.to_owned()),
            Some(_) | None => Err(SignInMalformed::Field("Resources")),
        };
        self.lines.by_ref().map(read).collect()
    }
}

fn time(name: &'static str, text: &str) -> Result<OffsetDateTime, SignInMalformed> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| SignInMalformed::Field(name))
}

fn is_nonce(text: &str) -> bool {
    text.len() >= NONCE_CHARACTERS_MIN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Without leading zeros, so that one chain has one spelling.
fn is_canonical_number(text: &str) -> bool {
    !text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 3986 section 3, without checking that each part's characters stand in that part.
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        is_scheme(scheme) && made_of(rest, |byte| is_reserved(byte) || is_unreserved(byte))
    })
}

fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Whether every byte is `allowed` or begins a percent-encoded one.
fn made_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
        } else {
            allowed(byte)
        };
        if !fits {
            return false;
        }
    }
    true
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn is_reserved(byte: u8) -> bool {
    is_sub_delimiter(byte) || matches!(byte, b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@')
}

fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delimiter(byte) || matches!(byte, b':' | b'@')
}

#[cfg(test)]
mod tests;
