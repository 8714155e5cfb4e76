use alloy_primitives::{Address, U256, address};
use gateway_domain::{
    ids::{KeyId, OrganizationId, TransactionId},
    transactions::Ceilings,
};
use proptest::prelude::*;

use super::*;

const TO: Address = address!("3535353535353535353535353535353535353535");

/// An intent whose ceilings are exactly what [`pricing`] can cost.
fn intent() -> Intent {
    let nil = "00000000-0000-0000-0000-000000000000";
    Intent {
        organization: nil.parse::<OrganizationId>().unwrap(),
        transaction: nil.parse::<TransactionId>().unwrap(),
        key: nil.parse::<KeyId>().unwrap(),
        chain: ChainId::eip155(1).unwrap(),
        kind: Kind::Transaction,
        from: Address::repeat_byte(7),
        to: Some(TO),
        value: U256::from(1_000),
        data: vec![1, 2, 3],
        ceilings: Ceilings { gas: 50_000, fee_per_gas: 7, total: U256::from(351_000) },
        vendor_account: None,
    }
}

fn pricing() -> Pricing {
    Pricing { gas_limit: 50_000, fee: GasFee::Dynamic { max_fee_per_gas: 7, max_priority_fee_per_gas: 2 } }
}

fn projection(intent: &Intent, pricing: &Pricing) -> Projection {
    let payload = EvmCodec.encode(intent, 3, pricing).unwrap();
    EvmCodec.decode(&payload.bytes).unwrap()
}

fn refused_field(payload: &Projection) -> Option<&'static str> {
    intent().admits(payload).err().map(|mismatch| mismatch.field)
}

#[test]
fn bytes_at_the_ceilings_are_admitted() {
    assert_eq!(refused_field(&projection(&intent(), &pricing())), None);
    let legacy = Pricing { fee: GasFee::Legacy { gas_price: 7 }, ..pricing() };
    assert_eq!(refused_field(&projection(&intent(), &legacy)), None);
}

#[test]
fn each_difference_is_named() {
    let base = || projection(&intent(), &pricing());
    let cases = [
        (Projection { chain: ChainId::eip155(2).unwrap(), ..base() }, "chain id"),
        (Projection { to: Some(Address::repeat_byte(9)), ..base() }, "recipient"),
        (Projection { to: None, ..base() }, "recipient"),
        (Projection { value: U256::from(1_001), ..base() }, "value"),
        (Projection { value: U256::from(999), ..base() }, "value"),
        (Projection { data: vec![1, 2, 3, 0], ..base() }, "data"),
        (Projection { data: Vec::new(), ..base() }, "data"),
        (Projection { gas_limit: 50_001, ..base() }, "gas limit"),
        (Projection { max_fee_per_gas: 8, ..base() }, "fee per gas"),
    ];
    for (payload, field) in cases {
        assert_eq!(refused_field(&payload), Some(field));
    }
}

#[test]
fn an_absurd_quote_of_a_lying_node_is_refused() {
    let million_gwei = 1_000_000 * 1_000_000_000;
    let fee = Pricing { fee: GasFee::Legacy { gas_price: million_gwei }, ..pricing() };
    assert_eq!(refused_field(&projection(&intent(), &fee)), Some("fee per gas"));
    let gas = Pricing { gas_limit: 30_000_000, ..pricing() };
    assert_eq!(refused_field(&projection(&intent(), &gas)), Some("gas limit"));
}

#[test]
fn a_total_beyond_256_bits_is_refused() {
    let ceilings = Ceilings { gas: u64::MAX, fee_per_gas: u128::MAX, total: U256::MAX };
    let intent = Intent { value: U256::MAX, ceilings, ..intent() };
    let payload = projection(&intent, &pricing());
    assert_eq!(intent.admits(&payload).unwrap_err().field, "total");
}

#[test]
fn other_kinds_and_contract_creation_have_no_payload() {
    for kind in [Kind::Message, Kind::TypedData, Kind::Digest] {
        assert!(EvmCodec.encode(&Intent { kind, ..intent() }, 0, &pricing()).is_err());
    }
    assert!(EvmCodec.encode(&Intent { to: None, ..intent() }, 0, &pricing()).is_err());
}

proptest! {
    /// Small numbers, so that every ceiling is met from both sides.
    #[test]
    fn decoded_bytes_are_admitted_exactly_within_the_ceilings(
        (value, gas_limit, fee) in (0..50_u64, 0..20_u64, 0..20_u64),
        (gas, fee_per_gas, total) in (0..20_u64, 0..20_u64, 0..450_u64),
    ) {
        let ceilings = Ceilings { gas, fee_per_gas: fee_per_gas.into(), total: U256::from(total) };
        let intent = Intent { value: U256::from(value), ceilings, ..intent() };
        let fee_text = GasFee::Dynamic { max_fee_per_gas: fee.into(), max_priority_fee_per_gas: 0 };
        let payload = projection(&intent, &Pricing { gas_limit, fee: fee_text });
        let within = gas_limit <= gas && fee <= fee_per_gas && value + gas_limit * fee <= total;
        prop_assert_eq!(intent.admits(&payload).is_ok(), within);
    }

    #[test]
    fn decode_after_encode_gives_the_intent_back(
        value in any::<[u8; 32]>(), data in proptest::collection::vec(any::<u8>(), 0..200),
        chain in 1..=gateway_domain::chain::CHAIN_ID_MAX, nonce in 0..u64::MAX,
    ) {
        let intent = Intent {
            value: U256::from_be_bytes(value), data, chain: ChainId::eip155(chain).unwrap(), ..intent()
        };
        let payload = EvmCodec.encode(&intent, nonce, &pricing()).unwrap();
        let found = EvmCodec.decode(&payload.bytes).unwrap();
        prop_assert_eq!((found.chain, found.nonce, found.to), (intent.chain, nonce, intent.to));
        prop_assert_eq!((found.value, found.data), (intent.value, intent.data));
    }
}
