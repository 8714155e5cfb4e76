//! `personal_sign` texts: the one that this gateway asks API clients to sign, and those that its own
//! wallet keys must never sign because they would log in or approve somewhere.

use super::eip712::Request;

/// First line of a signed request.
const REQUEST_MARK: &str = "gateway-core-v1";
/// What every ERC-4361 message says in its first line.
const SIGN_IN_MARK: &str = "wants you to sign in with your ethereum account";

/// Why a wallet key does not sign a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageRefusal {
    #[error("message is a request to this gateway")]
    OwnRequest,
    #[error("message is a sign-in (ERC-4361)")]
    SignIn,
}

/// A line of a signed request holds a control character, so the text could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` holds a control character")]
pub struct AmbiguousLine(&'static str);

/// The text that a client signs over one request: mark, origin, method, path, SHA-256 of the body
/// in lower-case hexadecimal and the timestamp, joined by line feeds.
pub fn request_text(request: &Request<'_>) -> Result<String, AmbiguousLine> {
    text(request, &request.timestamp.to_string())
}

/// [`request_text`] of a client that sends no timestamp; `request.timestamp` is not looked at.
pub fn untimed_request_text(request: &Request<'_>) -> Result<String, AmbiguousLine> {
    text(request, "")
}

fn text(request: &Request<'_>, timestamp: &str) -> Result<String, AmbiguousLine> {
    let Request { origin, method, path, body_hash, timestamp: _ } = *request;
    for (name, line) in [("origin", origin), ("method", method), ("path", path)] {
        if line.chars().any(char::is_control) {
            return Err(AmbiguousLine(name));
        }
    }
    Ok([REQUEST_MARK, origin, method, path, &hex::encode(body_hash.0), timestamp].join("\n"))
}

/// Refuses messages that carry authority of their own. Wider than what verifiers accept: case,
/// leading blanks and the place in the text do not matter.
pub fn screen(message: &[u8]) -> Result<(), MessageRefusal> {
    let lower = String::from_utf8_lossy(message).to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let plain = words.join(" ");
    if plain.contains(REQUEST_MARK) {
        Err(MessageRefusal::OwnRequest)
    } else if plain.contains(SIGN_IN_MARK) {
        Err(MessageRefusal::SignIn)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
