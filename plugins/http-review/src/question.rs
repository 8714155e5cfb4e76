//! What the service is told.

use countersign_plugin::Verified;
use serde::Serialize;

/// What the gateway verified; nothing that the client claims.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    organization: &'a str,
    transaction_id: &'a str,
    chain: &'a str,
    kind: &'a str,
    sender: &'a str,
    recipient: Option<&'a str>,
    value: &'a str,
    function: Option<&'a str>,
}

pub(crate) fn body(verified: &Verified) -> Vec<u8> {
    let question = Question {
        organization: &verified.organization_id,
        transaction_id: &verified.transaction_id,
        chain: &verified.chain,
        kind: &verified.kind,
        sender: &verified.sender,
        recipient: verified.recipient.as_deref(),
        value: &verified.value,
        function: verified.call.as_ref().and_then(|call| call.function.as_deref()),
    };
    serde_json::to_vec(&question).expect("text serializes")
}
