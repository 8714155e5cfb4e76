//! What an answer leads to: links that clients and testers of sequences follow from one operation to the next.

use serde_json::{Value, json};
use utoipa::openapi::{OpenApi, RefOr, link::Link};

/// Operation, its answer's status, the operation that follows.
type Step = (&'static str, &'static str, &'static str);
/// What of the next call is taken from where: a parameter's name, or a body's member.
type Values = &'static [(&'static str, &'static str)];

const ADDRESS: Values = &[("ethereumAddress", "$response.body#/ethereumAddress")];
const HASH: Values = &[("requestHash", "$response.body#/requestHash")];
const TYPE: Values = &[("type", "$request.path.type")];
const REFRESH_TOKEN: Values = &[("refreshToken", "$response.body#/refreshToken")];

/// With parameters of the next operation.
const BY_PARAMETERS: &[(Step, Values)] = &[
    (("create_user", "201", "get_user_by_ethereum_address"), ADDRESS),
    (("create_user", "201", "get_user_transactions"), ADDRESS),
    (("create_user", "201", "get_settings_by_ethereum_address"), ADDRESS),
    (("create_user_api_key", "201", "revoke_user_api_key"), &[("apiKeyId", "$response.body#/id")]),
    (("create_transaction", "201", "create_approval"), HASH),
    (("create_transaction", "201", "get_approval_status"), HASH),
    (("create_transaction", "201", "update_tee_proof"), HASH),
    (("create_transaction", "201", "update_settlement"), HASH),
    (("create_transaction", "201", "get_user_transactions"), ADDRESS),
    (("update_privy_quorum", "200", "get_privy_quorum"), TYPE),
    (("update_privy_quorum", "200", "delete_privy_quorum"), TYPE),
    (("generate_csr", "201", "get_csr"), TYPE),
    (("generate_csr", "201", "complete_integration"), TYPE),
    (("complete_integration", "200", "get_integration_status"), TYPE),
    (("complete_integration", "200", "validate_integration"), TYPE),
    (
        ("get_all_verification_services", "200", "get_verification_service_by_id"),
        &[("id", "$response.body#/0/id")],
    ),
    (
        ("get_all_verification_services", "200", "get_verification_service_by_inbox"),
        &[("inbox", "$response.body#/0/inbox")],
    ),
    (
        ("get_all_verification_services", "200", "get_verification_service_by_pgp_public_key"),
        &[("key", "$response.body#/0/pgpFingerprint")],
    ),
];

/// With members of the next operation's body.
const BY_BODY: &[(Step, Values)] = &[
    (("verify_siwe", "200", "refresh_token"), REFRESH_TOKEN),
    (("verify_siwe", "200", "logout"), REFRESH_TOKEN),
    (("refresh_token", "200", "logout"), REFRESH_TOKEN),
    (("create_user", "201", "create_transaction"), &[("escrowAddress", "$response.body#/escrowAddress")]),
    (("create_user", "201", "create_quorum"), ADDRESS),
];

pub(super) fn attach(document: &mut OpenApi) {
    for operation in crate::openapi::operations(document) {
        let own = operation.operation_id.clone().unwrap_or_default();
        let parameters = BY_PARAMETERS.iter().map(|(step, values)| (step, by_parameters(step.2, values)));
        let bodies = BY_BODY.iter().map(|(step, values)| (step, by_body(step.2, values)));
        for ((_, status, next), link) in parameters.chain(bodies).filter(|((from, ..), _)| *from == own) {
            if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(*status) {
                response.links.insert((*next).to_owned(), RefOr::T(link));
            }
        }
    }
}

fn by_parameters(next: &str, values: Values) -> Link {
    let link = Link::builder().operation_id(next);
    values.iter().fold(link, |link, (name, source)| link.parameter(*name, *source)).build()
}

fn by_body(next: &str, values: Values) -> Link {
    let members = values.iter().map(|(name, source)| ((*name).to_owned(), json!(source))).collect();
    Link::builder().operation_id(next).request_body(Some(Value::Object(members))).build()
}
