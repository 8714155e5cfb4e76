use alloy_primitives::b256;

use super::*;
use crate::evm::signature::Signature;
use crate::evm::testing::signer;

fn request() -> Request<'static> {
    Request {
        origin: "http://127.0.0.1:8080",
        method: "POST",
        path: "/transactions?limit=5",
        body_hash: b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        timestamp: 1_790_000_000,
    }
}

fn approval() -> Approval<'static> {
    Approval {
        origin: "https://gateway.example",
        organization: "org_1",
        transaction_id: "tx_1",
        request_hash: B256::repeat_byte(0x11),
        intent_hash: B256::repeat_byte(0x22),
        approved: true,
        expires: 1_790_000_600,
    }
}

/// Hashes and signatures of this file were made with Python's eth-account 0.14.0
/// (`encode_typed_data`) and the key of the EIP-155 example.
#[test]
fn request_agrees_with_eth_account() {
    let hash = request_signing_hash(&request(), 31_337);
    assert_eq!(hash, b256!("b4b410de15ce284f8a8ddf6b4a1336a459b5c7d1d948d0bfe0d94f556f70606a"));
    let signature = Signature::parse(
        "0xeaae3f6af10586888fd40b83636dc4fee4e45a53a9e5a7e0f576692c028d7183\
         427a3347307538d7fd8b1f5d3260fef081cfed4b6dc1e4c3080ddad2fba5ad331c",
    )
    .unwrap();
    assert_eq!(signature.recover(hash), Ok(signer()));
}

#[test]
fn approval_and_rejection_agree_with_eth_account() {
    let approve = approval_signing_hash(&approval(), 1);
    assert_eq!(approve, b256!("c83c75fa760f2bd00a044d01e37f168496b3c268da73ec5fe142cbf286f0a0c4"));
    let signature = Signature::parse(
        "0x9c343f29d4e59399469e649e195558728327dfade601c1935f47f08d33d72183\
         2b7e70cfe25fac790659564c050c8aa9acdd8b8633d99da5099e08406ebc86eb1c",
    )
    .unwrap();
    assert_eq!(signature.recover(approve), Ok(signer()));

    let reject = approval_signing_hash(&Approval { approved: false, ..approval() }, 1);
    assert_eq!(reject, b256!("dcf8827f9b4dc8dbaa4b6f2fb26180181e21bf35f49d4f7770cf337b4117dab6"));
    assert_ne!(signature.recover(reject), Ok(signer()));
}

#[test]
fn every_field_and_the_chain_change_the_hash() {
    let base = approval();
    let mut hashes = vec![approval_signing_hash(&base, 1), approval_signing_hash(&base, 2)];
    for other in [
        Approval { origin: "https://other.example", ..base },
        Approval { organization: "org_2", ..base },
        Approval { transaction_id: "tx_2", ..base },
        Approval { request_hash: B256::ZERO, ..base },
        Approval { intent_hash: B256::ZERO, ..base },
        Approval { approved: false, ..base },
        Approval { expires: 0, ..base },
    ] {
        hashes.push(approval_signing_hash(&other, 1));
    }
    let base = request();
    for other in [
        base,
        Request { origin: "https://other.example", ..base },
        Request { method: "PUT", ..base },
        Request { path: "/transactions", ..base },
        Request { body_hash: B256::ZERO, ..base },
        Request { timestamp: 0, ..base },
    ] {
        hashes.push(request_signing_hash(&other, 1));
    }
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn own_domain_is_recognised_in_disguise() {
    for name in ["gateway-core", "Gateway-Core", " gateway-core\n"] {
        assert!(is_own_domain(Some(name)), "{name:?}");
    }
    assert!(!is_own_domain(Some("USD Coin")));
    assert!(!is_own_domain(None));
}
