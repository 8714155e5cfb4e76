//! Sealing API keys anew after the key that seals them was rotated.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    fireblocks::{Access, Integration, IntegrationState},
    ids::IntegrationId,
    ports::Services,
};

/// What became of the API keys that one look found under an earlier rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Lie under the present rotation now.
    pub sealed: u32,
    /// Do not open, and stay as they are.
    pub unreadable: u32,
    /// The last integration that was looked at; the next look goes on after it. Absent when there was none.
    pub last: Option<IntegrationId>,
}

/// Seals up to `limit` API keys anew that lie under an earlier rotation, of integrations after `after`. Whatever changes an
/// integration meanwhile comes first: it is looked at again next time. Of what its owner sees nothing changes.
pub async fn reseal_api_keys(
    services: &Services,
    after: Option<IntegrationId>,
    limit: u32,
) -> Result<Resealed> {
    let epoch = services.vendors.secrets.epoch();
    let mut resealed = Resealed::default();
    for integration in services.store.integrations_sealed_before(epoch, after, limit).await? {
        resealed.last = Some(integration.id);
        let next = match sealed_anew(services, &integration).await {
            Ok(Some(next)) => next,
            Ok(None) => continue,
            Err(Error::Inconsistency(cause)) => {
                tracing::error!(integration.id = %integration.id, ?cause, "a Fireblocks API key does not open");
                resealed.unreadable += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let ctx = OpCtx::gateway(integration.organization, services.clock.now());
        let subject = format!("fireblocks integration {}", next.id);
        let event = AuditEvent::new(&ctx, "fireblocks.api_key_resealed", subject, json!({"epoch": epoch}));
        let write = Write::UpdateIntegration(services.sealer.seal(next));
        match services.store.commit(ChangeSet::new(event).write(write)).await {
            Ok(()) => resealed.sealed += 1,
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(resealed)
}

/// The next version of the integration, its API key under the present rotation; none if it has no API key.
async fn sealed_anew(services: &Services, integration: &Integration) -> Result<Option<Integration>> {
    let Some(api_key) = integration.open_api_key(services).await? else { return Ok(None) };
    let version = integration.version + 1;
    let sealed = services.vendors.secrets.seal(&integration.secret_place(version), &api_key).await?;
    let anew = |access: &Access| Access { api_key: sealed, api_key_version: version, ..access.clone() };
    let state = match &integration.state {
        IntegrationState::Requested | IntegrationState::CsrGenerated => return Ok(None),
        IntegrationState::Active(access) => IntegrationState::Active(anew(access)),
        IntegrationState::Invalid(access) => IntegrationState::Invalid(anew(access)),
    };
    Ok(Some(Integration { state, version, ..integration.clone() }))
}
