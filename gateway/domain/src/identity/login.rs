//! The user behind a login.

use alloy_primitives::Address;

use crate::{
    actor::OpCtx,
    changes::{CommitError, Contested},
    error::{Error, Result},
    identity::{User, create::enrolment},
    ids::PrincipalId,
    ports::Services,
};

/// The active user with the wallet that has just proven a login under `wallet_epoch`, 0 where there was no user; one
/// without a key is made if there is none, for nobody gets an HSM key merely by logging in (T25).
pub async fn user_at_login(
    ctx: &OpCtx,
    services: &Services,
    address: Address,
    wallet_epoch: u64,
) -> Result<User> {
    for _ in 0..services.limits.contest_attempts_max {
        if let Some(user) = services.store.user_by_address(ctx.organization, address).await? {
            let principals = services.store.principals(ctx.organization, &[user.id]).await?;
            return match principals.first() {
                Some(principal) if principal.active && user.wallet_epoch == wallet_epoch => {
                    Ok(user.into_value())
                }
                Some(_) | None => Err(Error::Unauthenticated),
            };
        }
        // A wallet key of ours never speaks for a person (T6).
        if services.store.address_is_hsm_key(address).await? {
            return Err(Error::Unauthenticated);
        }
        let id = PrincipalId::generate(ctx.now, services.entropy.as_ref());
        let user = User { self_registered: true, ..User::without_escrow(ctx, id, address) };
        match services.store.commit(enrolment(ctx, services, &user)).await {
            Ok(()) => return Ok(user),
            Err(CommitError::Conflict(Contested::UserAddress)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}
