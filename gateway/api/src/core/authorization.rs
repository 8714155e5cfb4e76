//! Who may call what: the one table. Every operation of the family has a row; a handler without one answers
//! nobody, and what a row grants is handed to the handler as a [`Reach`].

use axum::http::Method;
use gateway_domain::{Address, Error, OpCtx, actor::Actor, credentials::Scope, ids::PrincipalId};

use crate::failure::Failure;

mod vendors;

/// One operation and its callers.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) method: Method,
    /// Route template.
    pub(crate) path: &'static str,
    /// `operation_id` of the contract.
    pub(crate) operation: &'static str,
    pub(crate) callers: Callers,
    /// Whether it ends sessions or keys of its caller, and nothing else.
    pub(crate) ends_credentials: bool,
    /// Error statuses beside [`COMMON_ERRORS`] and [`RECEIVING_ERRORS`].
    pub(crate) errors: &'static [u16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Anybody; no credential is looked at.
    Everybody,
    /// As `Everybody`, at a rate of its own for each operation and source: what strangers log in with.
    Strangers,
    /// Verification services: an orion key, or the internal token.
    Internal,
    /// Methods that a row does not use are ignored.
    Credentials { keys: Option<KeyRule>, signatures: SignatureRule, tokens: TokenRule },
}

/// What an API key must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRule {
    /// Reaches the whole organization.
    pub(crate) server: Scope,
    /// Reaches what belongs to the key's owner.
    pub(crate) own: Option<Scope>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureRule {
    Unused,
    /// Proven, and then refused: the operation is for API keys.
    Refused,
    /// Reaches what belongs to the signer. Forms 1 and 2.
    Request,
    /// As `Request`, and form 3.
    RequestOrApproval,
}

/// What an access token (`Authorization: Bearer`) is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRule {
    Unused,
    /// Proven, and then refused: the operation is for API keys.
    Refused,
    /// Reaches what belongs to the session's user.
    Own,
}

/// How far a caller's authority goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Nobody,
    /// Everything in the caller's organization.
    Organization,
    /// What belongs to this principal.
    Principal(PrincipalId),
    /// What belongs to this wallet, which may not be enrolled.
    Wallet {
        address: Address,
        principal: Option<PrincipalId>,
    },
}

const fn keys(server: Scope) -> KeyRule {
    KeyRule { server, own: None }
}

const fn own_keys(server: Scope, own: Scope) -> KeyRule {
    KeyRule { server, own: Some(own) }
}

/// Operations for people who have logged in.
const SESSIONS: Callers =
    Callers::Credentials { keys: None, signatures: SignatureRule::Unused, tokens: TokenRule::Own };

const KEY_REQUIRED: Error = Error::Forbidden("an API key is required");

/// Statuses that every operation may answer with, whatever its row says.
pub(crate) const COMMON_ERRORS: [u16; 5] = [414, 429, 431, 500, 503];

/// The same of operations that receive a body, be it to throw it away.
pub(crate) const RECEIVING_ERRORS: [u16; 3] = [400, 408, 413];

/// Every row.
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().chain(vendors::TABLE)
}

static TABLE: &[Rule] = &[
    Rule {
        method: Method::GET,
        path: "/",
        operation: "get_hello",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[],
    },
    Rule {
        method: Method::GET,
        path: "/health",
        operation: "health_check",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[],
    },
    Rule {
        method: Method::GET,
        path: "/verification-services",
        operation: "get_all_verification_services",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[],
    },
    Rule {
        method: Method::GET,
        path: "/verification-services/active",
        operation: "get_active_verification_services",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[],
    },
    Rule {
        method: Method::GET,
        path: "/verification-services/{id}",
        operation: "get_verification_service_by_id",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[400, 404],
    },
    Rule {
        method: Method::GET,
        path: "/verification-services/inbox/{inbox}",
        operation: "get_verification_service_by_inbox",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[400, 404],
    },
    Rule {
        method: Method::GET,
        path: "/verification-services/pgp-public-key/{key}",
        operation: "get_verification_service_by_pgp_public_key",
        callers: Callers::Everybody,
        ends_credentials: false,
        errors: &[400, 404],
    },
    Rule {
        method: Method::PATCH,
        path: "/internal/orion-metadata/{requestHash}/tee-proof",
        operation: "update_tee_proof",
        callers: Callers::Internal,
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
    Rule {
        method: Method::PATCH,
        path: "/internal/orion-metadata/{requestHash}/settlement",
        operation: "update_settlement",
        callers: Callers::Internal,
        ends_credentials: false,
        errors: &[400, 401, 403, 404, 409],
    },
    Rule {
        method: Method::POST,
        path: "/auth/siwe/nonce",
        operation: "generate_nonce",
        callers: Callers::Strangers,
        ends_credentials: false,
        errors: &[400],
    },
    Rule {
        method: Method::POST,
        path: "/auth/siwe/verify",
        operation: "verify_siwe",
        callers: Callers::Strangers,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::POST,
        path: "/auth/refresh",
        operation: "refresh_token",
        callers: Callers::Strangers,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::POST,
        path: "/auth/logout",
        operation: "logout",
        callers: Callers::Everybody,
        ends_credentials: true,
        errors: &[400, 401],
    },
    Rule {
        method: Method::POST,
        path: "/auth/logout-all",
        operation: "logout_all",
        callers: SESSIONS,
        ends_credentials: true,
        errors: &[400, 401],
    },
    Rule {
        method: Method::GET,
        path: "/auth/validate",
        operation: "validate_token",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::GET,
        path: "/auth/me",
        operation: "get_current_user",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401, 404],
    },
    Rule {
        method: Method::POST,
        path: "/user-api-keys/register",
        operation: "register_encryption_keys",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401, 409],
    },
    Rule {
        method: Method::GET,
        path: "/user-api-keys/profile",
        operation: "get_user_profile",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401, 404],
    },
    Rule {
        method: Method::POST,
        path: "/users",
        operation: "create_user",
        callers: Callers::Credentials {
            keys: Some(keys(Scope::CreateUsers)),
            signatures: SignatureRule::Request,
            tokens: TokenRule::Unused,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 409],
    },
    Rule {
        method: Method::GET,
        path: "/users/{ethereumAddress}",
        operation: "get_user_by_ethereum_address",
        callers: Callers::Credentials {
            keys: Some(keys(Scope::ReadUsers)),
            signatures: SignatureRule::Request,
            tokens: TokenRule::Unused,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
    Rule {
        method: Method::POST,
        path: "/user-api-keys",
        operation: "create_user_api_key",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::GET,
        path: "/user-api-keys",
        operation: "list_user_api_keys",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::DELETE,
        path: "/user-api-keys/{apiKeyId}",
        operation: "revoke_user_api_key",
        callers: SESSIONS,
        ends_credentials: true,
        errors: &[400, 401, 404],
    },
    Rule {
        method: Method::GET,
        path: "/settings",
        operation: "get_settings",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401],
    },
    Rule {
        method: Method::PUT,
        path: "/settings",
        operation: "update_settings",
        callers: SESSIONS,
        ends_credentials: false,
        errors: &[400, 401, 409],
    },
    Rule {
        method: Method::GET,
        path: "/settings/by-ethereum/{ethereumAddress}",
        operation: "get_settings_by_ethereum_address",
        callers: Callers::Credentials {
            keys: Some(keys(Scope::ReadUsers)),
            signatures: SignatureRule::Unused,
            tokens: TokenRule::Own,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
    Rule {
        method: Method::POST,
        path: "/transactions",
        operation: "create_transaction",
        callers: Callers::Credentials {
            keys: Some(own_keys(Scope::CreateTransactions, Scope::CreateOwnTransactions)),
            signatures: SignatureRule::Refused,
            tokens: TokenRule::Refused,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 409, 502],
    },
    Rule {
        method: Method::GET,
        path: "/transactions/users/{ethereumAddress}",
        operation: "get_user_transactions",
        callers: Callers::Credentials {
            keys: Some(own_keys(Scope::ReadTransactions, Scope::ReadOwnTransactions)),
            signatures: SignatureRule::Request,
            tokens: TokenRule::Own,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
    Rule {
        method: Method::POST,
        path: "/transactions/{requestHash}/approvals",
        operation: "create_approval",
        callers: Callers::Credentials {
            keys: Some(own_keys(Scope::ApproveTransactions, Scope::ApproveOwnTransactions)),
            signatures: SignatureRule::RequestOrApproval,
            tokens: TokenRule::Unused,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 404, 409],
    },
    Rule {
        method: Method::GET,
        path: "/transactions/{requestHash}/approval-status",
        operation: "get_approval_status",
        callers: Callers::Credentials {
            keys: Some(own_keys(Scope::ReadTransactions, Scope::ReadOwnTransactions)),
            signatures: SignatureRule::Request,
            tokens: TokenRule::Own,
        },
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
];

/// The row of a matched route. `HEAD` is `GET` without a body.
pub(crate) fn rule(method: &Method, path: &str) -> Option<&'static Rule> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    rules().find(|rule| rule.method == *method && rule.path == path)
}

impl Rule {
    /// How far the proven caller may reach here, or that it may not.
    pub(crate) fn reach(&self, ctx: &OpCtx) -> Result<Reach, Failure> {
        if self.callers == Callers::Internal {
            return internal_reach(ctx);
        }
        let Callers::Credentials { keys, signatures, tokens } = self.callers else {
            return Ok(Reach::Nobody);
        };
        match &ctx.actor {
            Actor::ApiKey(key) => {
                let keys = keys.ok_or(Error::Unauthenticated)?;
                if ctx.has_scope(keys.server) {
                    Ok(Reach::Organization)
                } else if keys.own.is_some_and(|own| ctx.has_scope(own)) {
                    Ok(Reach::Principal(key.principal))
                } else if keys.server == Scope::Admin {
                    // The seed answers a key that is not an admin's like no key at all.
                    Err(Error::Unauthenticated.into())
                } else {
                    Err(Error::Forbidden("the API key lacks the scope for this").into())
                }
            }
            Actor::Wallet(wallet) => match signatures {
                SignatureRule::Unused => Err(Error::Unauthenticated.into()),
                SignatureRule::Refused => Err(KEY_REQUIRED.into()),
                SignatureRule::Request | SignatureRule::RequestOrApproval => {
                    Ok(Reach::Wallet { address: wallet.address, principal: wallet.principal })
                }
            },
            Actor::Session(session) => match tokens {
                TokenRule::Unused => Err(Error::Unauthenticated.into()),
                TokenRule::Refused => Err(KEY_REQUIRED.into()),
                TokenRule::Own => Ok(Reach::Principal(session.principal)),
            },
            Actor::Anonymous
            | Actor::Gateway
            | Actor::InternalToken
            | Actor::Operator(_)
            | Actor::LocalOperator => Err(Error::Unauthenticated.into()),
        }
    }
}

fn internal_reach(ctx: &OpCtx) -> Result<Reach, Failure> {
    if ctx.actor == Actor::InternalToken || ctx.has_scope(Scope::WriteOrionMetadata) {
        Ok(Reach::Organization)
    } else {
        Err(Error::Forbidden("the API key lacks the scope for this").into())
    }
}

impl Reach {
    pub(crate) fn covers(self, owner: PrincipalId) -> bool {
        match self {
            Self::Organization => true,
            Self::Principal(principal) => principal == owner,
            Self::Wallet { principal, .. } => principal == Some(owner),
            Self::Nobody => false,
        }
    }
}
