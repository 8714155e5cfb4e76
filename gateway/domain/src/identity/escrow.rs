//! The escrow key of a user who was made by logging in.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    identity::{Escrow, User},
    ids::PrincipalId,
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, abandon_key, activation, reserve_key},
    ports::Services,
    transactions::Kind,
};

/// The user, who has an escrow afterwards: an HSM key is made if there was none. It is activated with its user or not at
/// all: a caller that leaves in between leaves a reservation, which is ended as after a crash.
pub async fn require_escrow(ctx: &OpCtx, services: &Services, id: PrincipalId) -> Result<User> {
    let user = require(ctx, services, id).await?;
    if user.escrow.is_some() {
        return Ok(user);
    }
    let reserved = reserve_key(ctx, services, wallet_key(), |_| None).await?;
    let public_key = services.token_keys.generate(&reserved).await?;
    let mut user = user;
    for _ in 0..services.limits.contest_attempts_max {
        if user.escrow.is_some() {
            // Another request was first; nobody has been told this key's address.
            abandon_key(ctx, services, reserved, Some(public_key)).await?;
            return Ok(user);
        }
        let (key, activated, activate) = activation(ctx, services, reserved.clone(), public_key.clone());
        let address =
            key.address.ok_or_else(|| Error::inconsistency("a secp256k1 key without an address"))?;
        let escrow = Some(Escrow::Hsm { key: key.id, address });
        let linked = User { escrow, version: user.version + 1, updated_at: ctx.now, ..user };
        let detail = json!({"escrow": linked.escrow});
        let event = AuditEvent::new(ctx, "user.escrow_linked", format!("user {id}"), detail);
        let changes = ChangeSet::new(activated)
            .event(event)
            .write(activate)
            .write(Write::UpdateUser(services.sealer.seal(linked.clone())));
        match services.store.commit(changes).await {
            Ok(()) => return Ok(linked),
            Err(CommitError::Conflict(Contested::Version)) => user = require(ctx, services, id).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}

/// What an escrow key is.
pub(super) fn wallet_key() -> GenerateKey {
    GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Wallet,
        kinds: BTreeSet::from([Kind::Transaction]),
        vault: None,
    }
}

async fn require(ctx: &OpCtx, services: &Services, id: PrincipalId) -> Result<User> {
    let user = services.store.user(ctx.organization, id).await?;
    Ok(user.ok_or(Error::NotFound("user"))?.into_value())
}
