//! What differs in every run, out of a reply that is compared with a snapshot.

use serde_json::Value;

const MASKS: [(&str, &str); 12] = [
    ("id", "[uuid]"),
    ("apiKeyId", "[uuid]"),
    ("transactionId", "[uuid]"),
    ("organization", "[uuid]"),
    ("requestHash", "[hash]"),
    ("intentHash", "[hash]"),
    ("executionTxHash", "[hash]"),
    ("signature", "[signature]"),
    ("createdAt", "[time]"),
    ("updatedAt", "[time]"),
    ("requestId", "[id]"),
    ("uptimeSeconds", "[seconds]"),
];

pub(crate) fn masked(mut reply: Value) -> Value {
    mask(&mut reply);
    reply
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match MASKS.iter().find(|(masked, _)| masked == name) {
                    Some((_, text)) => *field = Value::from(*text),
                    None => mask(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}
