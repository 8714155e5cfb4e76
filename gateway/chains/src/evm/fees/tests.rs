use proptest::prelude::*;

use super::*;

const GWEI: u128 = 1_000_000_000;

fn policy() -> FeePolicy {
    FeePolicy {
        base_fee_percent: 200,
        priority_fee_min: GWEI / 100,
        priority_fee_max: 20 * GWEI,
        fee_per_gas_max: 500 * GWEI,
        replacement_bump_permille: 125,
    }
}

fn dynamic(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> GasPrice {
    GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas }
}

fn quote(base_fee: u128, priority_fee: u128) -> FeeQuote {
    FeeQuote::Eip1559 { base_fee, priority_fee }
}

#[test]
fn headroom_and_tip_are_added() {
    assert_eq!(suggest(quote(30 * GWEI, 2 * GWEI), &policy()), Ok(dynamic(62 * GWEI, 2 * GWEI)));
    let legacy = FeeQuote::Legacy { gas_price: 5 * GWEI };
    assert_eq!(suggest(legacy, &policy()), Ok(GasPrice::Legacy { gas_price: 5 * GWEI }));
}

#[test]
fn tip_is_brought_within_its_bounds() {
    assert_eq!(suggest(quote(GWEI, 0), &policy()), Ok(dynamic(2 * GWEI + GWEI / 100, GWEI / 100)));
    assert_eq!(suggest(quote(GWEI, u128::MAX), &policy()), Ok(dynamic(22 * GWEI, 20 * GWEI)));
}

#[test]
fn headroom_gives_way_to_the_cap_and_the_present_price_does_not() {
    assert_eq!(suggest(quote(300 * GWEI, GWEI), &policy()), Ok(dynamic(500 * GWEI, GWEI)));
    assert_eq!(suggest(quote(499 * GWEI, GWEI), &policy()), Ok(dynamic(500 * GWEI, GWEI)));
    let above = FeeError::AboveCap { needed: 500 * GWEI + 1, cap: 500 * GWEI };
    assert_eq!(suggest(quote(499 * GWEI + 1, GWEI), &policy()), Err(above));
    assert_eq!(suggest(FeeQuote::Legacy { gas_price: 500 * GWEI + 1 }, &policy()), Err(above));
}

#[test]
fn absurd_quotes_are_refused_without_overflow() {
    let million_gwei = suggest(quote(1_000_000 * GWEI, GWEI), &policy());
    assert!(matches!(million_gwei, Err(FeeError::AboveCap { .. })));
    assert_eq!(suggest(quote(u128::MAX, GWEI), &policy()), Err(FeeError::Overflow));
    let boundless = FeePolicy { fee_per_gas_max: u128::MAX, ..policy() };
    assert_eq!(suggest(quote(u128::MAX / 2, GWEI), &boundless), Err(FeeError::Overflow));
}

#[test]
fn replacement_rounds_its_bump_up() {
    let raised =
        suggest_replacement(dynamic(1_001, 9), quote(1, 0), &FeePolicy { priority_fee_min: 0, ..policy() });
    // 1001 * 1.125 = 1126.125 and 9 * 1.125 = 10.125.
    assert_eq!(raised, Ok(dynamic(1_127, 11)));
    let legacy = suggest_replacement(
        GasPrice::Legacy { gas_price: 1_001 },
        FeeQuote::Legacy { gas_price: 2_000 },
        &policy(),
    );
    assert_eq!(legacy, Ok(GasPrice::Legacy { gas_price: 2_000 }));
}

#[test]
fn replacement_never_exceeds_the_cap_or_changes_type() {
    let at_cap = dynamic(450 * GWEI, GWEI);
    assert!(matches!(
        suggest_replacement(at_cap, quote(GWEI, GWEI), &policy()),
        Err(FeeError::AboveCap { .. })
    ));
    assert_eq!(
        suggest_replacement(at_cap, FeeQuote::Legacy { gas_price: GWEI }, &policy()),
        Err(FeeError::TypeChanged)
    );
}

#[test]
fn configured_bump_below_the_minimum_counts_as_the_minimum() {
    let low = FeePolicy { replacement_bump_permille: 0, priority_fee_min: 0, ..policy() };
    assert_eq!(suggest_replacement(dynamic(8, 8), quote(0, 0), &low), Ok(dynamic(9, 9)));
    let high = FeePolicy { replacement_bump_permille: 1000, ..low };
    assert_eq!(suggest_replacement(dynamic(8, 8), quote(0, 0), &high), Ok(dynamic(16, 16)));
    let endless = FeePolicy { replacement_bump_permille: u32::MAX, ..low };
    assert_eq!(suggest_replacement(dynamic(8, 8), quote(0, 0), &endless), Err(FeeError::Overflow));
}

#[test]
fn gas_headroom_gives_way_to_the_maximum_and_the_estimate_does_not() {
    assert_eq!(gas_limit(21_001, 20, 3_000_000), Ok(25_202));
    assert_eq!(gas_limit(2_900_000, 20, 3_000_000), Ok(3_000_000));
    assert_eq!(gas_limit(3_000_000, 20, 3_000_000), Ok(3_000_000));
    let above = FeeError::GasAboveMax { estimate: 3_000_001, gas_limit_max: 3_000_000 };
    assert_eq!(gas_limit(3_000_001, 20, 3_000_000), Err(above));
    assert_eq!(gas_limit(u64::MAX, 20, u64::MAX), Ok(u64::MAX));
    assert_eq!(gas_limit(1, u32::MAX, 5), Err(FeeError::Overflow));
}

proptest! {
    #[test]
    fn suggestion_covers_the_base_fee_within_the_cap(base_fee: u128, priority_fee: u128, cap in 20 * GWEI..u128::MAX) {
        let policy = FeePolicy { fee_per_gas_max: cap, ..policy() };
        if let Ok(GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas }) =
            suggest(quote(base_fee, priority_fee), &policy)
        {
            prop_assert!(max_fee_per_gas <= cap);
            prop_assert!(max_fee_per_gas - max_priority_fee_per_gas >= base_fee);
        }
    }

    #[test]
    fn replacement_is_one_eighth_above_in_both_parts(max: u64, tip: u64, base_fee: u64, quoted: u64) {
        let (max, tip) = (u128::from(max.max(tip)), u128::from(max.min(tip)));
        let policy = FeePolicy { fee_per_gas_max: u128::MAX, priority_fee_max: u128::MAX, ..policy() };
        let raised = suggest_replacement(dynamic(max, tip), quote(base_fee.into(), quoted.into()), &policy);
        let Ok(GasPrice::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas }) = raised else {
            return Err(TestCaseError::fail("no replacement"));
        };
        prop_assert!(max_fee_per_gas * 8 >= max * 9);
        prop_assert!(max_priority_fee_per_gas * 8 >= tip * 9);
        prop_assert!(max_priority_fee_per_gas <= max_fee_per_gas);
    }
}
