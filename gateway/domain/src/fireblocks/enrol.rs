//! Making the key and the certificate request.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    fireblocks::{Integration, IntegrationState},
    ids::{IntegrationId, KeyId, PrincipalId, VaultId},
    keys::{
        GenerateKey, KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey, abandon_key, activation,
        reserve_key, retirement,
    },
    ports::Services,
    quota::{counts_as_self_registered, used_up},
    sealed::Sealed,
    vendors::VendorRole,
};

/// Recreations are counted over this.
const DAY: Duration = Duration::from_hours(24);

const LOST: &str = "a Fireblocks integration of this type was made by another request";

/// Whom a certificate is for: the fields of a distinguished name, checked against X.520's upper bounds by the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSubject {
    pub common_name: String,
    pub organization: String,
    /// Two letters.
    pub country: String,
    pub organizational_unit: Option<String>,
    pub state: Option<String>,
    pub locality: Option<String>,
    pub email: Option<String>,
}

#[derive(Clone, Debug)]
pub struct RequestCertificate {
    pub owner: PrincipalId,
    pub role: VendorRole,
    pub subject: CertificateSubject,
    /// Whether an existing integration gets a new key and loses its API key.
    pub recreate: bool,
}

/// Makes an RSA-4096 key in the HSM and its certificate request. Who may have one is decided before the token is asked
/// (T25): the claim on it is stored together with the key's reservation, so of several requests at once one has a key
/// made. A new key takes the place of an old one in the same commit that retires the old one: killed before, the old
/// integration stands; killed after, the new one does.
pub async fn request_certificate(
    ctx: &OpCtx,
    services: &Services,
    request: RequestCertificate,
) -> Result<Integration> {
    let fireblocks = services.vendors.require_fireblocks()?;
    let Claim { integration, reserved } = claim(ctx, services, &request).await?;
    let public_key = match services.token_keys.generate(&reserved).await {
        Ok(public_key) => public_key,
        Err(error) => return give_up(ctx, services, (reserved, None), error).await,
    };
    let (key, event, write) = activation(ctx, services, reserved.clone(), public_key.clone());
    let made = Made { key: services.sealer.seal(key), event, write };
    let kept = match fireblocks.certificate_request(&made.key, &request.subject).await {
        Ok(csr) => keep(ctx, services, integration, (&made, csr)).await,
        Err(error) => Err(error),
    };
    match kept {
        Ok(kept) => Ok(kept),
        Err(error) => give_up(ctx, services, (reserved, Some(public_key)), error).await,
    }
}

/// Leave to have a key made, as it was stored.
struct Claim {
    integration: Sealed<Integration>,
    reserved: Sealed<KeyRecord>,
}

/// A key that the token has made, and what makes it active.
struct Made {
    key: Sealed<KeyRecord>,
    event: AuditEvent,
    write: Write,
}

async fn claim(ctx: &OpCtx, services: &Services, request: &RequestCertificate) -> Result<Claim> {
    let (owner, role) = (request.owner, request.role);
    let existing = services.store.claimed_integration(ctx.organization, owner, role).await?;
    let recreated_at = match &existing {
        None => Vec::new(),
        Some(existing) => another_try(ctx, services, existing, request.recreate).await?,
    };
    let self_registered = counts_as_self_registered(ctx, services, owner).await?;
    // It lies where the one lies whose place it takes: a user who asks for another key leaves no vault by that.
    let replaced = match &existing {
        Some(existing) => services.store.key(ctx.organization, existing.key).await?,
        None => None,
    };
    let wanted = GenerateKey {
        algorithm: KeyAlgorithm::Rsa4096,
        purpose: KeyPurpose::FireblocksRequest,
        kinds: BTreeSet::new(),
        vault: replaced.and_then(|key| key.vault),
    };
    let (mut stored, quota) = (None, services.vendors.limits.integrations);
    let guard = |key| {
        let is_new = existing.is_none();
        let claimed = match &existing {
            // What works keeps working until the new key is made.
            Some(old) if old.state != IntegrationState::Requested => {
                Integration { recreated_at, ..old.moved_to(old.state.clone(), ctx.now) }
            }
            Some(old) => {
                Integration { key, recreated_at, ..old.moved_to(IntegrationState::Requested, ctx.now) }
            }
            None => requested(ctx, services, request, (key, self_registered)),
        };
        let sealed = services.sealer.seal(claimed);
        stored = Some(sealed.clone());
        Some(if is_new { Write::InsertIntegration(sealed, quota) } else { Write::UpdateIntegration(sealed) })
    };
    let reserved = reserve_key(ctx, services, wanted, guard).await.map_err(|error| match error {
        Error::Exhausted { .. } => used_up(
            "the organization's quota of Fireblocks integrations, or self-registration's share of it, is used up",
        ),
        Error::Conflict(_) => Error::Conflict(LOST),
        other => other,
    })?;
    let integration = stored.ok_or_else(|| Error::inconsistency("a claim that was not stored"))?;
    Ok(Claim { integration, reserved })
}

fn requested(
    ctx: &OpCtx,
    services: &Services,
    request: &RequestCertificate,
    (key, self_registered): (KeyId, bool),
) -> Integration {
    Integration {
        id: IntegrationId::generate(ctx.now, services.entropy.as_ref()),
        organization: ctx.organization,
        owner: request.owner,
        role: request.role,
        key,
        csr: String::new(),
        csr_created_at: ctx.now,
        state: IntegrationState::Requested,
        recreated_at: Vec::new(),
        self_registered,
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    }
}

/// Times of further keys within the last day, this one included, if another key may be made now.
async fn another_try(
    ctx: &OpCtx,
    services: &Services,
    existing: &Integration,
    recreate: bool,
) -> Result<Vec<Timestamp>> {
    if existing.state == IntegrationState::Requested {
        let key = services.store.key(ctx.organization, existing.key).await?;
        if key.is_some_and(|key| key.state == KeyState::Generating) {
            return Err(Error::Conflict("the key of this Fireblocks integration is being made"));
        }
    } else if !recreate {
        return Err(Error::Conflict("a Fireblocks integration of this type exists"));
    }
    another_recreation(existing, services, ctx.now)
}

/// Times of recreation within the last day, this one included.
fn another_recreation(existing: &Integration, services: &Services, now: Timestamp) -> Result<Vec<Timestamp>> {
    let mut recent: Vec<Timestamp> =
        existing.recreated_at.iter().copied().filter(|at| now.since(*at) < DAY).collect();
    if recent.len() >= services.vendors.limits.recreations_max as usize {
        let oldest = recent.first().copied().unwrap_or(now);
        let retry_after = DAY.saturating_sub(now.since(oldest));
        return Err(Error::Exhausted { what: "the key was made anew too often today", retry_after });
    }
    recent.push(now);
    Ok(recent)
}

/// Stores the request and takes the key into use. Whoever completes or validates the old key meanwhile is only earlier.
async fn keep(
    ctx: &OpCtx,
    services: &Services,
    claimed: Sealed<Integration>,
    (made, csr): (&Made, String),
) -> Result<Integration> {
    let is_new = claimed.state == IntegrationState::Requested;
    let action = if is_new { "fireblocks.csr_generated" } else { "fireblocks.recreated" };
    let mut standing = claimed;
    for _ in 0..services.limits.contest_attempts_max {
        let next = Integration {
            key: made.key.id,
            csr: csr.clone(),
            csr_created_at: ctx.now,
            ..standing.moved_to(IntegrationState::CsrGenerated, ctx.now)
        };
        let subject = format!("fireblocks integration {}", next.id);
        let detail = json!({"owner": next.owner, "type": next.role, "key": next.key});
        let mut changes = ChangeSet::new(AuditEvent::new(ctx, action, subject, detail))
            .write(Write::UpdateIntegration(services.sealer.seal(next.clone())))
            .event(made.event.clone())
            .write(made.write.clone());
        if !is_new {
            changes = retire(ctx, services, changes, (&standing, made.key.vault)).await?;
        }
        match services.store.commit(changes).await {
            Ok(()) => return Ok(next),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
        let (owner, role, key) = (standing.owner, standing.role, standing.key);
        let found = services.store.claimed_integration(ctx.organization, owner, role).await?;
        standing = found.filter(|found| found.key == key).ok_or(Error::Conflict(LOST))?;
    }
    Err(Error::unavailable("the database", "too many writers wanted the same integration"))
}

/// Takes the key out of use that nobody will have, and says why.
async fn give_up(
    ctx: &OpCtx,
    services: &Services,
    (reserved, public_key): (Sealed<KeyRecord>, Option<PublicKey>),
    cause: Error,
) -> Result<Integration> {
    let id = reserved.id;
    if let Err(error) = abandon_key(ctx, services, reserved, public_key).await {
        tracing::warn!(key.id = %id, %error, "a key that nobody has could not be retired yet");
    }
    Err(cause)
}

async fn retire(
    ctx: &OpCtx,
    services: &Services,
    changes: ChangeSet,
    (old, vault): (&Integration, Option<VaultId>),
) -> Result<ChangeSet> {
    let found = services.store.key(ctx.organization, old.key).await?;
    if found.as_ref().is_some_and(|key| key.vault != vault) {
        return Err(Error::Conflict("the integration's key was moved meanwhile; ask again"));
    }
    let Some(key) = found.filter(|key| key.state != KeyState::Retired) else { return Ok(changes) };
    let (_, event, write) = retirement(ctx, services, key);
    Ok(changes.event(event).write(write))
}
