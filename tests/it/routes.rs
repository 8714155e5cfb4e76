//! Every operation of the first slice is documented as the contract lists it.

use anyhow::Result;
use countersign_tests::client::Credential;
use serde_json::Value;

use crate::stand::Stand;

/// Method, path, operation, success, errors that the contract names for it.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const FIRST_SLICE: &[Row] = &[
    ("get", "/", "get_hello", "200", &["500"]),
    ("get", "/health", "health_check", "200", &["500", "503"]),
    ("post", "/users", "create_user", "201", &["400", "401", "409", "500"]),
    ("get", "/users/{ethereumAddress}", "get_user_by_ethereum_address", "200", &["400", "401", "404", "500"]),
    (
        "get",
        "/transactions/users/{ethereumAddress}",
        "get_user_transactions",
        "200",
        &["400", "401", "403", "404", "500"],
    ),
    ("post", "/transactions", "create_transaction", "201", &["400", "401", "403", "409", "500"]),
    (
        "post",
        "/transactions/{requestHash}/approvals",
        "create_approval",
        "201",
        &["400", "401", "403", "404", "409", "500"],
    ),
    (
        "get",
        "/transactions/{requestHash}/approval-status",
        "get_approval_status",
        "200",
        &["401", "404", "500"],
    ),
];

#[tokio::test]
async fn the_document_lists_the_contracts_operations() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let document = gateway.client().get("/openapi/core.json", Credential::Nobody).await?.expect(200)?;
    for (method, path, operation, success, errors) in FIRST_SLICE {
        let described = &document["paths"][path][method];
        assert_eq!(described["operationId"], *operation, "{method} {path}");
        let Value::Object(responses) = &described["responses"] else {
            panic!("{operation} lists no responses")
        };
        for status in std::iter::once(success).chain(*errors) {
            assert!(responses.contains_key(*status), "{operation} does not list {status}");
        }
    }
    Ok(())
}
