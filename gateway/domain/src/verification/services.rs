//! Adding and switching verification services.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ids::OrganizationId,
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, generate_key, retire_key},
    openpgp::OpenPgpFault,
    ports::Services,
    sealed::Sealed,
    verification::VerificationService,
};

/// Where the key is that payloads are encrypted to.
#[derive(Clone, Debug)]
pub enum ServiceKey {
    /// Outside; the armored certificate.
    Outside(String),
    /// Made in the token: RSA of this size, two keys of a purpose each.
    BuiltIn(KeyAlgorithm),
}

/// A service to be added.
#[derive(Clone, Debug)]
pub struct AddVerificationService {
    pub name: String,
    pub inbox: Address,
    pub description: Option<String>,
    pub key: ServiceKey,
}

/// Adds an active service. For a built-in one two RSA keys are generated first.
pub async fn add_verification_service(
    ctx: &OpCtx,
    services: &Services,
    request: AddVerificationService,
) -> Result<VerificationService> {
    if request.name.is_empty() || request.name.chars().count() > 100 {
        return Err(Error::invalid("name must have 1 to 100 characters"));
    }
    let present = services.store.verification_services(ctx.organization).await?;
    if present.iter().any(|service| service.inbox == request.inbox) {
        return Err(Error::Conflict("a verification service with this inbox exists"));
    }
    let mut made = Vec::new();
    let (public_key, built_in) = match request.key {
        ServiceKey::Outside(armored) => (armored, None),
        ServiceKey::BuiltIn(_) if present.iter().any(|service| service.built_in.is_some()) => {
            return Err(Error::Conflict("the organization has a built-in verification service"));
        }
        ServiceKey::BuiltIn(algorithm) => {
            let certify = rsa_key(ctx, services, algorithm, KeyPurpose::OpenPgpCertify).await?;
            let decrypt = rsa_key(ctx, services, algorithm, KeyPurpose::OpenPgpDecrypt).await?;
            let armored = services.publication.openpgp.certificate(&request.name, &certify, &decrypt).await?;
            made = vec![certify.id, decrypt.id];
            (armored, Some(decrypt.id))
        }
    };
    let inspected = services.publication.openpgp.inspect_key(&public_key, ctx.now);
    let inspected = inspected.map_err(|fault| Error::invalid(format!("the public key {fault}")))?;
    let service = VerificationService {
        organization: ctx.organization,
        id: present.iter().map(|service| service.id).max().unwrap_or(0) + 1,
        name: request.name,
        inbox: request.inbox,
        public_key,
        fingerprint: inspected.fingerprint,
        description: request.description,
        usable_until: inspected.usable_until,
        active: true,
        built_in,
        version: 1,
        created_at: ctx.now,
        updated_at: ctx.now,
    };
    let detail = json!({
        "name": service.name, "inbox": service.inbox, "fingerprint": service.fingerprint, "builtIn": built_in,
    });
    let subject = format!("verification_service {}", service.id);
    let changes = ChangeSet::new(AuditEvent::new(ctx, "verification_service.added", subject, detail))
        .write(Write::InsertVerificationService(services.sealer.seal(service.clone())));
    match services.store.commit(changes).await {
        Ok(()) => Ok(service),
        Err(CommitError::Conflict(Contested::Duplicate)) => {
            for key in made {
                retire_key(ctx, services, key).await?;
            }
            Err(Error::Conflict("a verification service with this inbox or key exists"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn rsa_key(
    ctx: &OpCtx,
    services: &Services,
    algorithm: KeyAlgorithm,
    purpose: KeyPurpose,
) -> Result<Sealed<crate::keys::KeyRecord>> {
    if !matches!(algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa4096) {
        return Err(Error::invalid("a built-in verification service has RSA keys"));
    }
    let wanted = GenerateKey { algorithm, purpose, kinds: BTreeSet::new(), vault: None };
    Ok(services.sealer.seal(generate_key(ctx, services, wanted, None).await?))
}

/// Lets clients choose the service, or no longer.
pub async fn set_verification_service_active(
    ctx: &OpCtx,
    services: &Services,
    id: u32,
    active: bool,
) -> Result<VerificationService> {
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.verification_service(ctx.organization, id).await?;
        let service = found.ok_or(Error::NotFound("verification service"))?;
        if service.active == active {
            return Ok(service.into_value());
        }
        let version = service.version + 1;
        let next = VerificationService { active, version, updated_at: ctx.now, ..service.into_value() };
        let action = if active { "verification_service.enabled" } else { "verification_service.disabled" };
        let event = AuditEvent::new(ctx, action, format!("verification_service {id}"), json!({}));
        let write = Write::UpdateVerificationService(services.sealer.seal(next.clone()));
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => return Ok(next),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same verification service"))
}

/// What is said where the key of the service that a request chose is of no use any more.
pub(crate) fn unusable(id: u32, fault: &OpenPgpFault) -> Error {
    Error::invalid(format!("verificationServiceId {id}: the service's public key {fault}"))
}

/// The service that a request or its owner's settings name, if it may be chosen.
pub async fn require_active_service(
    services: &Services,
    organization: OrganizationId,
    id: u32,
) -> Result<Sealed<VerificationService>> {
    let found = services.store.verification_service(organization, id).await?;
    found.filter(|service| service.active).ok_or_else(|| {
        Error::invalid(format!("verificationServiceId {id} is not an active verification service"))
    })
}
