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
    (
        "ethereumSignature",
        "x-ethereum-signature",
        "65 bytes as 0x and hexadecimal digits, over the request or, where an expiry is given, over the approval.",
    ),
    ("ethereumTimestamp", "x-ethereum-timestamp", "When the request was signed, in seconds since 1970."),
    ("ethereumExpires", "x-ethereum-expires", "Until when a signed approval holds, in seconds since 1970."),
];

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
