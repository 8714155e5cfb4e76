//! Verification services that the configuration names are there when the gateway serves.

use anyhow::{Context as _, Result, bail, ensure};
use gateway_domain::{
    Error,
    actor::OpCtx,
    ids::OrganizationId,
    ports::Services,
    verification::{
        AddVerificationService, ServiceKey, VerificationService, add_verification_service,
        set_verification_service_active,
    },
};

use crate::{config, wiring::Gateway};

/// Adds what is missing, and switches off what the file says is off. The file switches nothing on that is there: who
/// disabled a service has the last word until somebody enables it by hand. A service is known by its inbox; one that is
/// there with another key is left alone and ends the start, for payloads would go to somebody else than the file says.
pub(crate) async fn establish(gateway: &Gateway, organization: OrganizationId) -> Result<()> {
    if establish_known(gateway, organization).await? {
        return Ok(());
    }
    // One gateway at a time, so that no RSA keys are made in vain where several start.
    let alone = gateway.store.exclusive("verification-services", gateway.config.hsm.others_wait()).await;
    let alone = alone.context("waiting for another gateway to add verification services")?;
    let established = establish_each(gateway, organization).await;
    alone.release().await;
    established
}

/// Does what the file says of services that are there; whether all are.
async fn establish_known(gateway: &Gateway, organization: OrganizationId) -> Result<bool> {
    let mut is_complete = true;
    for configured in &gateway.config.verification_services {
        let ctx = OpCtx::gateway(organization, gateway.services.clock.now());
        match known(&ctx, &gateway.services, &configured.request()?).await? {
            Some(service) => switch_off(&ctx, &gateway.services, &service, configured).await?,
            None => is_complete = false,
        }
    }
    Ok(is_complete)
}

async fn establish_each(gateway: &Gateway, organization: OrganizationId) -> Result<()> {
    let services = &gateway.services;
    for configured in &gateway.config.verification_services {
        let ctx = OpCtx::gateway(organization, services.clock.now());
        let service = known_or_added(&ctx, services, configured).await?;
        switch_off(&ctx, services, &service, configured).await?;
    }
    Ok(())
}

async fn switch_off(
    ctx: &OpCtx,
    services: &Services,
    service: &VerificationService,
    configured: &config::VerificationService,
) -> Result<()> {
    if service.active && !configured.active {
        set_verification_service_active(ctx, services, service.id, false).await?;
    }
    Ok(())
}

/// Of a command and a gateway that add the service at once, one does and the other finds it.
async fn known_or_added(
    ctx: &OpCtx,
    services: &Services,
    configured: &config::VerificationService,
) -> Result<VerificationService> {
    for _ in 0..services.limits.contest_attempts_max {
        let request = configured.request()?;
        if let Some(known) = known(ctx, services, &request).await? {
            return Ok(known);
        }
        let name = request.name.clone();
        match add_verification_service(ctx, services, request).await {
            Err(Error::Conflict(rule)) => {
                tracing::info!(name, rule, "another gateway adds verification services");
            }
            added => return added.with_context(|| format!("adding the verification service `{name}`")),
        }
    }
    bail!("`verification_services`: others keep changing them")
}

async fn known(
    ctx: &OpCtx,
    services: &Services,
    request: &AddVerificationService,
) -> Result<Option<VerificationService>> {
    let stored = services.store.verification_services(ctx.organization).await?;
    let Some(known) = stored.into_iter().find(|service| service.inbox == request.inbox) else {
        return Ok(None);
    };
    let is_same = match &request.key {
        ServiceKey::BuiltIn(_) => known.built_in.is_some(),
        ServiceKey::Outside(armored) => known.built_in.is_none() && *armored == known.public_key,
    };
    ensure!(
        is_same,
        "`verification_services`: the service with inbox `{}` is stored with another key; a new key needs an inbox of \
         its own",
        request.inbox
    );
    Ok(Some(known.into_value()))
}
