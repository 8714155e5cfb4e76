//! Reading the charter, and stopping things: what one operator may do alone.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    identity::set_organization_frozen,
    ids::{KeyId, VaultId},
    keys::set_key_frozen,
    operators,
    vaults::set_vault_frozen,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall, view::CharterResponse};
use crate::{
    answer::{Answered, ok},
    extract::{Fields, Wire, scalar},
};

/// The whole organization, or one key or vault of it.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FreezeDto {
    /// A key of the organization; with neither key nor vault, the organization is meant.
    #[schema(value_type = Option<String>, format = "uuid")]
    key: Option<KeyId>,
    /// A vault of the organization: all of its keys stop. Not together with a key.
    #[schema(value_type = Option<String>, format = "uuid")]
    vault: Option<VaultId>,
}

impl Wire for FreezeDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let key = fields.optional("key", scalar::uuid);
        let vault = fields.optional("vault", scalar::uuid);
        if key.is_some() && vault.is_some() {
            fields.fault("key and vault must not both be given");
        }
        Some(Self { key, vault })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FrozenResponse {
    frozen: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedResponse {
    revoked: bool,
}

/// Who the operators are, and how many must agree.
#[utoipa::path(
    get,
    path = "/operator/v1/charter",
    operation_id = "get_charter",
    tag = "Operators",
    responses((status = 200, body = CharterResponse))
)]
pub(super) async fn get_charter(
    State(desk): State<Arc<Desk>>,
    _call: OperatorCall,
) -> Answered<CharterResponse> {
    Ok(ok(CharterResponse::of(&*operators::require_charter(&desk.services).await?)))
}

/// Ends an operator's power at once. Needs the role author or approver.
#[utoipa::path(
    post,
    path = "/operator/v1/operators/{id}/revoke",
    operation_id = "revoke_operator",
    tag = "Operators",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, body = CharterResponse))
)]
pub(super) async fn revoke_operator(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<CharterResponse> {
    let charter = operators::revoke_operator(&call.ctx, &desk.services, call.id("id")?).await?;
    Ok(ok(CharterResponse::of(&charter)))
}

/// Stops an organization, one of its keys, or those of one of its vaults, from signing. Letting it go on is a proposal.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/freeze",
    operation_id = "freeze",
    tag = "Controls",
    params(("organization" = String, Path, format = "uuid")),
    request_body = FreezeDto,
    responses((status = 200, body = FrozenResponse))
)]
pub(super) async fn freeze(State(desk): State<Arc<Desk>>, call: OperatorCall) -> Answered<FrozenResponse> {
    operators::require_stopper(&call.ctx)?;
    let FreezeDto { key, vault } = call.body()?;
    let ctx = call.within(call.id("organization")?);
    match (key, vault) {
        (Some(key), _) => drop(set_key_frozen(&ctx, &desk.services, key, true).await?),
        (None, Some(vault)) => drop(set_vault_frozen(&ctx, &desk.services, vault, true).await?),
        (None, None) => drop(set_organization_frozen(&ctx, &desk.services, true).await?),
    }
    Ok(ok(FrozenResponse { frozen: true }))
}

/// Ends an API key at once.
#[utoipa::path(
    post,
    path = "/operator/v1/organizations/{organization}/api-keys/{id}/revoke",
    operation_id = "revoke_api_key",
    tag = "Controls",
    params(("organization" = String, Path, format = "uuid"), ("id" = String, Path, format = "uuid")),
    responses((status = 200, body = RevokedResponse))
)]
pub(super) async fn revoke_api_key(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<RevokedResponse> {
    operators::require_stopper(&call.ctx)?;
    let ctx = call.within(call.id("organization")?);
    gateway_domain::credentials::revoke_api_key(&ctx, &desk.services, call.id("id")?).await?;
    Ok(ok(RevokedResponse { revoked: true }))
}
