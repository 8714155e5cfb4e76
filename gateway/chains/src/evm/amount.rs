//! Wei amounts as decimal text.

use alloy_primitives::U256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("amount must be decimal digits without sign or leading zero")]
    Shape,
    #[error("amount must be below 2^256")]
    TooLarge,
}

/// Decimal digits of 2^256 - 1.
const DIGITS_MAX: usize = 78;

/// Reads `^(0|[1-9][0-9]*)$` below 2^256, in wei.
pub fn parse_wei(text: &str) -> Result<U256, AmountError> {
    let canonical = text == "0" || matches!(text.as_bytes().first(), Some(b'1'..=b'9'));
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::Shape);
    }
    if text.len() > DIGITS_MAX {
        return Err(AmountError::TooLarge);
    }
    U256::from_str_radix(text, 10).map_err(|_| AmountError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_amount_is_2_to_256_minus_1() {
        let largest = U256::MAX.to_string();
        assert_eq!(largest.len(), DIGITS_MAX);
        assert_eq!(parse_wei(&largest), Ok(U256::MAX));
        assert_eq!(parse_wei("0"), Ok(U256::ZERO));
        assert_eq!(parse_wei("1000000000000000000"), Ok(U256::from(10_u64.pow(18))));
    }

    #[test]
    fn amounts_of_2_to_256_and_more_are_too_large() {
        let beyond = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(parse_wei(beyond), Err(AmountError::TooLarge));
        assert_eq!(parse_wei(&"9".repeat(78)), Err(AmountError::TooLarge));
        assert_eq!(parse_wei(&"9".repeat(10_000)), Err(AmountError::TooLarge));
    }

    #[test]
    fn other_notations_are_refused() {
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_000", "1e18", "0x1", "1.0", "\u{0661}", "1\0"]
        {
            assert_eq!(parse_wei(text), Err(AmountError::Shape), "{text:?}");
        }
    }
}
