//! API keys that users make for programs of their own.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Timestamp,
    credentials::{
        ApiKey, CreateOwnApiKey, Label, Scope, UsedApiKey, create_own_api_key, own_api_keys,
        revoke_own_api_key,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created, ok},
    core::{call::Call, shapes},
    extract::{Fields, Wire, scalar},
    presentation,
    state::App,
};

/// A key to be made. Its scopes are fixed.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateUserApiKeyDto {
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    name: String,
    /// In the future; absent means never.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
}

impl Wire for CreateUserApiKeyDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", scalar::plain_text(1, 100));
        let expires_at = fields.optional("expiresAt", scalar::time);
        Some(Self { name: name?, expires_at })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserApiKeyResponse {
    #[schema(format = "uuid")]
    id: String,
    name: String,
    /// What of the key may be shown.
    key_prefix: String,
    #[schema(value_type = shapes::UserApiKeyLabel)]
    label: &'static str,
    #[schema(value_type = Vec<shapes::UserApiKeyScope>)]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    is_active: bool,
    /// To the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserApiKeyCreatedResponse {
    #[serde(flatten)]
    record: UserApiKeyResponse,
    /// The whole key, shown only here.
    key: String,
}

impl UserApiKeyResponse {
    pub(crate) fn of(used: &UsedApiKey, now: Timestamp) -> Self {
        let UsedApiKey { key, last_used_at } = used;
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            key_prefix: format!("ck_{}_{}", key.label.as_str(), key.public_id),
            label: Label::User.as_str(),
            scopes: scope_words(key),
            expires_at: key.expires_at.map(presentation::time),
            is_active: key.is_active(now),
            last_used_at: last_used_at.map(presentation::time),
            created_at: presentation::time(key.created_at),
            revoked_at: key.revoked_at.map(presentation::time),
        }
    }
}

fn scope_words(key: &ApiKey) -> Vec<String> {
    key.scopes.iter().map(|scope: &Scope| scope.as_str().to_owned()).collect()
}

/// Makes a key for the caller, and shows it once.
#[utoipa::path(
    post,
    path = "/user-api-keys",
    tag = "User API Keys",
    request_body = CreateUserApiKeyDto,
    responses((status = 201, body = UserApiKeyCreatedResponse))
)]
pub(crate) async fn create_user_api_key(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<UserApiKeyCreatedResponse> {
    let CreateUserApiKeyDto { name, expires_at } = call.body()?;
    let user = call.session()?.principal;
    let request = CreateOwnApiKey { name, expires_at };
    let (key, text) = create_own_api_key(&call.ctx, &app.services, user, request).await?;
    let record = UserApiKeyResponse::of(&UsedApiKey { key, last_used_at: None }, call.ctx.now);
    Ok(created(UserApiKeyCreatedResponse { record, key: text.reveal().to_string() }))
}

/// The caller's keys, newest first.
#[utoipa::path(
    get,
    path = "/user-api-keys",
    tag = "User API Keys",
    responses((status = 200, body = Vec<UserApiKeyResponse>))
)]
pub(crate) async fn list_user_api_keys(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<Vec<UserApiKeyResponse>> {
    let keys = own_api_keys(&call.ctx, &app.services, call.session()?.principal).await?;
    Ok(ok(keys.iter().map(|key| UserApiKeyResponse::of(key, call.ctx.now)).collect()))
}

/// Ends one of the caller's keys at once.
#[utoipa::path(
    delete,
    path = "/user-api-keys/{apiKeyId}",
    tag = "User API Keys",
    params(("apiKeyId" = String, Path, format = "uuid")),
    responses((status = 200, body = UserApiKeyResponse))
)]
pub(crate) async fn revoke_user_api_key(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<UserApiKeyResponse> {
    let id = call.path("apiKeyId", |text| text.parse().map_err(|_| "must be a UUID".to_owned()))?;
    let used = revoke_own_api_key(&call.ctx, &app.services, call.session()?.principal, id).await?;
    Ok(ok(UserApiKeyResponse::of(&used, call.ctx.now)))
}
