use proptest::prelude::*;

use super::*;

#[test]
fn wei_become_whole_units_exactly() {
    for (wei, units) in [
        ("0", "0"),
        ("1", "0.000000000000000001"),
        ("10", "0.00000000000000001"),
        ("999999999999999999", "0.999999999999999999"),
        ("1000000000000000000", "1"),
        ("1000000000000000001", "1.000000000000000001"),
        ("1500000000000000000", "1.5"),
        ("123000000000000000000", "123"),
        (
            "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "115792089237316195423570985008687907853269984665640564039457.584007913129639935",
        ),
    ] {
        assert_eq!(whole_units(wei.parse().unwrap()), units);
    }
}

#[test]
fn prices_of_gas_are_in_gwei() {
    for (wei, told) in [(0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (500_000_000_000, "500")] {
        assert_eq!(gwei(wei), told);
    }
    assert_eq!(gwei(u128::MAX), "340282366920938463463374607431.768211455");
}

proptest! {
    /// Reading the decimal back gives the very number, and no other number reads the same.
    #[test]
    fn nothing_is_rounded(limbs in any::<[u64; 4]>(), shift in 0_usize..256) {
        let wei = U256::from_limbs(limbs) >> shift;
        let units = whole_units(wei);
        let (whole, fraction) = units.split_once('.').unwrap_or((&units, ""));
        let read: U256 = format!("{whole}{fraction:0<18}").parse().unwrap();
        prop_assert_eq!(read, wei);
        prop_assert!(fraction.len() <= 18 && !fraction.ends_with('0'));
        prop_assert!(whole == "0" || !whole.starts_with('0'));
    }
}
