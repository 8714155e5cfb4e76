//! API keys.

use gateway_domain::{
    Error, Timestamp,
    credentials::{ApiKey, authenticate_api_key},
    sealed::Sealed,
};

use crate::{failure::Failure, layers::Source, state::App};

/// The key record behind `text`. Development keys work under `dev` and from this machine only (T35), and elsewhere
/// are unknown.
pub(crate) async fn authenticate_key(
    app: &App,
    text: &str,
    source: Source,
    now: Timestamp,
) -> Result<Sealed<ApiKey>, Failure> {
    let key = authenticate_api_key(&app.services, text, now).await?;
    if key.dev_only && !(app.accepts_dev_keys && source.is_loopback()) {
        return Err(Failure::Domain(Error::Unauthenticated));
    }
    Ok(key)
}
