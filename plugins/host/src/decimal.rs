//! Amounts as decimal text, at the boundary with guests and in records, for `#[serde(with = ..)]`.

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serializer};

/// Digits of the largest 256-bit number.
const DIGITS_MAX: usize = 78;

/// Reads decimal digits and nothing else.
pub(crate) fn parse(text: &str) -> Option<U256> {
    let is_decimal = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| U256::from_str_radix(text, 10).ok()).flatten()
}

pub(crate) fn serialize<S: Serializer>(amount: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount in decimal digits"))
}
