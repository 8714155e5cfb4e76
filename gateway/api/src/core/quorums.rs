//! Privy key quorums: a user's own references, and arbiter quorums made for users by server keys.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Address, OpCtx,
    ids::PrincipalId,
    quorums::{
        self, CreateArbiterQuorum, MemberKey, PrivyQuorum, QuorumMember, QuorumType, RegisterQuorum,
        SetQuorum,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created, ok},
    core::{call::Call, shapes},
    extract::{Fields, Json, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const QUORUM_ID_CHARACTERS_MAX: usize = 128;
const PEM_CHARACTERS_MAX: usize = 1024;
pub(super) const TYPES: [(&str, QuorumType); 2] =
    [("execution", QuorumType::Execution), ("agent", QuorumType::Agent)];

/// A quorum that exists at Privy.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdatePrivyQuorumDto {
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    quorum_id: String,
    #[schema(min_length = 1, max_length = 50, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    display_name: Option<String>,
    #[schema(value_type = Option<shapes::MemberKey>)]
    p256_public_key: Option<MemberKey>,
}

impl Wire for UpdatePrivyQuorumDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let quorum_id = fields.required("quorumId", scalar::plain_text(1, QUORUM_ID_CHARACTERS_MAX));
        let display_name = fields.optional("displayName", scalar::plain_text(1, 50));
        let p256_public_key = fields.optional("p256PublicKey", member_key);
        Some(Self { quorum_id: quorum_id?, display_name, p256_public_key })
    }
}

/// A quorum to be made at Privy, or the configured one.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegisterPrivyQuorumDto {
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    kind: QuorumType,
    /// Whether the configured quorum is meant; then the next two are ignored. Default false.
    #[schema(value_type = Option<bool>)]
    nava_agent: bool,
    #[schema(min_length = 1, max_length = 50, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    display_name: Option<String>,
    #[schema(value_type = Option<shapes::MemberKey>)]
    p256_public_key: Option<MemberKey>,
    #[schema(max_length = 500, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    message: Option<String>,
}

impl Wire for RegisterPrivyQuorumDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let kind = fields.required("type", scalar::choice(&TYPES));
        let nava_agent = fields.optional("navaAgent", scalar::boolean).unwrap_or(false);
        let is_needed = kind.is_some() && !nava_agent;
        for name in ["displayName", "p256PublicKey"] {
            if is_needed && !fields.has(name) {
                fields.fault(format!("{name} is required unless navaAgent is true"));
            }
        }
        let display_name = fields.optional("displayName", scalar::plain_text(1, 50));
        let p256_public_key = if nava_agent {
            // Ignored, whatever key it is; its form is still the described one.
            fields.optional("p256PublicKey", scalar::prose(PEM_CHARACTERS_MAX));
            None
        } else {
            fields.optional("p256PublicKey", member_key)
        };
        let message = fields.optional("message", scalar::prose(500));
        Some(Self { kind: kind?, nava_agent, display_name, p256_public_key, message })
    }
}

/// An arbiter quorum for a user.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateQuorumDto {
    #[schema(min_length = 1, max_length = 50, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    display_name: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: Address,
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    privy_user_id: String,
}

impl Wire for CreateQuorumDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let display_name = fields.required("displayName", scalar::plain_text(1, 50));
        let ethereum_address = fields.required("ethereumAddress", scalar::address);
        let privy_user_id = fields.required("privyUserId", scalar::plain_text(1, 128));
        Some(Self {
            display_name: display_name?,
            ethereum_address: ethereum_address?,
            privy_user_id: privy_user_id?,
        })
    }
}

fn member_key(json: &Json) -> Result<MemberKey, String> {
    let text = scalar::prose(PEM_CHARACTERS_MAX)(json)?;
    MemberKey::from_pem(&text).map_err(|_| "must be a P-256 public key as SPKI in PEM".to_owned())
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrivyQuorumResponse {
    #[schema(format = "uuid")]
    id: String,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::QuorumType)]
    kind: &'static str,
    /// Privy's id.
    quorum_id: String,
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::MemberKey>)]
    p256_public_key: Option<String>,
    #[schema(minimum = 1)]
    authorization_threshold: u32,
    is_static: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

impl PrivyQuorumResponse {
    pub(crate) fn of(quorum: &PrivyQuorum) -> Self {
        Self {
            id: quorum.id.to_string(),
            kind: quorum.kind.as_str(),
            quorum_id: quorum.quorum_id.clone(),
            display_name: quorum.display_name.clone(),
            p256_public_key: quorum.public_key_pem.clone(),
            authorization_threshold: quorum.authorization_threshold,
            is_static: quorum.is_static,
            message: quorum.message.clone(),
            created_at: presentation::time(quorum.created_at),
            updated_at: presentation::time(quorum.updated_at),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedResponse {
    deleted: bool,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    kind: &'static str,
}

/// Sets or replaces the stored reference; Privy is not asked.
#[utoipa::path(
    put,
    path = "/settings/privy-quorum/{type}",
    tag = "Privy Quorum Management",
    params(("type" = inline(shapes::VendorRole), Path)),
    request_body = UpdatePrivyQuorumDto,
    responses((status = 200, body = PrivyQuorumResponse))
)]
pub(crate) async fn update_privy_quorum(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<PrivyQuorumResponse> {
    let kind = call.path("type", quorum_type)?;
    let UpdatePrivyQuorumDto { quorum_id, display_name, p256_public_key } = call.body()?;
    let public_key_pem = p256_public_key.map(|key| key.pem().to_owned());
    let request = SetQuorum { owner: owner(&call.ctx)?, kind, quorum_id, display_name, public_key_pem };
    let quorum = quorums::set_quorum(&call.ctx, &app.services, request).await?;
    Ok(ok(PrivyQuorumResponse::of(&quorum)))
}

/// The stored reference of a type.
#[utoipa::path(
    get,
    path = "/settings/privy-quorum/{type}",
    tag = "Privy Quorum Management",
    params(("type" = inline(shapes::VendorRole), Path)),
    responses((status = 200, body = PrivyQuorumResponse))
)]
pub(crate) async fn get_privy_quorum(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<PrivyQuorumResponse> {
    let kind = call.path("type", quorum_type)?;
    let quorum = quorums::require_quorum(&call.ctx, &app.services, owner(&call.ctx)?, kind).await?;
    Ok(ok(PrivyQuorumResponse::of(&quorum)))
}

/// Forgets the stored reference. Nothing is deleted at Privy.
#[utoipa::path(
    delete,
    path = "/settings/privy-quorum/{type}",
    tag = "Privy Quorum Management",
    params(("type" = inline(shapes::VendorRole), Path)),
    responses((status = 200, body = DeletedResponse))
)]
pub(crate) async fn delete_privy_quorum(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<DeletedResponse> {
    let kind = call.path("type", quorum_type)?;
    quorums::delete_quorum(&call.ctx, &app.services, owner(&call.ctx)?, kind).await?;
    Ok(ok(DeletedResponse { deleted: true, kind: kind.as_str() }))
}

/// Makes a key quorum at Privy with the given key as its member, or takes the configured one.
#[utoipa::path(
    post,
    path = "/settings/register-privy-quorum",
    tag = "Privy Quorum Management",
    request_body = RegisterPrivyQuorumDto,
    responses((status = 201, body = PrivyQuorumResponse))
)]
pub(crate) async fn register_privy_quorum(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<PrivyQuorumResponse> {
    let RegisterPrivyQuorumDto { kind, nava_agent, display_name, p256_public_key, message } = call.body()?;
    let member = match (nava_agent, display_name, p256_public_key) {
        (false, Some(display_name), Some(key)) => Some(QuorumMember { display_name, key }),
        _ => None,
    };
    let request = RegisterQuorum { owner: owner(&call.ctx)?, kind, member, message };
    let quorum = quorums::register_quorum(&call.ctx, &app.services, request).await?;
    Ok(created(PrivyQuorumResponse::of(&quorum)))
}

/// Makes a key quorum at Privy of the configured arbiter key and the user.
#[utoipa::path(
    post,
    path = "/privy-quorum",
    tag = "Privy Quorum",
    request_body = CreateQuorumDto,
    responses((status = 201, body = PrivyQuorumResponse))
)]
pub(crate) async fn create_quorum(State(app): State<Arc<App>>, call: Call) -> Answered<PrivyQuorumResponse> {
    let CreateQuorumDto { display_name, ethereum_address, privy_user_id } = call.body()?;
    let request = CreateArbiterQuorum { ethereum_address, display_name, privy_user_id };
    let quorum = quorums::create_arbiter_quorum(&call.ctx, &app.services, request).await?;
    Ok(created(PrivyQuorumResponse::of(&quorum)))
}

fn quorum_type(text: &str) -> Result<QuorumType, String> {
    let found = TYPES.iter().find(|(word, _)| *word == text);
    found.map(|(_, kind)| *kind).ok_or_else(|| "must be execution or agent".to_owned())
}

fn owner(ctx: &OpCtx) -> Result<PrincipalId, Failure> {
    ctx.principal().ok_or(Failure::CredentialMissing)
}
