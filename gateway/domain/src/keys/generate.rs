//! Making and retiring key pairs.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    entropy::draw,
    error::{Error, Result},
    ids::KeyId,
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey},
    ports::Services,
    transactions::Kind,
};

#[derive(Clone, Debug)]
pub struct GenerateKey {
    pub algorithm: KeyAlgorithm,
    pub purpose: KeyPurpose,
    /// What a wallet key may sign; empty for other purposes.
    pub kinds: BTreeSet<Kind>,
}

/// Reserves a `CKA_ID`, lets the token generate the pair, and returns the record once the key is durable and has
/// signed a canary. `guard` is written with the reservation, so that a repeated request makes no second key. A crash in between leaves a record in state `generating`, which is finished by its `CKA_ID`.
pub async fn generate_key(
    ctx: &OpCtx,
    services: &Services,
    wanted: GenerateKey,
    guard: Option<Write>,
) -> Result<KeyRecord> {
    if !services.vault.supports(wanted.algorithm) {
        return Err(Error::invalid("the token does not support this key algorithm"));
    }
    if wanted.purpose == KeyPurpose::Wallet {
        enforce_quota(ctx, services).await?;
    }
    let id = KeyId::generate(ctx.now, services.entropy.as_ref());
    let reserved = KeyRecord {
        id,
        organization: ctx.organization,
        token_id: services.vault.token_id().to_owned(),
        cka_id: draw(services.entropy.as_ref()),
        algorithm: wanted.algorithm,
        purpose: wanted.purpose,
        kinds: wanted.kinds,
        public_key: None,
        address: None,
        state: KeyState::Generating,
        frozen: false,
        version: 1,
        created_at: ctx.now,
    };
    let subject = format!("key {id}");
    let detail =
        json!({"algorithm": reserved.algorithm, "purpose": reserved.purpose, "kinds": reserved.kinds});
    let sealed = services.sealer.seal(reserved);
    let reserve = ChangeSet::new(AuditEvent::new(ctx, "key.reserved", subject.clone(), detail))
        .write(Write::InsertKey(sealed.clone()))
        .writes_of(guard);
    services.store.commit(reserve).await?;

    let public_key = services.vault.generate(&sealed).await?;
    let address = evm_address(sealed.algorithm, &public_key);
    let mut active = sealed.into_value();
    active.version += 1;
    active.state = KeyState::Active;
    active.address = address;
    let detail = json!({"publicKey": public_key, "address": address});
    active.public_key = Some(public_key);
    let activate = ChangeSet::new(AuditEvent::new(ctx, "key.activated", subject, detail))
        .write(Write::UpdateKey(services.sealer.seal(active.clone())));
    services.store.commit(activate).await?;
    Ok(active)
}

async fn enforce_quota(ctx: &OpCtx, services: &Services) -> Result<()> {
    let limit = services.limits.wallet_keys_max;
    if services.store.wallet_key_count(ctx.organization).await? >= u64::from(limit) {
        let retry_after = std::time::Duration::from_hours(1);
        return Err(Error::Exhausted {
            what: "the organization's quota of wallet keys is used up",
            retry_after,
        });
    }
    Ok(())
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
    let version = key.version + 1;
    let retired = KeyRecord { state: KeyState::Retired, version, ..key.into_value() };
    let event = AuditEvent::new(ctx, "key.retired", format!("key {id}"), json!({}));
    let changes = ChangeSet::new(event).write(Write::UpdateKey(services.sealer.seal(retired.clone())));
    services.store.commit(changes).await?;
    Ok(retired)
}
