//! How the family writes domain values, and what becomes of foreign text before people see it.

use gateway_chains::evm::address::to_checksum;
use gateway_domain::{Address, B256, Timestamp, text::is_plain};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// Longest foreign text that is shown, in characters.
const PROSE_CHARACTERS_MAX: usize = 20_000;

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(at: Timestamp) -> String {
    let nanos = i128::from(at.unix_micros()) * 1_000;
    let date = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(MILLISECONDS).expect("a date with a year has every part of the format")
}

/// With its EIP-55 checksum.
pub(crate) fn address(address: Address) -> String {
    to_checksum(&address)
}

pub(crate) fn hash(hash: B256) -> String {
    format!("{hash:#x}")
}

pub(crate) fn bytes(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Parts per million as a number from 0 to 1.
pub(crate) fn share(parts_per_million: u32) -> f64 {
    f64::from(parts_per_million) / 1_000_000.0
}

/// Text by a plugin or an outside service: capped, and without characters that hide or reorder what people read
/// (T27).
pub(crate) fn prose(text: &str) -> String {
    text.chars().filter(|character| is_plain(*character)).take(PROSE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
