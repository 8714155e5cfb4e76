//! What came before a transaction.

use std::time::Duration;

use alloy_primitives::Address;

use crate::clock::Timestamp;

/// Which of the transactions that came before an intent to read.
#[derive(Clone, Copy, Debug)]
pub struct PastFilter {
    /// Only those made after.
    pub after: Timestamp,
    /// Only those of the intent's key.
    pub same_key: bool,
    pub recipient: Option<Address>,
    pub limit: u32,
}

/// Earlier transactions of one payer to one recipient: of the key and address that the intent names. A vendor's key that
/// was made anew begins without history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipientHistory {
    /// Those that took place with success, counted up to [`RecipientHistory::EXECUTED_MAX`], their seals checked: seen on
    /// chain and not reverted, or COMPLETED in the words of the vendor that holds the account. What was reported to be
    /// settled counts only for an intent that names no key: nobody here could know better of what is executed elsewhere,
    /// and no report makes a recipient known to a key of ours.
    pub executed: u64,
    /// Rejected ones that called the same function, whatever the amount, and were made since the given time.
    pub denied: u64,
}

impl RecipientHistory {
    /// Whether a recipient is known matters, not how well: counting stops here.
    pub const EXECUTED_MAX: u64 = 1;
}

/// Bounds of one question that a plugin asks about earlier transactions.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Transactions read for it. Default 1000.
    pub rows_max: u32,
    /// Transactions named in its answer. Default 100.
    pub named_max: u32,
    /// How far it looks back. Default 31 days.
    pub window_max: Duration,
}
