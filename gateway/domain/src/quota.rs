//! How many of something an organization may have, and how many of them strangers may cause.

use std::time::Duration;

use crate::{
    actor::{Actor, OpCtx},
    error::{Error, Result},
    ids::PrincipalId,
    ports::Services,
};

/// Quotas are raised by people, not by waiting.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// Bounds for one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub max: u32,
    /// Of these, for wallets that enrolled themselves.
    pub self_registered_max: u32,
}

/// Bounds for one organization, and for each of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserQuota {
    pub organization: Quota,
    pub per_user_max: u32,
}

pub(crate) fn used_up(what: &'static str) -> Error {
    Error::Exhausted { what, retry_after: RETRY_AFTER }
}

/// Whether nobody whom the organization has let in vouches for the caller.
pub(crate) fn registers_itself(actor: &Actor) -> bool {
    match actor {
        Actor::Wallet(_) | Actor::Session(_) | Actor::Anonymous => true,
        Actor::ApiKey(_)
        | Actor::InternalToken
        | Actor::Gateway
        | Actor::Operator(_)
        | Actor::LocalOperator => false,
    }
}

/// Whether what the caller asks for in the user's name counts against self-registration's share: a server key vouches
/// for what it asks for, and for everything that a user asks for whom it enrolled.
pub(crate) async fn counts_as_self_registered(
    ctx: &OpCtx,
    services: &Services,
    user: PrincipalId,
) -> Result<bool> {
    if !registers_itself(&ctx.actor) {
        return Ok(false);
    }
    let user = services.store.user(ctx.organization, user).await?.ok_or(Error::NotFound("user"))?;
    Ok(user.self_registered)
}
