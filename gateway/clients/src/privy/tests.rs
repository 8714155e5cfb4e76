use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use gateway_domain::{Address, B256, U256};
use serde_json::json;

use super::{answer, canonical_json, id_of, signing};
use crate::egress::Reply;

/// RFC 8785, section 3.2.3: the sample's members without its fractions.
#[test]
fn members_are_sorted_by_code_units_and_escapes_are_the_shortest() {
    let value = json!({
        "\u{20ac}": "Euro Sign",
        "\r": "Carriage Return",
        "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\u{1f600}": "Emoji: Grinning Face",
        "\u{0080}": "Control",
        "\u{00f6}": "Latin Small Letter O With Diaeresis",
    });
    let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
        \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
        \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(canonical_json(&value), expected);
    let nested = json!({"b": [1, {"d": null, "c": true}], "a": "\u{f}\n\"\\/\u{7f}"});
    assert_eq!(
        canonical_json(&nested),
        "{\"a\":\"\\u000f\\n\\\"\\\\/\u{7f}\",\"b\":[1,{\"c\":true,\"d\":null}]}"
    );
}

fn told(raw: &[u8]) -> serde_json::Value {
    json!({"method": "eth_signTransaction", "data": {"signed_transaction": format!("0x{}", hex::encode(raw))}})
}

#[test]
fn the_signature_is_read_from_every_envelope() {
    for parity in [false, true] {
        let signature = alloy_primitives::Signature::new(U256::from(7), U256::from(9), parity);
        let dynamic = TxEip1559 { chain_id: 31_337, to: Address::ZERO.into(), ..TxEip1559::default() };
        let legacy = TxLegacy { chain_id: Some(31_337), to: Address::ZERO.into(), ..TxLegacy::default() };
        let dynamic = TxEnvelope::from(dynamic.into_signed(signature)).encoded_2718();
        let legacy = TxEnvelope::from(legacy.into_signed(signature)).encoded_2718();
        for raw in [dynamic, legacy] {
            let read = signing::signature(&told(&raw)).unwrap();
            assert_eq!(read[..32], B256::from(U256::from(7))[..]);
            assert_eq!(read[32..64], B256::from(U256::from(9))[..]);
            assert_eq!(read[64], u8::from(parity));
            for cut in 0..raw.len() {
                assert!(signing::signature(&told(&raw[..cut])).is_err());
            }
        }
    }
    assert!(signing::signature(&json!({})).is_err());
    assert!(signing::signature(&json!({"data": {"signed_transaction": "02"}})).is_err());
}

#[test]
fn ids_cannot_lead_elsewhere() {
    assert_eq!(
        id_of(&json!({"id": "fmfdj6yqly31huorjqzq38zc"})).as_deref(),
        Some("fmfdj6yqly31huorjqzq38zc")
    );
    for id in ["", "../apps", "a/b", "a?b", "a#b", "a b", "%2e"] {
        assert!(id_of(&json!({"id": id})).is_none(), "{id}");
    }
}

#[test]
fn only_a_refusal_for_good_is_one() {
    use gateway_domain::vendors::VendorError;
    for status in 300..600_u16 {
        let error =
            answer(&Reply { status, headers: reqwest::header::HeaderMap::default(), body: "{}".into() })
                .err()
                .unwrap();
        let for_good = (400..500).contains(&status) && ![401, 408, 429].contains(&status);
        assert_eq!(matches!(error, VendorError::Refused { .. }), for_good, "{status}");
    }
}
