//! Rows of the operations that concern vendors.

use axum::http::Method;
use gateway_domain::credentials::Scope;

use super::{Callers, KeyRule, Rule, SESSIONS, SignatureRule, TokenRule};

const fn server(scope: Scope) -> Callers {
    Callers::Credentials {
        keys: Some(KeyRule { server: scope, own: None }),
        signatures: SignatureRule::Unused,
        tokens: TokenRule::Unused,
    }
}

/// Whatever is no admin key counts as no key (contract/core.md section 1.4).
const ADMINS: Callers = server(Scope::Admin);

const fn own(method: Method, path: &'static str, operation: &'static str, errors: &'static [u16]) -> Rule {
    Rule { method, path, operation, callers: SESSIONS, ends_credentials: false, errors }
}

pub(super) static TABLE: &[Rule] = &[
    own(Method::PUT, "/settings/privy-quorum/{type}", "update_privy_quorum", &[400, 401, 404]),
    own(Method::GET, "/settings/privy-quorum/{type}", "get_privy_quorum", &[400, 401, 404]),
    own(Method::DELETE, "/settings/privy-quorum/{type}", "delete_privy_quorum", &[400, 401, 404]),
    own(Method::POST, "/settings/register-privy-quorum", "register_privy_quorum", &[400, 401, 409, 502]),
    own(Method::POST, "/fireblocks/generate-csr/{type}", "generate_csr", &[400, 401, 409]),
    own(Method::GET, "/fireblocks/integration/{type}", "get_integration_status", &[400, 401, 404]),
    own(Method::GET, "/fireblocks/integrations", "get_all_integrations", &[400, 401]),
    own(Method::GET, "/fireblocks/csr/{type}", "get_csr", &[400, 401, 404]),
    own(Method::POST, "/fireblocks/complete/{type}", "complete_integration", &[400, 401, 404]),
    own(Method::POST, "/fireblocks/validate/{type}", "validate_integration", &[400, 401, 404]),
    Rule {
        method: Method::GET,
        path: "/fireblocks/config/{type}/{ethereumAddress}",
        operation: "get_fireblocks_config",
        callers: server(Scope::ReadFireblocksConfig),
        ends_credentials: false,
        errors: &[400, 401, 403, 404],
    },
    Rule {
        method: Method::POST,
        path: "/fireblocks/admin/transactions",
        operation: "create_admin_transaction",
        callers: ADMINS,
        ends_credentials: false,
        errors: &[400, 401, 403, 404, 409, 502],
    },
    Rule {
        method: Method::POST,
        path: "/privy-quorum",
        operation: "create_quorum",
        callers: server(Scope::CreateQuorums),
        ends_credentials: false,
        errors: &[400, 401, 403, 409, 502],
    },
];
