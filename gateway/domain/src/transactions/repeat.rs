//! Whether a request is a repeat: found out by what its client wrote, before anything is looked at that may have changed
//! since. Settings, services, vendors and escrow of the user have no say in it.

use alloy_primitives::{B256, U256};

use super::{Created, Transaction};
use crate::{
    actor::OpCtx,
    error::{Error, Result},
    ids::PrincipalId,
    payloads::submit_again,
    ports::Services,
};

pub(super) const OPERATION: &str = "transactions.create";

/// What a repeat has in common with the request it repeats. The default is that of a request nobody can repeat, because
/// it has neither key nor name.
#[derive(Clone, Debug, Default)]
pub struct RequestIdentity {
    /// SHA-256 over what the client wrote, in one canonical form; without what settings fill in.
    pub digest: B256,
    pub idempotency: Option<IdempotencyKey>,
}

/// The client's `Idempotency-Key` and the hash of the body it came with.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    pub key: String,
    pub body_hash: B256,
}

/// The client's name for a transaction, unique in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestName {
    /// Must be the formula's value over what is asked for and `nonce` ([`super::request_hash`]).
    Formula { hash: B256, nonce: U256 },
    /// No more than a name, for whoever chose it.
    Own(B256),
    /// No more than a name, for everybody who may ask for such transactions.
    Shared(B256),
}

impl RequestName {
    pub fn hash(self) -> B256 {
        match self {
            Self::Formula { hash, .. } | Self::Own(hash) | Self::Shared(hash) => hash,
        }
    }
}

/// What an equal request made earlier. A conflict where key or name stand for another request, or for somebody else's.
/// Every family asks this before it reads settings; a repeat that came at the same time is found when it is stored.
pub async fn made_earlier(
    ctx: &OpCtx,
    services: &Services,
    name: Option<RequestName>,
    identity: &RequestIdentity,
) -> Result<Option<Created>> {
    let principal = ctx.principal().ok_or(Error::Unauthenticated)?;
    let found = match by_idempotency_key(ctx, services, principal, identity).await? {
        Some(found) => Some(found),
        None => by_name(ctx, services, name, (principal, identity.digest)).await?,
    };
    if let Some(earlier) = &found
        && earlier.verification_service.is_some()
    {
        submit_again(ctx, services, earlier).await?;
    }
    Ok(found.map(Created::earlier))
}

async fn by_idempotency_key(
    ctx: &OpCtx,
    services: &Services,
    principal: PrincipalId,
    identity: &RequestIdentity,
) -> Result<Option<Transaction>> {
    let Some(idempotency) = &identity.idempotency else { return Ok(None) };
    let found =
        services.store.idempotency(ctx.organization, principal, OPERATION, &idempotency.key, ctx.now).await?;
    let Some(earlier) = found else { return Ok(None) };
    if earlier.body_hash != idempotency.body_hash {
        return Err(Error::Conflict("the Idempotency-Key was used with another body"));
    }
    let id = earlier.outcome.parse().map_err(Error::inconsistency)?;
    let transaction = services.store.transaction(ctx.organization, id).await?;
    let transaction =
        transaction.ok_or_else(|| Error::inconsistency("an Idempotency-Key without its transaction"))?;
    Ok(Some(transaction.into_value()))
}

async fn by_name(
    ctx: &OpCtx,
    services: &Services,
    name: Option<RequestName>,
    (principal, digest): (PrincipalId, B256),
) -> Result<Option<Transaction>> {
    let Some(name) = name else { return Ok(None) };
    let found = services.store.transaction_by_request_hash(ctx.organization, name.hash()).await?;
    let Some(earlier) = found else { return Ok(None) };
    let may_be_repeated = matches!(name, RequestName::Shared(_)) || earlier.initiator == principal;
    if may_be_repeated && earlier.request_digest == digest {
        Ok(Some(earlier.into_value()))
    } else {
        Err(Error::Conflict("requestHash is in use"))
    }
}
