//! Signatures that operators make away from the gateway: JWS in compact form (RFC 7515), ES256 (RFC 7518) under an enrolled
//! P-256 key. The header has `typ`, which keeps one kind of statement from passing for another, `alg` and `kid`, the
//! operator's id, and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{ids::OperatorId, operators::OperatorKey};

const BYTES_MAX: usize = 4_096;

/// Not in the form of a statement of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: OperatorId,
}

/// What the key signs; the signature, in base64url, follows after a full stop.
pub(crate) fn signing_input(kind: &str, signer: OperatorId, claims: &impl Serialize) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": kind, "alg": "ES256", "kid": signer });
    format!("{}.{}", part(&header), part(&json!(claims)))
}

/// Signer and claims; the signature is not checked yet.
pub(crate) fn read<T: DeserializeOwned>(text: &str, kind: &str) -> Result<(OperatorId, T), Malformed> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(Malformed) };
    if text.len() > BYTES_MAX || decoded(signature)?.len() != 64 {
        return Err(Malformed);
    }
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| Malformed)?;
    if header.typ != kind || header.alg != "ES256" {
        return Err(Malformed);
    }
    let claims = serde_json::from_slice(&decoded(payload)?).map_err(|_| Malformed)?;
    Ok((header.kid, claims))
}

/// Whether the key's owner made it.
pub(crate) fn fits(text: &str, key: &OperatorKey) -> bool {
    let Some((input, signature)) = text.rsplit_once('.') else { return false };
    decoded(signature).is_ok_and(|signature| key.verifies(input.as_bytes(), &signature))
}

fn decoded(part: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed)
}
