use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{token::Token, wire};

fn token() -> Token<'static> {
    Token {
        uri: "/v1/vault/accounts_paged?limit=1",
        body: b"",
        api_key: "11111111-2222-4333-8444-555555555555",
        nonce: [7; 16],
        issued_at: 1_767_607_200,
        not_after: i64::MAX,
    }
}

fn claims(token: &Token<'_>) -> Value {
    let input = token.signing_input();
    let (_, claims) = input.split_once('.').unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[test]
fn a_token_says_exactly_what_fireblocks_reads() {
    let told = claims(&token());
    let names: BTreeSet<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["bodyHash", "exp", "iat", "nonce", "sub", "uri"]));
    assert_eq!(told["uri"], "/v1/vault/accounts_paged?limit=1");
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 29);
    assert_eq!(told["nonce"], "07070707-0707-4707-8707-070707070707");
    // SHA-256 of the empty string.
    assert_eq!(told["bodyHash"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let input = token().signing_input();
    let header = URL_SAFE_NO_PAD.decode(input.split_once('.').unwrap().0).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&header).unwrap(), json!({"alg": "RS256", "typ": "JWT"}));
}

#[test]
fn a_token_ends_with_its_permit() {
    let short = Token { not_after: 1_767_607_205, ..token() };
    assert_eq!(claims(&short)["exp"], 1_767_607_205_i64);
}

#[test]
fn answers_that_are_not_about_the_transaction_are_refused() {
    let read = |value: &Value, asked| wire::transaction(value.to_string().as_bytes(), asked);
    let good =
        json!({"id": "a-1", "status": "COMPLETED", "externalTxId": "0xab", "txHash": "0x12", "more": {}});
    let told = read(&good, Some("0xab")).unwrap();
    assert_eq!((told.id.as_str(), told.status.as_str(), told.hash), ("a-1", "COMPLETED", None));
    assert!(read(&good, Some("0xcd")).is_err());
    for bad in [
        json!([]),
        json!({"id": "", "status": "COMPLETED"}),
        json!({"id": "a b", "status": "COMPLETED"}),
        json!({"id": "x".repeat(129), "status": "COMPLETED"}),
        json!({"id": 7, "status": "COMPLETED"}),
        json!({"id": "a"}),
    ] {
        assert!(read(&bad, None).is_err(), "{bad}");
    }
    let whole = json!({
        "id": "a", "status": "SUBMITTED", "assetId": "ETH_TEST5", "source": {"type": "VAULT_ACCOUNT", "id": "0"},
        "destinationAddress": "0xab", "amount": 0.1, "amountInfo": {"amount": "0.09", "requestedAmount": "0.1"},
    });
    let told = read(&whole, None).unwrap().transfer;
    assert_eq!((told.asset.as_deref(), told.vault_account.as_deref()), (Some("ETH_TEST5"), Some("0")));
    assert_eq!((told.destination.as_deref(), told.amount.as_deref()), (Some("0xab"), Some("0.1")));
    let bare = json!({"id": "a", "status": "SUBMITTED", "destinationAddress": "", "amountInfo": {}});
    assert_eq!(read(&bare, None).unwrap().transfer, gateway_domain::vendors::ToldTransfer::default());
    let odd = read(&json!({"id": "a", "status": "completed"}), None).unwrap();
    assert_eq!(odd.status.as_str(), "UNKNOWN", "statuses are read to the letter");
}
