//! The credential headers of a request, read for shape.

use axum::http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use gateway_chains::evm::signature::{Signature, SignatureError};
use gateway_domain::{Address, Error};

use crate::{extract::scalar, failure::Failure};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const INTERNAL_TOKEN: HeaderName = HeaderName::from_static("x-internal-token");
const ADDRESS: HeaderName = HeaderName::from_static("x-ethereum-address");
const SIGNATURE: HeaderName = HeaderName::from_static("x-ethereum-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-ethereum-timestamp");
const EXPIRES: HeaderName = HeaderName::from_static("x-ethereum-expires");

/// What a request brings along, before any of it is believed.
#[derive(Debug)]
pub(crate) struct Presented<'a> {
    headers: &'a HeaderMap,
}

/// The `x-ethereum-*` headers.
#[derive(Clone, Debug)]
pub(crate) struct SignatureHeaders {
    pub(crate) address: Address,
    pub(crate) signature: PresentedSignature,
    pub(crate) signed_at: SignedAt,
}

/// What `x-ethereum-signature` holds. Whose form it has to have depends on who signs.
#[derive(Clone, Debug)]
pub(crate) struct PresentedSignature(pub(crate) Vec<u8>);

/// What the signature says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedAt {
    /// `x-ethereum-timestamp`, seconds since the epoch: the request is signed.
    Timestamp(u64),
    /// Nothing: a client that knows only the seed.
    Untimed,
    /// `x-ethereum-expires`, seconds since the epoch: the approval itself is signed.
    Expires(u64),
}

impl<'a> Presented<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        Self { headers }
    }

    pub(crate) fn has_api_key(&self) -> bool {
        self.headers.contains_key(API_KEY)
    }

    pub(crate) fn has_internal_token(&self) -> bool {
        self.headers.contains_key(INTERNAL_TOKEN)
    }

    pub(crate) fn internal_token(&self) -> Result<&'a str, Failure> {
        single(self.headers, &INTERNAL_TOKEN)?.ok_or(Failure::CredentialMissing)
    }

    pub(crate) fn has_signature(&self) -> bool {
        self.headers.contains_key(ADDRESS) || self.headers.contains_key(SIGNATURE)
    }

    /// Whether there is an `Authorization` header of the scheme that carries tokens (RFC 6750).
    pub(crate) fn has_token(&self) -> bool {
        self.headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value.as_bytes()).is_some())
    }

    /// The access token. One that is not even text is unknown like any other.
    pub(crate) fn token(&self) -> Result<&'a str, Failure> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(Failure::Malformed(format!("header {AUTHORIZATION} is given twice")));
        }
        let token = first.and_then(|value| bearer(value.as_bytes()));
        token.and_then(|token| std::str::from_utf8(token).ok()).ok_or(Failure::Domain(Error::Unauthenticated))
    }

    /// The text of the key. One that is not even text is unknown like any other.
    pub(crate) fn api_key(&self) -> Result<&'a str, Failure> {
        let mut values = self.headers.get_all(API_KEY).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(Failure::Malformed(format!("header {API_KEY} is given twice")));
        }
        first.and_then(|value| value.to_str().ok()).ok_or(Failure::Domain(Error::Unauthenticated))
    }

    /// The headers. Where wallets may be contracts, signatures of up to `contract_bytes_max` bytes are read as they are;
    /// elsewhere only keys sign.
    pub(crate) fn signature(&self, contract_bytes_max: Option<usize>) -> Result<SignatureHeaders, Failure> {
        let required = |name: &HeaderName| {
            single(self.headers, name)?
                .ok_or_else(|| Failure::Malformed(format!("header {name} is required")))
        };
        let address = scalar::address_text(required(&ADDRESS)?);
        let address = address.map_err(|rule| Failure::Malformed(format!("header {ADDRESS} {rule}")))?;
        let signature = PresentedSignature::read(required(&SIGNATURE)?, contract_bytes_max)?;
        let signed_at = match (seconds(self.headers, &TIMESTAMP)?, seconds(self.headers, &EXPIRES)?) {
            (Some(_), Some(_)) => {
                return Err(Failure::Malformed(format!(
                    "headers {TIMESTAMP} and {EXPIRES} exclude each other"
                )));
            }
            (Some(timestamp), None) => SignedAt::Timestamp(timestamp),
            (None, Some(expires)) => SignedAt::Expires(expires),
            (None, None) => SignedAt::Untimed,
        };
        Ok(SignatureHeaders { address, signature, signed_at })
    }
}

/// Bytes of a signature by a key, and the least of one by a contract.
pub(crate) const SIGNATURE_BYTES: usize = 65;
/// The longest that a contract's may be, whatever is configured.
pub(crate) const WALLET_SIGNATURE_BYTES_MAX: usize = 4096;

impl PresentedSignature {
    fn read(text: &str, contract_bytes_max: Option<usize>) -> Result<Self, Failure> {
        let Some(bytes_max) = contract_bytes_max else {
            // Before anything is looked up for it.
            return Signature::parse(text)
                .map(|signature| Self(signature.to_bytes().into()))
                .map_err(refused);
        };
        let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        let bytes = bytes.filter(|bytes| (SIGNATURE_BYTES..=bytes_max).contains(&bytes.len()));
        bytes.map(Self).ok_or_else(|| {
            let rule =
                format!("must be `0x` and {SIGNATURE_BYTES} to {bytes_max} bytes in hexadecimal digits");
            Failure::Malformed(format!("header {SIGNATURE} {rule}"))
        })
    }

    /// The signature, if a key made it.
    pub(crate) fn by_key(&self) -> Result<Signature, Failure> {
        let bytes = <&[u8; SIGNATURE_BYTES]>::try_from(self.0.as_slice());
        let bytes = bytes.map_err(|_| refused(SignatureError::Shape))?;
        Signature::from_bytes(bytes).map_err(refused)
    }
}

fn refused(error: SignatureError) -> Failure {
    match error {
        SignatureError::Shape | SignatureError::RecoveryId => {
            Failure::Malformed(format!("header {SIGNATURE}: {error}"))
        }
        // Well-formed, and made by nobody: high s is the second form of a signature that may be known already.
        SignatureError::Range
        | SignatureError::HighS
        | SignatureError::NoSigner
        | SignatureError::OtherSigner => Failure::Domain(Error::Unauthenticated),
    }
}

/// What follows the scheme, whose letter case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// A header that may be given once. `None` when it is absent.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::Malformed(format!("header {name} is given twice")));
    }
    let text =
        value.to_str().map_err(|_| Failure::Malformed(format!("header {name} must be visible ASCII")))?;
    Ok(Some(text))
}

fn seconds(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Failure> {
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let canonical = text == "0" || matches!(text.as_bytes().first(), Some(b'1'..=b'9'));
    let number =
        text.parse::<u64>().ok().filter(|_| canonical && text.bytes().all(|byte| byte.is_ascii_digit()));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Failure::Malformed(format!("header {name} must be whole seconds since 1970"))),
    }
}
