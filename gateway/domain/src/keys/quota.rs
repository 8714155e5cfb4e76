//! How many wallet keys an organization may have, and how many of them strangers may cause.

use std::time::Duration;

use crate::{
    actor::{Actor, OpCtx},
    error::{Error, Result},
    ports::{Limits, Services},
};

/// Quotas are raised by people, not by waiting.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// Bounds for the wallet keys of one organization that are not retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyQuota {
    pub keys_max: u32,
    /// Of these, for wallets that enrolled themselves.
    pub self_registered_max: u32,
}

/// Wallet keys of one organization that are not retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalletKeys {
    pub count: u64,
    /// Of these, for wallets that enrolled themselves.
    pub self_registered: u64,
}

impl KeyQuota {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { keys_max: limits.wallet_keys_max, self_registered_max: limits.self_registered_keys_max }
    }

    /// Refuses while there is no room. Cheap and early; the insertion itself is conditional on the quota as well.
    pub(super) async fn enforce(self, ctx: &OpCtx, services: &Services) -> Result<()> {
        let present = services.store.wallet_keys(ctx.organization).await?;
        if present.count >= u64::from(self.keys_max) {
            return Err(used_up("the organization's quota of wallet keys is used up"));
        }
        if registers_itself(&ctx.actor) && present.self_registered >= u64::from(self.self_registered_max) {
            return Err(Self::share_used_up());
        }
        Ok(())
    }

    /// What the loser of a race for the last place is told.
    pub(super) fn lost(ctx: &OpCtx) -> Error {
        if registers_itself(&ctx.actor) {
            return Self::share_used_up();
        }
        used_up("the organization's quota of wallet keys is used up")
    }

    fn share_used_up() -> Error {
        used_up(
            "self-registration's share of the quota of wallet keys is used up; a server key can still enrol",
        )
    }
}

fn used_up(what: &'static str) -> Error {
    Error::Exhausted { what, retry_after: RETRY_AFTER }
}

/// Whether nobody whom the organization has let in vouches for the caller.
pub(super) fn registers_itself(actor: &Actor) -> bool {
    match actor {
        Actor::Wallet(_) | Actor::Session(_) | Actor::Anonymous => true,
        Actor::ApiKey(_)
        | Actor::InternalToken
        | Actor::Gateway
        | Actor::Operator(_)
        | Actor::LocalOperator => false,
    }
}
