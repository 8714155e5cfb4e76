//! The OpenAPI document against the contract's rows, and the pages that show it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api::openapi::{Family, openapi};
use serde_json::Value;

use crate::world::World;

/// Rows of the contract's list of operations that this build serves: method, path, operation id, success status,
/// error statuses. In the contract's own order.
const ROWS: &[(&str, &str, &str, u16, &[u16])] = &[
    ("GET", "/", "get_hello", 200, &[500]),
    ("GET", "/health", "health_check", 200, &[500, 503]),
    ("POST", "/auth/siwe/nonce", "generate_nonce", 200, &[400, 429, 500]),
    ("POST", "/auth/siwe/verify", "verify_siwe", 200, &[400, 401, 500]),
    ("POST", "/auth/refresh", "refresh_token", 200, &[400, 401, 500]),
    ("POST", "/auth/logout", "logout", 204, &[400, 401, 500]),
    ("POST", "/auth/logout-all", "logout_all", 204, &[401, 500]),
    ("GET", "/auth/validate", "validate_token", 200, &[401, 500]),
    ("GET", "/auth/me", "get_current_user", 200, &[401, 404, 500]),
    ("POST", "/users", "create_user", 201, &[400, 401, 409, 500]),
    ("GET", "/users/{ethereumAddress}", "get_user_by_ethereum_address", 200, &[400, 401, 404, 500]),
    ("POST", "/user-api-keys", "create_user_api_key", 201, &[400, 401, 500]),
    ("GET", "/user-api-keys", "list_user_api_keys", 200, &[401, 500]),
    ("DELETE", "/user-api-keys/{apiKeyId}", "revoke_user_api_key", 200, &[401, 404, 500]),
    ("GET", "/settings", "get_settings", 200, &[401, 500]),
    ("PUT", "/settings", "update_settings", 200, &[400, 401, 500]),
    (
        "GET",
        "/settings/by-ethereum/{ethereumAddress}",
        "get_settings_by_ethereum_address",
        200,
        &[400, 401, 403, 404, 500],
    ),
    (
        "GET",
        "/transactions/users/{ethereumAddress}",
        "get_user_transactions",
        200,
        &[400, 401, 403, 404, 500],
    ),
    ("POST", "/transactions", "create_transaction", 201, &[400, 401, 403, 409, 500, 502]),
    (
        "POST",
        "/transactions/{requestHash}/approvals",
        "create_approval",
        201,
        &[400, 401, 403, 404, 409, 500],
    ),
    ("GET", "/transactions/{requestHash}/approval-status", "get_approval_status", 200, &[401, 404, 500]),
    ("PUT", "/settings/privy-quorum/{type}", "update_privy_quorum", 200, &[400, 401, 404, 500]),
    ("GET", "/settings/privy-quorum/{type}", "get_privy_quorum", 200, &[400, 401, 404, 500]),
    ("DELETE", "/settings/privy-quorum/{type}", "delete_privy_quorum", 200, &[400, 401, 404, 500]),
    ("POST", "/settings/register-privy-quorum", "register_privy_quorum", 201, &[400, 401, 409, 500, 502]),
    ("POST", "/fireblocks/generate-csr/{type}", "generate_csr", 201, &[400, 401, 409, 500]),
    ("GET", "/fireblocks/integration/{type}", "get_integration_status", 200, &[400, 401, 404, 500]),
    ("GET", "/fireblocks/integrations", "get_all_integrations", 200, &[401, 500]),
    ("GET", "/fireblocks/csr/{type}", "get_csr", 200, &[400, 401, 404, 500]),
    ("POST", "/fireblocks/complete/{type}", "complete_integration", 200, &[400, 401, 404, 500]),
    ("POST", "/fireblocks/validate/{type}", "validate_integration", 200, &[400, 401, 404, 500]),
    (
        "GET",
        "/fireblocks/config/{type}/{ethereumAddress}",
        "get_fireblocks_config",
        200,
        &[400, 401, 403, 404, 500],
    ),
    (
        "POST",
        "/fireblocks/admin/transactions",
        "create_admin_transaction",
        201,
        &[400, 401, 404, 409, 500, 502],
    ),
    ("POST", "/privy-quorum", "create_quorum", 201, &[400, 401, 403, 409, 500, 502]),
    ("GET", "/user-api-keys/profile", "get_user_profile", 200, &[401, 404, 500]),
    ("POST", "/user-api-keys/register", "register_encryption_keys", 201, &[400, 401, 409, 500]),
    ("GET", "/verification-services", "get_all_verification_services", 200, &[500]),
    ("GET", "/verification-services/active", "get_active_verification_services", 200, &[500]),
    ("GET", "/verification-services/{id}", "get_verification_service_by_id", 200, &[400, 404, 500]),
    (
        "GET",
        "/verification-services/inbox/{inbox}",
        "get_verification_service_by_inbox",
        200,
        &[400, 404, 500],
    ),
    (
        "GET",
        "/verification-services/pgp-public-key/{key}",
        "get_verification_service_by_pgp_public_key",
        200,
        &[400, 404, 500],
    ),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/tee-proof",
        "update_tee_proof",
        200,
        &[400, 401, 403, 404, 500],
    ),
    (
        "PATCH",
        "/internal/orion-metadata/{requestHash}/settlement",
        "update_settlement",
        200,
        &[400, 401, 403, 404, 409, 500],
    ),
];

/// Apply to every operation, whatever its row says.
const EVERYWHERE: [u16; 6] = [405, 408, 413, 415, 429, 503];
/// Said by the text of the contract and not by the row: a bad path parameter, and a key without the scope.
const BY_TEXT: [u16; 2] = [400, 403];
/// Said by the text about one operation.
const BY_TEXT_OF: &[(&str, u16)] = &[("update_settings", 409)];

fn document() -> Value {
    serde_json::from_str(&openapi(Family::Core)).unwrap()
}

#[test]
fn operations_are_those_of_the_contract() {
    let document = document();
    let mut described = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    let rows: BTreeSet<_> =
        ROWS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), rows);
    for (method, path, id, success, errors) in ROWS {
        let operation = &described[&((*method).to_owned(), (*path).to_owned())];
        assert_eq!(operation["operationId"], *id);
        let statuses: BTreeSet<u16> = operation["responses"]
            .as_object()
            .unwrap()
            .keys()
            .map(|status| status.parse().unwrap())
            .collect();
        let mut least: BTreeSet<u16> = errors.iter().copied().chain(EVERYWHERE).collect();
        least.insert(*success);
        let missing: Vec<_> = least.difference(&statuses).collect();
        assert!(missing.is_empty(), "{method} {path} does not describe {missing:?}");
        let surplus: Vec<_> = statuses
            .difference(&least)
            .filter(|status| !BY_TEXT.contains(status) && !BY_TEXT_OF.contains(&(*id, **status)))
            .collect();
        assert!(
            surplus.is_empty(),
            "{method} {path} describes {surplus:?}, which the contract does not have"
        );
    }
}

#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_snapshot!("openapi_core", openapi(Family::Core));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_its_page_are_open_and_self_contained() {
    let world = World::new().await;
    let served = world.get("/openapi/core.json").send().await;
    assert_eq!(served.text, openapi(Family::Core));
    assert!(document()["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = world.get("/docs").send().await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    for (method, path, ..) in ROWS {
        assert!(page.text.contains(&format!("{method} {path}")), "{method} {path} is not on the page");
    }
    assert!(!page.text.contains("http:") && !page.text.contains("https:") && !page.text.contains("<script"));
}
