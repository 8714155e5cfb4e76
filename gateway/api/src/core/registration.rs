//! A user's OpenPGP key, and what the user is made of.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Error,
    credentials::own_api_keys,
    openpgp::{PUBLIC_KEY_BYTES_MAX, SIGNATURE_BYTES_MAX},
    registrations::{
        RegisterKey, Registration, RegistrationState, carry_registration, register_key as register,
    },
    registry::require_registry,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created, ok},
    auth::WALLET_SIGNATURE_BYTES_MAX,
    core::{call::Call, shapes, user_api_keys::UserApiKeyResponse},
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

/// An OpenPGP public key and its owner's signature over it.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegisterKeysDto {
    /// `personal_sign` of exactly `pgpPublicKey` by the user's wallet.
    #[schema(value_type = shapes::WalletSignature)]
    signature: Vec<u8>,
    /// Armored, at most 16 KiB.
    #[schema(min_length = 1, max_length = 16_384)]
    pgp_public_key: String,
    /// Armored detached signature by the primary key itself (`gpg -u FINGERPRINT!`) over `gateway-core-openpgp-v1`, the gateway's origin, the wallet's
    /// address in EIP-55 case and the fingerprint in upper case, with one space between. It shows whose key it is: what
    /// somebody else registered without one becomes the user's.
    #[schema(min_length = 1, max_length = 4_096)]
    pgp_signature: Option<String>,
}

impl Wire for RegisterKeysDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let signature = fields.required("signature", scalar::bytes(WALLET_SIGNATURE_BYTES_MAX));
        let pgp_public_key = fields.required("pgpPublicKey", scalar::text_within(1, PUBLIC_KEY_BYTES_MAX));
        let pgp_signature = fields.optional("pgpSignature", scalar::text_within(1, SIGNATURE_BYTES_MAX));
        Some(Self { signature: signature?, pgp_public_key: pgp_public_key?, pgp_signature })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisterKeysResponse {
    #[schema(value_type = shapes::Fingerprint)]
    pgp_fingerprint: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[schema(value_type = shapes::RegistrationStatus)]
    status: &'static str,
    /// Why the record is not on chain, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    /// Absent until the record is on chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    registration_tx_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    registered_at: Option<String>,
}

impl RegisterKeysResponse {
    fn of(registration: &Registration) -> Self {
        let (hash, at, failure) = match registration.state {
            RegistrationState::Registered { hash, at, .. } => (Some(hash), Some(at), None),
            RegistrationState::Pending => (None, None, None),
            RegistrationState::Failed { reason } => (None, None, Some(reason.as_str())),
        };
        Self {
            pgp_fingerprint: registration.fingerprint.to_string(),
            ethereum_address: presentation::address(registration.account),
            status: registration.state.name(),
            failure_reason: failure,
            registration_tx_hash: hash.map(presentation::hash),
            registered_at: at.map(presentation::time),
        }
    }
}

/// Who the caller is, the OpenPGP key they use now, and their keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserProfileResponse {
    #[schema(format = "uuid")]
    user_id: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Address>)]
    escrow_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgp_public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Fingerprint>)]
    pgp_fingerprint: Option<String>,
    /// Whether that key is on record on chain.
    registered: bool,
    /// Absent without a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::RegistrationStatus>)]
    registration_status: Option<&'static str>,
    /// Why that key is not on record, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_failure_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hash>)]
    registration_tx_hash: Option<String>,
    /// Newest first.
    api_keys: Vec<UserApiKeyResponse>,
}

/// Registers the user's OpenPGP key and puts its fingerprint on record on chain. The same key again answers with the
/// stored record; another one takes its place.
#[utoipa::path(
    post,
    path = "/user-api-keys/register",
    tag = "User API Keys",
    request_body = RegisterKeysDto,
    responses((status = 201, body = RegisterKeysResponse))
)]
pub(crate) async fn register_encryption_keys(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<RegisterKeysResponse> {
    let body: RegisterKeysDto = call.body()?;
    if require_registry(&app.services).is_err() {
        return Err(Failure::Unconfigured("onchain_registry.address"));
    }
    let (organization, principal) = (call.ctx.organization, call.session()?.principal);
    let user = app.services.store.user(organization, principal).await?.ok_or(Error::Unauthenticated)?;
    let rule = "signature must be the user's personal_sign of pgpPublicKey";
    call.personally_signed(&user, (body.pgp_public_key.as_bytes(), &body.signature), rule).await?;
    let request = RegisterKey {
        user,
        public_key: body.pgp_public_key,
        signature: body.signature,
        possession: body.pgp_signature,
    };
    let registration = register(&call.ctx, &app.services, &request).await?;
    if registration.state == RegistrationState::Pending {
        let id = registration.id;
        app.settled(move |services| async move { carry_registration(&services, organization, id).await })
            .await;
    }
    let stored = app.services.store.registration(organization, registration.id).await?;
    let stored = stored.ok_or_else(|| Error::inconsistency("a registration vanished after it was stored"))?;
    Ok(created(RegisterKeysResponse::of(&stored)))
}

/// The caller's address, OpenPGP key and API keys.
#[utoipa::path(
    get,
    path = "/user-api-keys/profile",
    tag = "User API Keys",
    responses((status = 200, body = UserProfileResponse))
)]
pub(crate) async fn get_user_profile(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<UserProfileResponse> {
    let (organization, principal) = (call.ctx.organization, call.session()?.principal);
    let store = &app.services.store;
    let user = store.user(organization, principal).await?.ok_or(Error::NotFound("user"))?;
    let registration = store.current_registration(organization, principal).await?;
    let registration = registration.as_deref();
    let record = registration.map(RegisterKeysResponse::of);
    let keys = own_api_keys(&call.ctx, &app.services, principal).await?;
    Ok(ok(UserProfileResponse {
        user_id: user.id.to_string(),
        ethereum_address: presentation::address(user.ethereum_address),
        escrow_address: user.escrow.map(|escrow| presentation::address(escrow.address())),
        pgp_public_key: registration.map(|registration| registration.public_key.clone()),
        pgp_fingerprint: registration.map(|registration| registration.fingerprint.to_string()),
        registered: registration
            .is_some_and(|registration| matches!(registration.state, RegistrationState::Registered { .. })),
        registration_status: record.as_ref().map(|record| record.status),
        registration_failure_reason: record.as_ref().and_then(|record| record.failure_reason),
        registration_tx_hash: record.and_then(|record| record.registration_tx_hash),
        api_keys: keys.iter().map(|key| UserApiKeyResponse::of(key, call.ctx.now)).collect(),
    }))
}
