//! Handing an integration's API key to a server that executes.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::ChangeSet,
    error::{Error, Result},
    fireblocks::{Access, Integration, complete::require_integration},
    ids::PrincipalId,
    ports::Services,
    secrets::SecretText,
    vendors::VendorRole,
};

/// Opens the API key of a user's completed integration. Who asked is on record before anybody has it.
pub async fn disclose_api_key(
    ctx: &OpCtx,
    services: &Services,
    owner: PrincipalId,
    role: VendorRole,
) -> Result<(Integration, Access, SecretText)> {
    let integration = require_integration(services, ctx, owner, role).await?.into_value();
    let (Some(access), Some(api_key)) =
        (integration.state.access().cloned(), integration.open_api_key(services).await?)
    else {
        return Err(Error::NotFound("fireblocks integration"));
    };
    let detail = json!({"key": integration.key, "owner": owner, "role": role});
    let subject = format!("integration {}", integration.id);
    let event = AuditEvent::new(ctx, "fireblocks.config_read", subject, detail);
    services.store.commit(ChangeSet::new(event)).await?;
    Ok((integration, access, api_key))
}
