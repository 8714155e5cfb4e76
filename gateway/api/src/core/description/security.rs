//! How callers prove who they are, operation by operation.

use utoipa::openapi::{
    Components,
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use crate::core::authorization::{Callers, Rule, SignatureRule, TokenRule};

const HEADERS: [(&str, &str, &str); 6] = [
    ("apiKey", "x-api-key", "A key of a user or a server."),
    ("internalToken", "x-internal-token", "The token of this installation's verification service."),
    ("ethereumAddress", "x-ethereum-address", "The wallet that signed."),
    ("ethereumSignature", "x-ethereum-signature", SIGNATURE),
    (
        "ethereumTimestamp",
        "x-ethereum-timestamp",
        "With forms 1 and 2: when the request was signed, in seconds since 1970; within the configured window, 300 s unless told otherwise. \
         A signed request has one effect.",
    ),
    (
        "ethereumExpires",
        "x-ethereum-expires",
        "With form 3, instead of a timestamp: the `expires` that was signed, in seconds since 1970.",
    ),
];

/// contract/core.md section 1.3.
const SIGNATURE: &str = "\
    r, s in the lower half, and v (27, 28, 0 or 1): 65 bytes as 0x and hexadecimal digits, over one of three forms.\n\n\
    1. `personal_sign` (ERC-191) of the text whose lines, joined by LF, are `gateway-core-v1`, the gateway's public \
    origin, the method, the path with its query as sent, the SHA-256 of the body in lower-case hexadecimal digits, and \
    the value of `x-ethereum-timestamp`.\n\
    2. EIP-712 typed data in the domain `{name: \"gateway-core\", version: \"1\", chainId}` with the gateway's first \
    chain: `Request(string origin,string method,string path,bytes32 bodyHash,uint256 timestamp)`.\n\
    3. For approvals only, and preferred there: typed data in the same domain, \
    `Approval(string origin,string organization,string transactionId,bytes32 requestHash,bytes32 intentHash,\
    bool approved,uint256 expires)`. Organization, transaction and hashes are told by the approval's status; `approved` \
    is the body's, and `expires` is sent in `x-ethereum-expires`. It is evidence of level `signed`, the others of level \
    `request`.";

pub(super) fn add_schemes(components: &mut Components) {
    for (name, header, about) in HEADERS {
        let value = ApiKeyValue::with_description(header, about);
        components.add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Header(value)));
    }
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    components.add_security_scheme("accessToken", SecurityScheme::Http(bearer.build()));
}

/// Each element is one way to authenticate.
pub(super) fn of(rule: &Rule) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    if rule.callers == Callers::Internal {
        return ["apiKey", "internalToken"].map(|way| SecurityRequirement::new(way, none)).into();
    }
    let Callers::Credentials { keys, signatures, tokens } = rule.callers else { return Vec::new() };
    let mut ways = Vec::new();
    if keys.is_some() {
        ways.push(SecurityRequirement::new("apiKey", none));
    }
    let signed = || SecurityRequirement::new("ethereumAddress", none).add("ethereumSignature", none);
    match signatures {
        SignatureRule::Unused | SignatureRule::Refused => {}
        SignatureRule::Request => ways.push(signed().add("ethereumTimestamp", none)),
        SignatureRule::RequestOrApproval => {
            ways.push(signed().add("ethereumTimestamp", none));
            ways.push(signed().add("ethereumExpires", none));
        }
    }
    if tokens == TokenRule::Own {
        ways.push(SecurityRequirement::new("accessToken", none));
    }
    ways
}
