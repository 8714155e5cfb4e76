use alloy_primitives::{address, b256, hex};
use proptest::prelude::*;

use super::*;
use crate::evm::testing::{sign, signer};

const TO: Address = address!("3535353535353535353535353535353535353535");

fn eip155_example() -> UnsignedTransaction {
    UnsignedTransaction {
        chain_id: 1,
        nonce: 9,
        to: TO,
        value: U256::from(10_u64.pow(18)),
        data: Bytes::new(),
        gas_limit: 21_000,
        gas_price: GasPrice::Legacy { gas_price: 20_000_000_000 },
    }
}

fn token_transfer() -> UnsignedTransaction {
    let mut data = vec![0_u8; 68];
    data[..4].copy_from_slice(&hex!("a9059cbb"));
    UnsignedTransaction {
        chain_id: 31_337,
        nonce: 7,
        to: TO,
        value: U256::from(123_456_789),
        data: data.into(),
        gas_limit: 60_000,
        gas_price: GasPrice::Eip1559 {
            max_fee_per_gas: 30_000_000_000,
            max_priority_fee_per_gas: 2_000_000_000,
        },
    }
}

#[test]
fn eip155_example_is_reproduced() {
    let transaction = eip155_example();
    let payload =
        hex!("ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080");
    assert_eq!(transaction.encode().unwrap(), payload);
    let digest = transaction.signing_digest().unwrap();
    assert_eq!(digest, b256!("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"));

    let signed = transaction.assemble(&sign(digest).prove(digest).unwrap()).unwrap();
    let raw = hex!(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025"
        "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
        "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    );
    assert_eq!(signed.raw[..], raw[..]);
    assert_eq!(signed.hash, b256!("33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"));
    assert_eq!(UnsignedTransaction::decode_signed(&raw).unwrap(), (transaction, signed));
}

/// Raw bytes and hash from Python's eth-account 0.14.0.
#[test]
fn type_2_transaction_agrees_with_eth_account() {
    let transaction = token_transfer();
    let signed = signed(&transaction);
    let raw = hex!(
        "02f8b6827a690784773594008506fc23ac0082ea6094353535353535353535353535353535353535353584075bcd15"
        "b844a9059cbb0000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "c080a002701ad7718e8edaf228a18267dfcb18422810d8955721ef22f78db938ee9903"
        "a03fc5c1dcb2a5012c6aa220807a0400012dc93847b935d4b1673c1a5d0a4c8c45"
    );
    assert_eq!(signed.raw[..], raw[..]);
    assert_eq!(signed.hash, b256!("985e8430da71412a930dd1bd94c8935e8d14fed81c82ab70428bcc644dc9f8d2"));
    assert_eq!(UnsignedTransaction::decode_signed(&raw).unwrap(), (transaction, signed));
}

/// A type-2 transaction of mainnet, as in the tests of alloy.
#[test]
fn known_type_2_transaction_recovers_its_sender() {
    let transaction = UnsignedTransaction {
        chain_id: 1,
        nonce: 0x42,
        to: address!("6069a6c32cf691f5982febae4faf8a6f3ab2f0f6"),
        value: U256::ZERO,
        data: hex!(
            "a22cb4650000000000000000000000005eee75727d804a2b13038928d36f8b188945a57a"
            "0000000000000000000000000000000000000000000000000000000000000000"
        )
        .into(),
        gas_limit: 44_386,
        gas_price: GasPrice::Eip1559 {
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
        },
    };
    let digest = transaction.signing_digest().unwrap();
    assert_eq!(digest, b256!("0d5688ac3897124635b6cf1bc0e29d6dfebceebdc10a54d74f2ef8b56535b682"));
    let signature = Signature::new(
        U256::from_be_slice(&hex!("840cfc572845f5786e702984c2a582528cad4b49b2a10b9db1be7fca90058565")),
        U256::from_be_slice(&hex!("25e7109ceb98168d95b09b18bbf6b685130e0562f233877d492b94eee0c5b6d1")),
        false,
    )
    .unwrap();
    let sender = address!("dd6b8b3dc6b7ad97db52f08a275ff4483e024cea");
    let signed = transaction.assemble(&signature.verify(digest, sender).unwrap()).unwrap();
    assert_eq!(signed.hash, b256!("0ec0b6a2df4d87424e5f6ad2a654e27aaeb7dac20ae9e8385cc09087ad532ee0"));
}

#[test]
fn signature_over_another_payload_is_not_assembled() {
    let transaction = eip155_example();
    let digest = transaction.signing_digest().unwrap();
    let proven = sign(digest).verify(digest, signer()).unwrap();
    assert_eq!(transaction.assemble(&proven).unwrap().sender, signer());
    let other = UnsignedTransaction { nonce: 10, ..transaction };
    assert_eq!(other.assemble(&proven), Err(TransactionError::OtherDigest));
    assert_eq!(sign(digest).verify(digest, TO), Err(SignatureError::OtherSigner));
}

fn signed(transaction: &UnsignedTransaction) -> SignedTransaction {
    let digest = transaction.signing_digest().unwrap();
    transaction.assemble(&sign(digest).prove(digest).unwrap()).unwrap()
}

#[test]
fn limits_of_fields_are_enforced_when_encoding() {
    let cases = [
        (UnsignedTransaction { chain_id: 0, ..eip155_example() }, TransactionError::ChainId),
        (UnsignedTransaction { chain_id: CHAIN_ID_MAX + 1, ..token_transfer() }, TransactionError::ChainId),
        (UnsignedTransaction { nonce: u64::MAX, ..token_transfer() }, TransactionError::Nonce),
        (
            UnsignedTransaction {
                gas_price: GasPrice::Eip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 2 },
                ..token_transfer()
            },
            TransactionError::PriorityAboveMax,
        ),
        (
            UnsignedTransaction { data: vec![0; PAYLOAD_BYTES_MAX].into(), ..token_transfer() },
            TransactionError::TooLarge,
        ),
    ];
    for (transaction, error) in cases {
        assert_eq!(transaction.encode(), Err(error.clone()));
        assert_eq!(transaction.signing_digest(), Err(error));
    }
    let widest =
        UnsignedTransaction { chain_id: CHAIN_ID_MAX, data: vec![1; 128 * 1024].into(), ..eip155_example() };
    assert_eq!(UnsignedTransaction::decode(&widest.encode().unwrap()), Ok(widest));
}

#[test]
fn other_transaction_types_are_refused() {
    let payload = token_transfer().encode().unwrap();
    for kind in [0x00, 0x01, 0x03, 0x04, 0x05, 0x19, 0x7f, 0x80, 0xbf] {
        let mut other = payload.clone();
        other[0] = kind;
        assert_eq!(UnsignedTransaction::decode(&other), Err(TransactionError::UnsupportedType(kind)));
        assert_eq!(UnsignedTransaction::decode_signed(&other), Err(TransactionError::UnsupportedType(kind)));
    }
    assert!(matches!(UnsignedTransaction::decode(&[]), Err(TransactionError::Rlp(_))));
    let oversized = vec![0xf9; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(UnsignedTransaction::decode(&oversized), Err(TransactionError::TooLarge));
}

#[test]
fn legacy_without_chain_id_is_refused() {
    let example = eip155_example();
    let unprotected = TxLegacy { chain_id: None, ..example.to_legacy(20_000_000_000) };
    assert_eq!(
        UnsignedTransaction::decode(&unprotected.encoded_for_signing()),
        Err(TransactionError::NoReplayProtection)
    );

    let signature = sign(keccak256(unprotected.encoded_for_signing()));
    let signature = alloy_primitives::Signature::new(signature.r(), signature.s(), signature.y_parity());
    let mut raw = Vec::new();
    unprotected.eip2718_encode(&signature, &mut raw);
    assert_eq!(UnsignedTransaction::decode_signed(&raw), Err(TransactionError::NoReplayProtection));
}

#[test]
fn access_lists_and_creations_are_refused() {
    let mut inner = token_transfer().to_eip1559(30_000_000_000, 2_000_000_000);
    inner.access_list =
        vec![alloy_eips::eip2930::AccessListItem { address: TO, storage_keys: vec![] }].into();
    assert_eq!(UnsignedTransaction::decode(&inner.encoded_for_signing()), Err(TransactionError::AccessList));

    let mut inner = token_transfer().to_eip1559(30_000_000_000, 2_000_000_000);
    inner.to = TxKind::Create;
    assert_eq!(UnsignedTransaction::decode(&inner.encoded_for_signing()), Err(TransactionError::Creation));

    let mut legacy = eip155_example().to_legacy(1);
    legacy.to = TxKind::Create;
    assert_eq!(UnsignedTransaction::decode(&legacy.encoded_for_signing()), Err(TransactionError::Creation));
}

#[test]
fn eip155_trailer_other_than_two_zeros_is_refused() {
    let payload = eip155_example().encode().unwrap();
    let mut nonzero = payload.clone();
    *nonzero.last_mut().unwrap() = 1;
    assert_eq!(UnsignedTransaction::decode(&nonzero), Err(TransactionError::NotCanonical));

    // One item fewer and one more, with the list header adjusted.
    let mut shorter = payload.clone();
    shorter.pop();
    shorter[0] -= 1;
    assert!(UnsignedTransaction::decode(&shorter).is_err());
    let mut longer = payload;
    longer.push(0x80);
    longer[0] += 1;
    assert!(UnsignedTransaction::decode(&longer).is_err());
}

#[test]
fn signed_transaction_with_high_s_is_refused() {
    let transaction = token_transfer();
    let signature = sign(transaction.signing_digest().unwrap());
    let order =
        U256::from_be_slice(&hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let high = alloy_primitives::Signature::new(signature.r(), order - signature.s(), !signature.y_parity());
    let mut raw = Vec::new();
    transaction.to_eip1559(30_000_000_000, 2_000_000_000).eip2718_encode(&high, &mut raw);
    assert_eq!(
        UnsignedTransaction::decode_signed(&raw),
        Err(TransactionError::Signature(SignatureError::HighS))
    );
}

fn transactions() -> impl Strategy<Value = UnsignedTransaction> {
    let gas_price = prop_oneof![
        any::<u128>().prop_map(|gas_price| GasPrice::Legacy { gas_price }),
        (any::<u128>(), any::<u128>()).prop_map(|(one, other)| GasPrice::Eip1559 {
            max_fee_per_gas: one.max(other),
            max_priority_fee_per_gas: one.min(other),
        }),
    ];
    let chain_id = prop_oneof![1..=CHAIN_ID_MAX, 1..=300_u64, Just(CHAIN_ID_MAX)];
    let nonce = prop_oneof![0..u64::MAX, 0..300_u64];
    let data = proptest::collection::vec(any::<u8>(), 0..300);
    (chain_id, nonce, any::<[u8; 20]>(), any::<[u8; 32]>(), data, any::<u64>(), gas_price).prop_map(
        |(chain_id, nonce, to, value, data, gas_limit, gas_price)| UnsignedTransaction {
            chain_id,
            nonce,
            to: to.into(),
            // Small values are as likely as large ones.
            value: U256::from_be_bytes(value) >> usize::from(value[0]),
            data: data.into(),
            gas_limit,
            gas_price,
        },
    )
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same(transaction in transactions()) {
        let payload = transaction.encode().unwrap();
        prop_assert_eq!(UnsignedTransaction::decode(&payload), Ok(transaction));
    }

    #[test]
    fn signing_and_reading_back_gives_the_same(transaction in transactions()) {
        let signed = signed(&transaction);
        let read = UnsignedTransaction::decode_signed(&signed.raw);
        prop_assert_eq!(read, Ok((transaction, signed)));
    }

    #[test]
    fn altered_bytes_never_read_as_the_same_transaction(
        transaction in transactions(),
        place: proptest::sample::Index,
        change in 1..=255_u8,
    ) {
        let payload = transaction.encode().unwrap();
        let mut altered = payload.clone();
        altered[place.index(payload.len())] ^= change;
        if let Ok(other) = UnsignedTransaction::decode(&altered) {
            prop_assert_ne!(&other, &transaction);
            prop_assert_eq!(other.encode().unwrap(), altered);
        }

        let mut cut = payload.clone();
        cut.truncate(place.index(payload.len()));
        prop_assert!(UnsignedTransaction::decode(&cut).is_err());
        let mut trailed = payload;
        trailed.push(change);
        prop_assert!(UnsignedTransaction::decode(&trailed).is_err());
    }

    #[test]
    fn arbitrary_bytes_decode_canonically_or_not_at_all(
        kind in prop_oneof![Just(vec![2_u8]), Just(vec![])],
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [kind, body].concat();
        if let Ok(transaction) = UnsignedTransaction::decode(&bytes) {
            prop_assert_eq!(transaction.encode().unwrap(), bytes);
        }
    }
}
