//! Users.

use std::sync::Arc;

use axum::extract::State;
use gateway_domain::{
    Address, Error,
    identity::{CreateUser, User, create_user as create, require_user},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answered, created, ok},
    core::{authorization::Reach, call::Call, shapes},
    extract::{Fields, Wire, scalar},
    failure::Failure,
    layers::{REGISTRATIONS, Source},
    presentation,
    state::App,
};

/// A user to be enrolled.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateUserDto {
    /// The wallet the user signs with.
    #[schema(value_type = shapes::Address)]
    ethereum_address: Address,
    /// An address whose key is elsewhere; absent makes an HSM key.
    #[schema(value_type = Option<shapes::Address>)]
    escrow_address: Option<Address>,
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    privy_user_id: Option<String>,
    #[schema(max_length = 100, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    display_name: Option<String>,
    #[schema(format = "email", max_length = 255, pattern = r"^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$")]
    email: Option<String>,
}

impl Wire for CreateUserDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let ethereum_address = fields.required("ethereumAddress", scalar::address);
        let escrow_address = fields.optional("escrowAddress", scalar::address);
        let privy_user_id = fields.optional("privyUserId", scalar::plain_text(1, 128));
        let display_name = fields.optional("displayName", scalar::plain_text(0, 100));
        let email = fields.optional("email", scalar::email);
        Some(Self { ethereum_address: ethereum_address?, escrow_address, privy_user_id, display_name, email })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserResponse {
    #[schema(format = "uuid")]
    id: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Address>)]
    escrow_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privy_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

impl UserResponse {
    pub(crate) fn of(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            ethereum_address: presentation::address(user.ethereum_address),
            escrow_address: user.escrow.map(|escrow| presentation::address(escrow.address())),
            privy_user_id: user.privy_user_id.clone(),
            display_name: user.display_name.clone(),
            email: user.email.clone(),
            created_at: presentation::time(user.created_at),
            updated_at: presentation::time(user.updated_at),
        }
    }
}

/// Enrols a user, with an escrow key made in the HSM unless an escrow address is named.
#[utoipa::path(
    post,
    path = "/users",
    tag = "User Management",
    request_body = CreateUserDto,
    responses((status = 201, body = UserResponse))
)]
pub(crate) async fn create_user(State(app): State<Arc<App>>, call: Call) -> Answered<UserResponse> {
    let CreateUserDto { ethereum_address, escrow_address, privy_user_id, display_name, email } =
        call.body()?;
    if let Reach::Wallet { address, .. } = call.reach {
        if address != ethereum_address {
            return Err(Failure::invalid("ethereumAddress must be the address that signed the request"));
        }
        app.rates.registrations.take(REGISTRATIONS, Source(call.ctx.source).bucket()).await?;
    }
    let request = CreateUser { ethereum_address, escrow_address, privy_user_id, display_name, email };
    let user = create(&call.ctx, &app.services, request).await?;
    Ok(created(UserResponse::of(&user)))
}

/// The user with this wallet. A wallet sees itself only.
#[utoipa::path(
    get,
    path = "/users/{ethereumAddress}",
    tag = "User Management",
    params(("ethereumAddress" = inline(shapes::Address), Path)),
    responses((status = 200, body = UserResponse))
)]
pub(crate) async fn get_user_by_ethereum_address(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<UserResponse> {
    let address = call.path("ethereumAddress", scalar::address_text)?;
    let user = require_user(&app.services, call.ctx.organization, address).await?;
    if !call.reach.covers(user.id) {
        return Err(Error::NotFound("user").into());
    }
    Ok(ok(UserResponse::of(&user)))
}
