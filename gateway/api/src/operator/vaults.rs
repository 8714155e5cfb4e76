//! Vaults, and the keys that lie in them. Making one, and moving a key, are proposals.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Error,
    ids::{KeyId, OrganizationId, VaultId},
    keys::{KeyRecord, KeyState},
    vaults::Vault,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Desk, call::OperatorCall};
use crate::{
    answer::{Answered, ok},
    extract::{Fields, Wire, scalar},
    presentation::{prose, time},
};

const PAGE_MAX: u32 = 50;

#[derive(Debug)]
pub(super) struct ListQuery {
    name: Option<String>,
    before: Option<VaultId>,
    limit: Option<u32>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name", scalar::plain_text(1, 64));
        let before = fields.optional("before", scalar::uuid);
        let limit = fields.optional("limit", scalar::count(1, PAGE_MAX));
        Some(Self { name, before, limit })
    }
}

#[derive(Debug)]
pub(super) struct KeysQuery {
    before: Option<KeyId>,
    limit: Option<u32>,
}

impl Wire for KeysQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.optional("before", scalar::uuid);
        let limit = fields.optional("limit", scalar::count(1, PAGE_MAX));
        Some(Self { before, limit })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VaultsResponse {
    vaults: Vec<VaultResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VaultResponse {
    #[schema(format = "uuid")]
    id: String,
    name: String,
    /// While it is, none of its keys signs anything.
    frozen: bool,
    #[schema(format = "date-time")]
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeysResponse {
    keys: Vec<KeyResponse>,
}

#[derive(Debug, Serialize, ToSchema)]
struct KeyResponse {
    #[schema(format = "uuid")]
    id: String,
    /// wallet, fireblocks-request or privy-authorization.
    purpose: &'static str,
    /// Of a wallet's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^0x[0-9a-fA-F]{40}$", nullable = false)]
    address: Option<String>,
    /// generating, active or retired.
    state: &'static str,
    /// By itself; the vault may be frozen as well.
    frozen: bool,
}

/// Vaults, newest first: what a binding's scope may name.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/vaults",
    operation_id = "list_vaults",
    tag = "Vaults",
    params(
        ("organization" = String, Path, format = "uuid"),
        ("name" = Option<String>, Query, min_length = 1, max_length = 64, description = "Only the vault of this name."),
        ("before" = Option<String>, Query, format = "uuid", description = "The last id of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Default 25.")
    ),
    responses((status = 200, body = VaultsResponse))
)]
pub(super) async fn list_vaults(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<VaultsResponse> {
    let ListQuery { name, before, limit } = call.query()?;
    let organization: OrganizationId = call.id("organization")?;
    let store = &desk.services.store;
    let vaults = match name {
        Some(name) => {
            let found = store.vault_by_name(organization, &name).await?;
            found.into_iter().filter(|vault| before.is_none_or(|before| vault.id < before)).collect()
        }
        None => store.vault_list(organization, before, limit.unwrap_or(PAGE_MAX / 2)).await?,
    };
    Ok(ok(VaultsResponse { vaults: vaults.iter().map(|vault| VaultResponse::of(vault)).collect() }))
}

/// One vault.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/vaults/{id}",
    operation_id = "get_vault",
    tag = "Vaults",
    params(("organization" = String, Path, format = "uuid"), ("id" = String, Path, format = "uuid")),
    responses((status = 200, body = VaultResponse))
)]
pub(super) async fn get_vault(State(desk): State<Arc<Desk>>, call: OperatorCall) -> Answered<VaultResponse> {
    let organization: OrganizationId = call.id("organization")?;
    let vault = desk.services.store.vault(organization, call.id("id")?).await?;
    Ok(ok(VaultResponse::of(&*vault.ok_or(Error::NotFound("vault"))?)))
}

/// The keys that lie in a vault, newest first.
#[utoipa::path(
    get,
    path = "/operator/v1/organizations/{organization}/vaults/{id}/keys",
    operation_id = "list_vault_keys",
    tag = "Vaults",
    params(
        ("organization" = String, Path, format = "uuid"),
        ("id" = String, Path, format = "uuid"),
        ("before" = Option<String>, Query, format = "uuid", description = "The last id of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Default 25.")
    ),
    responses((status = 200, body = KeysResponse))
)]
pub(super) async fn list_vault_keys(
    State(desk): State<Arc<Desk>>,
    call: OperatorCall,
) -> Answered<KeysResponse> {
    let KeysQuery { before, limit } = call.query()?;
    let organization: OrganizationId = call.id("organization")?;
    let store = &desk.services.store;
    let vault = store.vault(organization, call.id("id")?).await?.ok_or(Error::NotFound("vault"))?;
    let keys = store.vault_keys(organization, vault.id, before, limit.unwrap_or(PAGE_MAX / 2)).await?;
    Ok(ok(KeysResponse { keys: keys.iter().map(|key| KeyResponse::of(key)).collect() }))
}

impl VaultResponse {
    fn of(vault: &Vault) -> Self {
        Self {
            id: vault.id.to_string(),
            name: prose(&vault.name),
            frozen: vault.frozen,
            created_at: time(vault.created_at),
        }
    }
}

impl KeyResponse {
    fn of(key: &KeyRecord) -> Self {
        Self {
            id: key.id.to_string(),
            purpose: key.purpose.as_str(),
            address: key.address.map(|address| address.to_string()),
            state: match key.state {
                KeyState::Generating => "generating",
                KeyState::Active => "active",
                KeyState::Retired => "retired",
            },
            frozen: key.frozen,
        }
    }
}
