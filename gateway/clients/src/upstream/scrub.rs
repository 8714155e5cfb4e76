//! Takes a secret out of what came back, in the forms in which servers repeat what they were sent.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

const PUT_INSTEAD: &[u8] = b"[scrubbed]";
/// A shorter part, such as the name of a scheme, stands in answers for other reasons.
pub(super) const PART_BYTES_MIN: usize = 6;
/// A user name as long is a token, and no name.
const TOKEN_BYTES_MIN: usize = 16;

/// Knows the forms of one secret; an empty secret has none.
pub(super) struct Scrubber {
    /// Longest first, so that no form is cut in half by another.
    forms: Vec<Zeroizing<Vec<u8>>>,
}

impl Scrubber {
    /// `secret` is the header's whole value; the credential after a scheme, and user name and password in Basic
    /// credentials (RFC 7617), count by themselves: there are upstreams that take a token for the user name.
    pub(super) fn new(secret: &str) -> Self {
        let mut parts = vec![Zeroizing::new(secret.to_owned())];
        if let Some((_, credential)) = secret.split_once(' ') {
            parts.push(Zeroizing::new(credential.trim().to_owned()));
        }
        parts.extend(basic_parts(secret).into_iter().flatten());
        parts.retain(|part| part.len() >= PART_BYTES_MIN);
        let mut forms: Vec<_> = parts.iter().flat_map(|part| forms_of(part)).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self { forms }
    }

    pub(super) fn scrub(&self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if let Some(form) = self.forms.iter().find(|form| starts_with(rest, form)) {
                clean.extend_from_slice(PUT_INSTEAD);
                rest = &rest[form.len()..];
            } else {
                clean.push(first);
                rest = &rest[1..];
            }
        }
        clean
    }
}

/// The password of a header's value that holds Basic credentials (RFC 7617, section 2); the user name, where there is no
/// password or one that only fills its place.
pub(super) fn basic_secret(secret: &str) -> Option<Zeroizing<String>> {
    let [name, password] = basic_parts(secret)?;
    Some(if password.len() < PART_BYTES_MIN && name.len() >= TOKEN_BYTES_MIN { name } else { password })
}

/// User name and password.
fn basic_parts(secret: &str) -> Option<[Zeroizing<String>; 2]> {
    let (scheme, credential) = secret.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(credential.trim()).ok()?);
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some([name, password].map(|part| Zeroizing::new(part.to_owned())))
}

/// Without regard to case, which some servers change.
fn starts_with(text: &[u8], form: &[u8]) -> bool {
    text.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
}

fn forms_of(part: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut percent = Zeroizing::new(String::new());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            percent.push(char::from(byte));
        } else {
            let _ = write!(percent, "%{byte:02X}");
        }
    }
    let json = serde_json::to_string(part).expect("text serializes");
    let escaped = json.trim_matches('"').replace('/', "\\/");
    let forms = [
        part.to_owned(),
        percent.to_string(),
        json.trim_matches('"').to_owned(),
        escaped,
        STANDARD.encode(part),
        STANDARD_NO_PAD.encode(part),
        URL_SAFE.encode(part),
        URL_SAFE_NO_PAD.encode(part),
        hex::encode(part),
    ];
    forms.into_iter().map(|form| Zeroizing::new(form.into_bytes())).collect()
}
