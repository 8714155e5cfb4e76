//! API keys.

use gateway_domain::{
    Error, Timestamp,
    credentials::{ApiKey, authenticate_api_key},
    ports::Services,
    sealed::Sealed,
};

use crate::{failure::Failure, layers::Source};

/// The key record behind `text`. Development keys work from this machine only (T35), and elsewhere are unknown.
pub(crate) async fn authenticate_key(
    services: &Services,
    text: &str,
    source: Source,
    now: Timestamp,
) -> Result<Sealed<ApiKey>, Failure> {
    let key = authenticate_api_key(services, text, now).await?;
    if key.dev_only && !source.is_loopback() {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    Ok(key)
}
