//! Amounts of up to 256 bits as decimal text: compared and shown, never calculated with.

use std::cmp::Ordering;

/// Digits of 2^256 - 1.
const DIGITS_MAX: usize = 78;
/// Every EVM chain counts its own coin in units of 10^-18.
const COIN_DECIMALS: usize = 18;

/// A whole number in canonical decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount(String);

impl Amount {
    /// Reads digits without sign, separators or leading zeros.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let canonical = text == "0" || !text.starts_with('0');
        let digits = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        (canonical && digits).then(|| Self(text.to_owned()))
    }

    /// Reads a big-endian word, as in ABI encoding.
    pub(crate) fn from_word(word: &[u8; 32]) -> Self {
        let mut word = *word;
        let mut digits = Vec::new();
        while word.iter().any(|byte| *byte != 0) {
            let mut remainder = 0_u16;
            for byte in &mut word {
                let dividend = (remainder << 8) | u16::from(*byte);
                *byte =
                    u8::try_from(dividend / 10).expect("a remainder below 10 keeps the quotient in a byte");
                remainder = dividend % 10;
            }
            digits.push(char::from_digit(u32::from(remainder), 10).expect("a remainder below 10 is a digit"));
        }
        if digits.is_empty() {
            digits.push('0');
        }
        Self(digits.iter().rev().collect())
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0 == "0"
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// In whole coins, without trailing zeros: `1.5`.
    pub(crate) fn in_coins(&self) -> String {
        let padded = format!("{:0>width$}", self.0, width = COIN_DECIMALS + 1);
        let (whole, fraction) = padded.split_at(padded.len() - COIN_DECIMALS);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        // Canonical digits: the longer number is the larger one.
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::Amount;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    #[test]
    fn longer_numbers_are_larger() {
        assert!(amount("1000") > amount("999"));
        assert!(amount("0") < amount("1"));
    }

    #[test]
    fn only_canonical_digits_parse() {
        for text in ["", "01", "-1", "+1", "1.0", "1e3", " 1", "0x1", &"9".repeat(79)] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn words_become_decimal() {
        assert_eq!(Amount::from_word(&[0; 32]), amount("0"));
        let largest = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(Amount::from_word(&[0xff; 32]), amount(largest));
    }

    #[test]
    fn coins_lose_trailing_zeros_only() {
        assert_eq!(amount("1500000000000000000").in_coins(), "1.5");
        assert_eq!(amount("10000000000000000000").in_coins(), "10");
        assert_eq!(amount("1").in_coins(), "0.000000000000000001");
        assert_eq!(amount("0").in_coins(), "0");
    }
}
