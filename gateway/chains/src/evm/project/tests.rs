use alloy_primitives::address;

use proptest::prelude::*;

use super::*;
use crate::evm::transaction::GasPrice;

const TO: Address = address!("3535353535353535353535353535353535353535");

fn transaction() -> UnsignedTransaction {
    UnsignedTransaction {
        chain_id: 1,
        nonce: 3,
        to: TO,
        value: U256::from(1_000),
        data: vec![1, 2, 3].into(),
        gas_limit: 50_000,
        gas_price: GasPrice::Eip1559 { max_fee_per_gas: 7, max_priority_fee_per_gas: 2 },
    }
}

/// An intent whose ceilings are exactly what [`transaction`] can cost.
fn intent() -> IntentView<'static> {
    IntentView {
        chain_id: 1,
        to: TO,
        value: U256::from(1_000),
        data: &[1, 2, 3],
        ceilings: Ceilings { gas_limit_max: 50_000, fee_per_gas_max: 7, total_max: U256::from(351_000) },
    }
}

fn check(transaction: &UnsignedTransaction) -> Result<(), Mismatch> {
    let payload = transaction.encode().unwrap();
    check_within(&project(&UnsignedTransaction::decode(&payload).unwrap())?, &intent())
}

#[test]
fn bytes_at_the_ceilings_are_accepted() {
    assert_eq!(project(&transaction()).unwrap().total_max, U256::from(351_000));
    assert_eq!(check(&transaction()), Ok(()));
    let legacy = UnsignedTransaction { gas_price: GasPrice::Legacy { gas_price: 7 }, ..transaction() };
    assert_eq!(check(&legacy), Ok(()));
    let other_nonce = UnsignedTransaction { nonce: 4, ..transaction() };
    assert_eq!(check(&other_nonce), Ok(()));
}

#[test]
fn each_difference_is_named() {
    let base = transaction;
    let other = Address::repeat_byte(9);
    let cases = [
        (UnsignedTransaction { chain_id: 2, ..base() }, Mismatch::ChainId { intended: 1, found: 2 }),
        (UnsignedTransaction { to: other, ..base() }, Mismatch::To { intended: TO, found: other }),
        (
            UnsignedTransaction { value: U256::from(1_001), ..base() },
            Mismatch::Value { intended: U256::from(1_000), found: U256::from(1_001) },
        ),
        (
            UnsignedTransaction { value: U256::from(999), ..base() },
            Mismatch::Value { intended: U256::from(1_000), found: U256::from(999) },
        ),
        (UnsignedTransaction { data: vec![1, 2, 3, 0].into(), ..base() }, Mismatch::Data),
        (UnsignedTransaction { data: vec![].into(), ..base() }, Mismatch::Data),
        (
            UnsignedTransaction { gas_limit: 50_001, ..base() },
            Mismatch::GasLimit { ceiling: 50_000, found: 50_001 },
        ),
        (
            UnsignedTransaction { gas_price: GasPrice::Legacy { gas_price: 8 }, ..base() },
            Mismatch::FeePerGas { ceiling: 7, found: 8 },
        ),
    ];
    for (transaction, mismatch) in cases {
        assert_eq!(check(&transaction), Err(mismatch));
    }
}

#[test]
fn total_has_a_ceiling_of_its_own() {
    let ceilings = Ceilings { total_max: U256::from(350_999), ..intent().ceilings };
    let found = check_within(&project(&transaction()).unwrap(), &IntentView { ceilings, ..intent() });
    assert_eq!(found, Err(Mismatch::Total { ceiling: U256::from(350_999), found: U256::from(351_000) }));
}

#[test]
fn quote_of_a_lying_node_is_refused() {
    let million_gwei = 1_000_000 * 1_000_000_000;
    let absurd_fee =
        UnsignedTransaction { gas_price: GasPrice::Legacy { gas_price: million_gwei }, ..transaction() };
    assert!(matches!(check(&absurd_fee), Err(Mismatch::FeePerGas { .. })));
    let absurd_gas = UnsignedTransaction { gas_limit: 30_000_000, ..transaction() };
    assert!(matches!(check(&absurd_gas), Err(Mismatch::GasLimit { .. })));
}

#[test]
fn total_beyond_256_bits_is_refused() {
    let overflowing = UnsignedTransaction { value: U256::MAX, ..transaction() };
    assert_eq!(project(&overflowing), Err(Mismatch::TotalOverflow));
}

proptest! {
    /// Small numbers, so that every ceiling is met from both sides.
    #[test]
    fn decoded_bytes_are_accepted_exactly_within_the_ceilings(
        (value, gas_limit, fee) in (0..50_u64, 0..20_u64, 0..20_u64),
        (gas_limit_max, fee_per_gas_max, total_max) in (0..20_u64, 0..20_u64, 0..450_u64),
    ) {
        let bytes = UnsignedTransaction {
            value: U256::from(value),
            gas_limit,
            gas_price: GasPrice::Eip1559 { max_fee_per_gas: fee.into(), max_priority_fee_per_gas: 0 },
            ..transaction()
        }
        .encode()
        .unwrap();
        let found = project(&UnsignedTransaction::decode(&bytes).unwrap()).unwrap();
        let ceilings = Ceilings {
            gas_limit_max,
            fee_per_gas_max: fee_per_gas_max.into(),
            total_max: U256::from(total_max),
        };
        let accepted = check_within(&found, &IntentView { value: U256::from(value), ceilings, ..intent() });
        let within =
            gas_limit <= gas_limit_max && fee <= fee_per_gas_max && value + gas_limit * fee <= total_max;
        prop_assert_eq!(accepted.is_ok(), within, "{:?}", accepted);
    }
}
