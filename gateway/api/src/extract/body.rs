//! The raw body: bounded, and hashed before anything reads it.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use gateway_domain::B256;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};

use crate::{
    config::ApiConfig,
    extract::{Fields, Json, Wire},
    failure::Failure,
};

/// A whole body as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct RawBody {
    bytes: Bytes,
    is_json: bool,
}

impl RawBody {
    /// Reads within the configured length and time; a declared length beyond it is refused before a byte is read.
    pub(crate) async fn read(headers: &HeaderMap, body: Body, config: &ApiConfig) -> Result<Self, Failure> {
        let bytes_max = config.body_bytes_max;
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > bytes_max as u64) {
            return Err(Failure::BodyTooLarge { bytes_max });
        }
        let collecting = tokio::time::timeout(config.body_timeout(), Limited::new(body, bytes_max).collect());
        let collected = collecting.await.map_err(|_| Failure::BodyTooSlow)?.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::BodyTooLarge { bytes_max }
            } else {
                Failure::BodyUnreadable
            }
        })?;
        Ok(Self { bytes: collected.to_bytes(), is_json: says_json(headers) })
    }

    /// SHA-256 of the bytes; of the empty string when there is no body.
    pub(crate) fn hash(&self) -> B256 {
        B256::new(Sha256::digest(&self.bytes).into())
    }

    pub(crate) fn json(&self, config: &ApiConfig) -> Result<Json, Failure> {
        if !self.is_json {
            return Err(Failure::UnsupportedMediaType);
        }
        Json::read(&self.bytes, config.json_depth_max)
    }

    /// The body as `T`, or every fault of it.
    pub(crate) fn read_as<T: Wire>(&self, config: &ApiConfig) -> Result<T, Failure> {
        let mut fields = Fields::of(self.json(config)?)?;
        let value = T::read(&mut fields);
        fields.finish(value)
    }
}

/// `application/json`, with no parameter but UTF-8 as its charset.
fn says_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().as_deref() == Some("application/json")
        && parts.all(|parameter| matches!(parameter.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}
