//! Logging in with a wallet, and what a session can do about itself.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use gateway_domain::{
    Address, Error, OpCtx,
    chain::ChainId,
    identity::user_at_login,
    sessions::{
        RefreshToken, TokenPair, end_every_session, end_session, issue_nonce, open_session, refresh_session,
    },
};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{
    answer::{Answered, ok},
    auth::{SIGNATURE_BYTES, WALLET_SIGNATURE_BYTES_MAX, authenticate_sign_in, takes_chain},
    core::{call::Call, shapes, users::UserResponse},
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const MESSAGE_CHARACTERS_MAX: usize = 4096;
const REFRESH_TOKEN_CHARACTERS_MAX: usize = 4096;

/// For whom a nonce is; an empty object is fine.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GenerateNonceDto {
    /// The wallet that will log in; the nonce is then good for no other.
    #[schema(value_type = Option<shapes::Address>)]
    ethereum_address: Option<Address>,
    /// The `Chain ID` of the message; refused early if logins on it are not taken.
    #[schema(value_type = Option<shapes::ChainId>)]
    chain_id: Option<u64>,
}

impl Wire for GenerateNonceDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let ethereum_address = fields.optional("ethereumAddress", scalar::address);
        let chain_id = fields.optional("chainId", scalar::chain).map(ChainId::number);
        Some(Self { ethereum_address, chain_id })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NonceResponse {
    #[schema(pattern = "^[0-9A-Za-z]{32}$")]
    nonce: String,
    #[schema(format = "date-time")]
    issued_at: String,
    #[schema(format = "date-time")]
    expires_at: String,
}

/// A signed ERC-4361 message.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VerifySiweDto {
    #[schema(max_length = 4096, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    message: String,
    /// `personal_sign` (ERC-191) over the message.
    #[schema(value_type = shapes::WalletSignature)]
    signature: Vec<u8>,
}

impl Wire for VerifySiweDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let message = fields.required("message", scalar::prose(MESSAGE_CHARACTERS_MAX));
        let signature = fields.required("signature", scalar::bytes(WALLET_SIGNATURE_BYTES_MAX));
        Some(Self { message: message?, signature: signature? })
    }
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshTokenDto {
    #[schema(value_type = String, max_length = 4096)]
    refresh_token: Zeroizing<String>,
}

impl Wire for RefreshTokenDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let refresh_token = fields.required("refreshToken", |json| {
            let text = scalar::text(json)?;
            if text.len() > REFRESH_TOKEN_CHARACTERS_MAX {
                return Err(format!("must have at most {REFRESH_TOKEN_CHARACTERS_MAX} characters"));
            }
            Ok(Zeroizing::new(text.to_owned()))
        });
        Some(Self { refresh_token: refresh_token? })
    }
}

impl RefreshTokenDto {
    /// One of another shape is unknown like any other.
    fn token(&self) -> Result<RefreshToken, Failure> {
        RefreshToken::parse(&self.refresh_token).map_err(|_| Error::Unauthenticated.into())
    }
}

/// A pair of tokens. The refresh token is good for one exchange.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenResponse {
    access_token: String,
    refresh_token: String,
    #[schema(value_type = shapes::TokenType)]
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// Seconds.
    refresh_expires_in: u64,
    user: UserResponse,
}

impl TokenResponse {
    fn of(app: &App, pair: &TokenPair) -> Self {
        let limits = &app.services.sessions.limits;
        Self {
            access_token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.reveal().to_string(),
            token_type: "Bearer",
            expires_in: limits.access_token_ttl.as_secs(),
            refresh_expires_in: limits.refresh_token_ttl.as_secs(),
            user: UserResponse::of(&pair.user),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidateTokenResponse {
    valid: bool,
    #[schema(format = "uuid")]
    user_id: String,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    #[schema(format = "uuid")]
    session_id: String,
    /// When the access token ends.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// A nonce for one login. Nothing is stored until it is used.
#[utoipa::path(
    post,
    path = "/auth/siwe/nonce",
    tag = "SIWE",
    request_body = GenerateNonceDto,
    responses((status = 200, body = NonceResponse))
)]
pub(crate) async fn generate_nonce(State(app): State<Arc<App>>, call: Call) -> Answered<NonceResponse> {
    let GenerateNonceDto { ethereum_address, chain_id } = call.body()?;
    if chain_id.is_some_and(|chain_id| !takes_chain(&app.services, &app.config.siwe, chain_id)) {
        return Err(Failure::invalid("chainId must be one that logins are taken for"));
    }
    let issued = issue_nonce(&call.ctx, &app.services, ethereum_address);
    Ok(ok(NonceResponse {
        nonce: issued.text,
        issued_at: presentation::time(issued.issued_at),
        expires_at: presentation::time(issued.expires_at),
    }))
}

/// Logs a wallet in. An unknown one becomes a user, without a key until one is needed.
#[utoipa::path(
    post,
    path = "/auth/siwe/verify",
    tag = "SIWE",
    request_body = VerifySiweDto,
    responses((status = 200, body = TokenResponse))
)]
pub(crate) async fn verify_siwe(State(app): State<Arc<App>>, call: Call) -> Answered<TokenResponse> {
    let body: VerifySiweDto = call.body()?;
    let pair = call.charged(log_in(&app, &call.ctx, &body).await).await?;
    Ok(ok(TokenResponse::of(&app, &pair)))
}

async fn log_in(app: &App, ctx: &OpCtx, body: &VerifySiweDto) -> Result<TokenPair, Failure> {
    let (services, siwe) = (&app.services, &app.config.siwe);
    let contracts = services.contract_accounts.as_ref();
    let bytes_max = contracts.map_or(SIGNATURE_BYTES, |accounts| accounts.signature_bytes_max());
    if !(SIGNATURE_BYTES..=bytes_max).contains(&body.signature.len()) {
        return Err(Failure::invalid(match contracts {
            None => format!("signature must be {SIGNATURE_BYTES} bytes"),
            Some(_) => format!("signature must be {SIGNATURE_BYTES} to {bytes_max} bytes"),
        }));
    }
    let proven = authenticate_sign_in(ctx, services, siwe, &body.message, &body.signature).await?;
    let user = user_at_login(ctx, services, proven.address, proven.wallet_epoch).await?;
    Ok(open_session(ctx, services, user).await?)
}

/// Exchanges a refresh token for a new pair. One that was exchanged before ends the whole session.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "Token Management",
    request_body = RefreshTokenDto,
    responses((status = 200, body = TokenResponse))
)]
pub(crate) async fn refresh_token(State(app): State<Arc<App>>, call: Call) -> Answered<TokenResponse> {
    let body: RefreshTokenDto = call.body()?;
    let refreshed = async { Ok(refresh_session(&call.ctx, &app.services, &body.token()?).await?) };
    let pair = call.charged(refreshed.await).await?;
    Ok(ok(TokenResponse::of(&app, &pair)))
}

/// Ends the session of a refresh token; its access tokens stop at once.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "Token Management",
    request_body = RefreshTokenDto,
    responses((status = 204))
)]
pub(crate) async fn logout(State(app): State<Arc<App>>, call: Call) -> Result<StatusCode, Failure> {
    let body: RefreshTokenDto = call.body()?;
    let ended = async { Ok(end_session(&call.ctx, &app.services, &body.token()?).await?) };
    call.charged(ended.await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session of the user.
#[utoipa::path(post, path = "/auth/logout-all", tag = "Token Management", responses((status = 204)))]
pub(crate) async fn logout_all(State(app): State<Arc<App>>, call: Call) -> Result<StatusCode, Failure> {
    end_every_session(&call.ctx, &app.services, call.session()?.principal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells whose the access token is.
#[utoipa::path(
    get,
    path = "/auth/validate",
    tag = "User Information",
    responses((status = 200, body = ValidateTokenResponse))
)]
pub(crate) async fn validate_token(call: Call) -> Answered<ValidateTokenResponse> {
    let session = call.session()?;
    Ok(ok(ValidateTokenResponse {
        valid: true,
        user_id: session.principal.to_string(),
        ethereum_address: presentation::address(session.address),
        session_id: session.session.to_string(),
        expires_at: presentation::time(session.expires_at),
    }))
}

/// The user who has logged in.
#[utoipa::path(
    get,
    path = "/auth/me",
    tag = "User Information",
    responses((status = 200, body = UserResponse))
)]
pub(crate) async fn get_current_user(State(app): State<Arc<App>>, call: Call) -> Answered<UserResponse> {
    let found = app.services.store.user(call.ctx.organization, call.session()?.principal).await?;
    let user = found.ok_or(Failure::Domain(Error::NotFound("user")))?;
    Ok(ok(UserResponse::of(&user)))
}
