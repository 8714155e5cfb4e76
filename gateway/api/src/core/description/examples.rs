//! One example for each body, of one story: a user, their transactions, and what is said about them.

mod requests;
mod responses;

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, OpenApi, RefOr,
    example::Example,
    schema::{ArrayItems, Schema},
};

pub(super) const REQUEST_ID: &str = "019b8d2e-5c3a-7f10-9b64-2d1e8a7c4f03";

const WALLET: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ESCROW: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const RECIPIENT: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const REQUEST_HASH: &str = "0x7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069";
const TRANSACTION_HASH: &str = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";
/// Of the user over the request hash.
const SIGNATURE: &str = "0xab6438b17b9ed9d60120cdc4c250be9ce06d5e72181ccd3d9284947667f731181a868cb5125ec493692fec56\
                         23f230d9ed83952ad219d144f85a6195d7d243061c";
const PUBLIC_KEY: &str = include_str!("examples/public_key.asc");
const FINGERPRINT: &str = "8764F9CB949484BE5D3095869AA0872DC8FEA2B8";
const MEMBER_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoPEyNDFKXQLnA3+Pm97RrzOd/Vfz\n\
    lvsDPedcvfzc07U29akwsawyKjx/X2fi4cn1jbgto5Ehau2y3UWVvrx+lg==\n\
    -----END PUBLIC KEY-----\n";
const CREATED_AT: &str = "2026-01-05T10:00:00.000Z";
const UPDATED_AT: &str = "2026-01-05T10:00:02.000Z";

/// Examples of a schema by name; most have one.
type Examples = Vec<(&'static str, Value)>;

fn one(value: Value) -> Examples {
    vec![("example", value)]
}

pub(super) fn attach(document: &mut OpenApi) {
    for operation in crate::openapi::operations(document) {
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            body.content.values_mut().for_each(show);
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.content.values_mut().for_each(show);
            }
        }
    }
}

/// Errors have theirs already.
fn show(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    if content.example.is_some() {
        return;
    }
    let mut examples = content.schema.as_ref().map(of_schema).unwrap_or_default();
    if examples.len() == 1 {
        content.example = examples.pop().map(|(_, value)| value);
        return;
    }
    let named = examples.into_iter();
    content.examples = named.map(|(name, value)| (name.to_owned(), shown(value))).collect();
}

fn shown(value: Value) -> RefOr<Example> {
    RefOr::T(Example::builder().value(Some(value)).build())
}

fn of_schema(schema: &RefOr<Schema>) -> Examples {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            requests::of(name).or_else(|| responses::of(name)).unwrap_or_default()
        }
        RefOr::T(Schema::Array(array)) => match &array.items {
            ArrayItems::RefOrSchema(items) => {
                of_schema(items).into_iter().map(|(name, value)| (name, json!([value]))).collect()
            }
            ArrayItems::False => Vec::new(),
        },
        RefOr::T(_) => one(responses::CERTIFICATE_REQUEST.into()),
    }
}
