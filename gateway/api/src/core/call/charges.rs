//! What a request takes from whose rate.

use gateway_domain::{OpCtx, actor::Actor};

use crate::{
    failure::Failure,
    layers::{FAILURES, Source},
    state::App,
};

/// A failure beyond the source's allowance is answered as such. While the database cannot count, this gateway's own
/// bucket does: what fails needs no allowance to fail.
pub(super) async fn charge_failure<T>(
    app: &App,
    source: Source,
    proven: Result<T, Failure>,
) -> Result<T, Failure> {
    if proven.as_ref().is_err_and(Failure::is_failed_proof) {
        match app.rates.failures.take(FAILURES, source.bucket()).await {
            Err(limited @ Failure::RateLimited { .. }) => return Err(limited),
            Err(Failure::Domain(error)) => {
                tracing::warn!(%error, "a failed authentication is counted here only");
            }
            Ok(()) | Err(_) => {}
        }
    }
    proven
}

/// Takes one request from the caller's own rate.
pub(super) fn charge(app: &App, ctx: &OpCtx) -> Result<(), Failure> {
    let name = match &ctx.actor {
        Actor::ApiKey(key) => key.credential.to_string(),
        Actor::Wallet(wallet) => wallet.address.to_string(),
        Actor::Session(session) => session.session.to_string(),
        Actor::Anonymous
        | Actor::Gateway
        | Actor::InternalToken
        | Actor::Operator(_)
        | Actor::LocalOperator => return Ok(()),
    };
    app.rates.credential.check(&name).map_err(|retry_after| Failure::RateLimited { retry_after })
}
