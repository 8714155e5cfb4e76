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
    ids::{IntegrationId, PrincipalId},
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, generate_key},
    ports::Services,
    sealed::Sealed,
    vendors::VendorRole,
};

/// Recreations are counted over this.
const DAY: Duration = Duration::from_hours(24);

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

/// Makes an RSA-4096 key in the HSM and its certificate request. A new key takes the place of an old one in the same
/// commit that retires the old one: killed before, the old integration stands; killed after, the new one does.
pub async fn request_certificate(
    ctx: &OpCtx,
    services: &Services,
    request: RequestCertificate,
) -> Result<Integration> {
    let fireblocks = services.vendors.require_fireblocks()?;
    let RequestCertificate { owner, role, subject, recreate } = request;
    let existing = services.store.integration(ctx.organization, owner, role).await?;
    let recreated_at = match &existing {
        Some(_) if !recreate => return Err(Error::Conflict("a Fireblocks integration of this type exists")),
        Some(existing) => another_recreation(existing, services, ctx.now)?,
        None => {
            enforce_quota(ctx, services).await?;
            Vec::new()
        }
    };
    let wanted = GenerateKey {
        algorithm: KeyAlgorithm::Rsa4096,
        purpose: KeyPurpose::FireblocksRequest,
        kinds: BTreeSet::new(),
    };
    let key = services.sealer.seal(generate_key(ctx, services, wanted, None).await?);
    let csr = fireblocks.certificate_request(&key, &subject).await?;
    let now = ctx.now;
    let integration = match &existing {
        Some(old) => Integration {
            key: key.id,
            csr,
            csr_created_at: now,
            recreated_at,
            ..old.moved_to(IntegrationState::CsrGenerated, now)
        },
        None => Integration {
            id: IntegrationId::generate(now, services.entropy.as_ref()),
            organization: ctx.organization,
            owner,
            role,
            key: key.id,
            csr,
            csr_created_at: now,
            state: IntegrationState::CsrGenerated,
            recreated_at,
            version: 1,
            created_at: now,
            updated_at: now,
        },
    };
    store(ctx, services, existing.as_deref(), &integration).await?;
    Ok(integration)
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

async fn enforce_quota(ctx: &OpCtx, services: &Services) -> Result<()> {
    let limit = services.vendors.limits.integrations_max;
    if services.store.integration_count(ctx.organization).await? >= u64::from(limit) {
        let what = "the organization's quota of Fireblocks integrations is used up";
        return Err(Error::Exhausted { what, retry_after: Duration::from_hours(1) });
    }
    Ok(())
}

async fn store(
    ctx: &OpCtx,
    services: &Services,
    old: Option<&Integration>,
    integration: &Integration,
) -> Result<()> {
    let sealed = services.sealer.seal(integration.clone());
    let (action, write) = if old.is_some() {
        ("fireblocks.recreated", Write::UpdateIntegration(sealed))
    } else {
        ("fireblocks.csr_generated", Write::InsertIntegration(sealed))
    };
    let subject = format!("fireblocks integration {}", integration.id);
    let detail = json!({"owner": integration.owner, "type": integration.role, "key": integration.key});
    let mut changes = ChangeSet::new(AuditEvent::new(ctx, action, subject, detail)).write(write);
    if let Some(old) = old {
        changes = retire(ctx, services, changes, old).await?;
    }
    services.store.commit(changes).await.map_err(|error| match error {
        // A request of the same kind was faster; its key stands, ours stays unused.
        CommitError::Conflict(Contested::Version | Contested::Duplicate) => {
            Error::Conflict("a Fireblocks integration of this type was made by another request")
        }
        other => other.into(),
    })
}

async fn retire(
    ctx: &OpCtx,
    services: &Services,
    changes: ChangeSet,
    old: &Integration,
) -> Result<ChangeSet> {
    let Some(key) = services.store.key(ctx.organization, old.key).await? else { return Ok(changes) };
    if key.state == KeyState::Retired {
        return Ok(changes);
    }
    let retired: Sealed<KeyRecord> = services.sealer.seal(KeyRecord {
        state: KeyState::Retired,
        version: key.version + 1,
        ..key.into_value()
    });
    let event = AuditEvent::new(ctx, "key.retired", format!("key {}", retired.id), json!({}));
    Ok(changes.event(event).write(Write::UpdateKey(retired)))
}
