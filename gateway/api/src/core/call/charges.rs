//! What a request takes from whose rate.

use gateway_domain::{OpCtx, actor::Actor, ids::PrincipalId};

use crate::{
    core::authorization::Rule,
    failure::Failure,
    layers::{CHANGES, FAILURES, Source},
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

/// Takes one request from the caller's own rate, and one change where it may be one. What ends a credential is none: whoever
/// stole one could otherwise use up its owner's way to be rid of it.
pub(super) async fn charge(app: &App, ctx: &OpCtx, rule: &Rule) -> Result<(), Failure> {
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
    app.rates.credential.check(&name).map_err(|retry_after| Failure::RateLimited { retry_after })?;
    match self_registered(&ctx.actor).filter(|_| !rule.method.is_safe() && !rule.ends_credentials) {
        Some(user) => app.rates.changes.take(CHANGES, user).await,
        None => Ok(()),
    }
}

/// Who calls, if it is a user who enrolled themselves: for whom a server key enrolled, the organization vouches. What
/// wallets sign is bounded elsewhere: enrolments by their rate, votes by their number.
fn self_registered(actor: &Actor) -> Option<PrincipalId> {
    match actor {
        Actor::Session(session) => session.self_registered.then_some(session.principal),
        Actor::ApiKey(key) => key.self_registered.then_some(key.principal),
        Actor::Anonymous
        | Actor::Wallet(_)
        | Actor::Gateway
        | Actor::InternalToken
        | Actor::Operator(_)
        | Actor::LocalOperator => None,
    }
}
