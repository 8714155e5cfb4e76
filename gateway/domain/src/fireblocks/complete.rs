//! Taking the API key that Fireblocks made of a certificate request, and using it.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    fireblocks::{Access, Environment, Integration, IntegrationState, Login, Region},
    ids::PrincipalId,
    keys::{KeyPurpose, KeyRecord},
    ports::Services,
    sealed::Sealed,
    secrets::SecretText,
    vendors::VendorRole,
};

pub struct CompleteIntegration {
    pub owner: PrincipalId,
    pub role: VendorRole,
    pub api_key: SecretText,
    /// Decimal digits.
    pub vault_account: String,
    pub environment: Environment,
    pub region: Region,
}

/// Seals the API key and activates the integration. May be repeated after a pause, with another key or account.
pub async fn complete_integration(
    ctx: &OpCtx,
    services: &Services,
    request: CompleteIntegration,
) -> Result<Integration> {
    services.vendors.require_fireblocks()?;
    if request.environment == Environment::Sandbox && request.region != Region::Us {
        return Err(Error::invalid("region must be US for environment sandbox"));
    }
    for _ in 0..services.limits.contest_attempts_max {
        let existing = require_integration(services, ctx, request.owner, request.role).await?;
        let completed = completed(ctx, services, &existing, &request).await?;
        let subject = format!("fireblocks integration {}", completed.id);
        let detail = completed.state.access().map(|access| {
            json!({
                "environment": access.environment, "region": access.region, "vaultAccount": access.vault_account,
            })
        });
        let event = AuditEvent::new(ctx, "fireblocks.completed", subject, detail.unwrap_or_default());
        let sealed = services.sealer.seal(completed.clone());
        match services.store.commit(ChangeSet::new(event).write(Write::UpdateIntegration(sealed))).await {
            Ok(()) => return Ok(completed),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same integration"))
}

/// The next version of the integration, with what the user brought.
async fn completed(
    ctx: &OpCtx,
    services: &Services,
    existing: &Integration,
    request: &CompleteIntegration,
) -> Result<Integration> {
    if let Some(access) = existing.state.access() {
        let (pause, passed) = (services.vendors.limits.validation_pause, ctx.now.since(access.completed_at));
        if passed < pause {
            let what = "the integration was completed a moment ago";
            return Err(Error::Exhausted { what, retry_after: pause.saturating_sub(passed) });
        }
    }
    let api_key_version = existing.version + 1;
    let place = existing.secret_place(api_key_version);
    let access = Access {
        api_key: services.vendors.secrets.seal(&place, &request.api_key).await?,
        api_key_version,
        api_key_last4: request.api_key.last4(),
        vault_account: request.vault_account.clone(),
        environment: request.environment,
        region: request.region,
        completed_at: ctx.now,
        asked_at: None,
        validated_at: None,
        validation_error: None,
        refused_since: None,
    };
    Ok(existing.moved_to(IntegrationState::Active(access), ctx.now))
}

pub(crate) async fn require_integration(
    services: &Services,
    ctx: &OpCtx,
    owner: PrincipalId,
    role: VendorRole,
) -> Result<Sealed<Integration>> {
    let found = services.store.integration(ctx.organization, owner, role).await?;
    found.ok_or(Error::NotFound("fireblocks integration"))
}

impl Integration {
    /// Opens the API key, for one use.
    pub async fn open_api_key(&self, services: &Services) -> Result<Option<SecretText>> {
        let Some(access) = self.state.access() else { return Ok(None) };
        let place = self.secret_place(access.api_key_version);
        services.vendors.secrets.open(&place, &access.api_key).await.map(Some)
    }

    /// Everything that a request to the workspace needs, or what is missing.
    pub(crate) async fn login(&self, services: &Services) -> Result<Login> {
        let access = self
            .state
            .access()
            .ok_or_else(|| Error::invalid("the Fireblocks integration is not completed"))?;
        let key = usable_key(services, self).await?;
        let opened = self.open_api_key(services).await?;
        let api_key = opened.ok_or_else(|| Error::inconsistency("an integration without its API key"))?;
        Ok(Login { key, environment: access.environment, region: access.region, api_key })
    }
}

async fn usable_key(services: &Services, integration: &Integration) -> Result<Sealed<KeyRecord>> {
    let key = services.store.key(integration.organization, integration.key).await?;
    let key = key.ok_or_else(|| Error::inconsistency("the integration's key does not exist"))?;
    if key.purpose != KeyPurpose::FireblocksRequest {
        return Err(Error::inconsistency("the integration's key has another purpose"));
    }
    if !key.is_usable(services).await? {
        return Err(Error::Conflict("the integration's key is retired, or it or its vault is frozen"));
    }
    Ok(key)
}
