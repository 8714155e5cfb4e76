//! Verification services that the configuration names are there when the gateway serves.

use anyhow::{Context as _, Result, ensure};
use gateway_domain::{
    actor::OpCtx,
    ids::OrganizationId,
    ports::VerificationReads as _,
    verification::{ServiceKey, add_verification_service, set_verification_service_active},
};

use crate::wiring::Gateway;

/// Adds what is missing and lets clients choose what they may. A service is known by its inbox; one that is there with
/// another key is left alone and ends the start, for payloads would go to somebody else than the file says.
pub(crate) async fn establish(gateway: &Gateway, organization: OrganizationId) -> Result<()> {
    let services = &gateway.services;
    for configured in &gateway.config.verification_services {
        let ctx = OpCtx::gateway(organization, services.clock.now());
        let request = configured.request()?;
        let (inbox, name) = (request.inbox, request.name.clone());
        let known = gateway.store.verification_services(organization).await?;
        let service = match known.into_iter().find(|service| service.inbox == inbox) {
            Some(known) => {
                let is_same = match &request.key {
                    ServiceKey::BuiltIn(_) => known.built_in.is_some(),
                    ServiceKey::Outside(armored) => known.built_in.is_none() && *armored == known.public_key,
                };
                ensure!(
                    is_same,
                    "`verification_services`: the service with inbox `{inbox}` is stored with another key; a new key \
                     needs an inbox of its own"
                );
                known.into_value()
            }
            None => add_verification_service(&ctx, services, request)
                .await
                .with_context(|| format!("adding the verification service `{name}`"))?,
        };
        if service.active != configured.active {
            set_verification_service_active(&ctx, services, service.id, configured.active).await?;
        }
    }
    Ok(())
}
