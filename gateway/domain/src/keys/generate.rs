//! Making and retiring key pairs.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    entropy::draw,
    error::{Error, Result},
    ids::{KeyId, VaultId},
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey, quota},
    ports::Services,
    quota::registers_itself,
    sealed::Sealed,
    transactions::Kind,
    vaults::place_of_new,
};

#[derive(Clone, Debug)]
pub struct GenerateKey {
    pub algorithm: KeyAlgorithm,
    pub purpose: KeyPurpose,
    /// What a wallet key may sign; empty for other purposes.
    pub kinds: BTreeSet<Kind>,
    /// Where it is to lie, if it is to lie in any.
    pub vault: Option<VaultId>,
}

/// Reserves a `CKA_ID`, lets the token generate the pair, and returns the record once the key is durable and has
/// signed a canary. `guard` is written with the reservation, so that a repeated request makes no second key. A crash in
/// between leaves a record in state `generating`, which [`finish_unfinished_keys`](super::finish_unfinished_keys) ends.
pub async fn generate_key(
    ctx: &OpCtx,
    services: &Services,
    wanted: GenerateKey,
    guard: Option<Write>,
) -> Result<KeyRecord> {
    let reserved = reserve_key(ctx, services, wanted, |_| guard).await?;
    let public_key = services.token_keys.generate(&reserved).await?;
    let (active, event, write) = activation(ctx, services, reserved, public_key);
    services.store.commit(ChangeSet::new(event).write(write)).await?;
    Ok(active)
}

/// Stores the record of a key that the token is to be asked for next, and with it what `guard` makes of its id.
pub(crate) async fn reserve_key(
    ctx: &OpCtx,
    services: &Services,
    wanted: GenerateKey,
    guard: impl FnOnce(KeyId) -> Option<Write>,
) -> Result<Sealed<KeyRecord>> {
    if !services.token_keys.supports(wanted.algorithm) {
        return Err(Error::invalid("the token does not support this key algorithm"));
    }
    let quota = (wanted.purpose == KeyPurpose::Wallet).then(|| quota::wallet_quota(&services.limits));
    if let Some(quota) = quota {
        quota::enforce(quota, ctx, services).await?;
    }
    let place = place_of_new(ctx, services, wanted.purpose, wanted.vault).await?;
    let id = KeyId::generate(ctx.now, services.entropy.as_ref());
    let reserved = services.sealer.seal(KeyRecord {
        id,
        organization: ctx.organization,
        token_id: services.token_keys.token_id().to_owned(),
        cka_id: draw(services.entropy.as_ref()),
        algorithm: wanted.algorithm,
        purpose: wanted.purpose,
        kinds: wanted.kinds,
        public_key: None,
        address: None,
        state: KeyState::Generating,
        self_registered: registers_itself(&ctx.actor),
        frozen: false,
        vault: wanted.vault,
        version: 1,
        created_at: ctx.now,
    });
    let detail = json!({
        "algorithm": reserved.algorithm, "purpose": reserved.purpose, "kinds": reserved.kinds,
        "selfRegistered": reserved.self_registered, "vault": reserved.vault,
    });
    let insert = match quota {
        Some(quota) => Write::InsertWalletKey(reserved.clone(), quota),
        None => Write::InsertKey(reserved.clone()),
    };
    let reserve = ChangeSet::new(AuditEvent::new(ctx, "key.reserved", format!("key {id}"), detail))
        .writes_of(place)
        .write(insert)
        .writes_of(guard(id));
    services.store.commit(reserve).await.map_err(|error| match error {
        CommitError::Conflict(Contested::Quota) if quota.is_some() => quota::lost(ctx),
        other => other.into(),
    })?;
    Ok(reserved)
}

/// What makes a key that the token has proven active.
pub(crate) fn activation(
    ctx: &OpCtx,
    services: &Services,
    reserved: Sealed<KeyRecord>,
    public_key: PublicKey,
) -> (KeyRecord, AuditEvent, Write) {
    let active = completed(reserved, public_key, KeyState::Active);
    let detail = json!({"publicKey": active.public_key, "address": active.address});
    let event = AuditEvent::new(ctx, "key.activated", format!("key {}", active.id), detail);
    (active.clone(), event, Write::UpdateKey(services.sealer.seal(active)))
}

/// Takes a reserved key out of use that nobody will have, with what the token made of it if it made anything.
pub(crate) async fn abandon_key(
    ctx: &OpCtx,
    services: &Services,
    reserved: Sealed<KeyRecord>,
    public_key: Option<PublicKey>,
) -> Result<()> {
    let abandoned = match public_key {
        Some(public_key) => completed(reserved, public_key, KeyState::Retired),
        None => given_up(reserved),
    };
    let event = AuditEvent::new(ctx, "key.abandoned", format!("key {}", abandoned.id), json!({}));
    let changes = ChangeSet::new(event).write(Write::UpdateKey(services.sealer.seal(abandoned)));
    match services.store.commit(changes).await {
        // Whoever ends what was interrupted came first.
        Ok(()) | Err(CommitError::Conflict(Contested::Version)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The next version of a record whose pair, if there is one, nobody uses any more.
pub(super) fn given_up(reserved: Sealed<KeyRecord>) -> KeyRecord {
    let version = reserved.version + 1;
    KeyRecord { state: KeyState::Retired, version, ..reserved.into_value() }
}

/// The next version of a record, with what the token holds.
pub(super) fn completed(reserved: Sealed<KeyRecord>, public_key: PublicKey, state: KeyState) -> KeyRecord {
    let address = evm_address(reserved.algorithm, &public_key);
    let version = reserved.version + 1;
    KeyRecord { public_key: Some(public_key), address, state, version, ..reserved.into_value() }
}

/// Keccak-256 of the point, last 20 bytes (Ethereum yellow paper, appendix F).
fn evm_address(algorithm: KeyAlgorithm, public_key: &PublicKey) -> Option<Address> {
    let point = public_key.0.strip_prefix(&[4]).filter(|point| point.len() == 64)?;
    (algorithm == KeyAlgorithm::Secp256k1).then(|| Address::from_raw_public_key(point))
}

/// Takes a key out of use. It stays in the token and can be brought back by an operator.
pub async fn retire_key(ctx: &OpCtx, services: &Services, id: KeyId) -> Result<KeyRecord> {
    let key = services.store.key(ctx.organization, id).await?.ok_or(Error::NotFound("key"))?;
    if key.state == KeyState::Retired {
        return Ok(key.into_value());
    }
    let (retired, event, write) = retirement(ctx, services, key);
    services.store.commit(ChangeSet::new(event).write(write)).await?;
    Ok(retired)
}

/// What takes a key out of use for good.
pub(crate) fn retirement(
    ctx: &OpCtx,
    services: &Services,
    key: Sealed<KeyRecord>,
) -> (KeyRecord, AuditEvent, Write) {
    let retired = given_up(key);
    let event = AuditEvent::new(ctx, "key.retired", format!("key {}", retired.id), json!({}));
    (retired.clone(), event, Write::UpdateKey(services.sealer.seal(retired)))
}
