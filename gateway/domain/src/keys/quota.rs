//! How many wallet keys an organization may have, and how many of them strangers may cause.

use crate::{
    actor::OpCtx,
    error::{Error, Result},
    ports::{Limits, Services},
    quota::{Quota, registers_itself, used_up},
};

/// Wallet keys of one organization that are not retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalletKeys {
    pub count: u64,
    /// Of these, for wallets that enrolled themselves.
    pub self_registered: u64,
}

pub(super) fn wallet_quota(limits: &Limits) -> Quota {
    Quota { max: limits.wallet_keys_max, self_registered_max: limits.self_registered_keys_max }
}

/// Refuses while there is no room. Cheap and early; the insertion itself is conditional on the quota as well.
pub(super) async fn enforce(quota: Quota, ctx: &OpCtx, services: &Services) -> Result<()> {
    let present = services.store.wallet_keys(ctx.organization).await?;
    if present.count >= u64::from(quota.max) {
        return Err(used_up("the organization's quota of wallet keys is used up"));
    }
    if registers_itself(&ctx.actor) && present.self_registered >= u64::from(quota.self_registered_max) {
        return Err(share_used_up());
    }
    Ok(())
}

/// What the loser of a race for the last place is told.
pub(super) fn lost(ctx: &OpCtx) -> Error {
    if registers_itself(&ctx.actor) {
        return share_used_up();
    }
    used_up("the organization's quota of wallet keys is used up")
}

fn share_used_up() -> Error {
    used_up("self-registration's share of the quota of wallet keys is used up; a server key can still enrol")
}
