//! Questions about earlier transactions. Field by field the interface `history` of the contract.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// How far a transaction got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It may still be signed.
    Open,
    /// It was signed, or given to somebody else to execute.
    Released,
    /// It ended unsigned.
    Ended,
}

/// Which transactions a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub stage: Stage,
    pub same_key: bool,
    /// As the guest wrote it.
    pub recipient: Option<String>,
    pub window_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryQuestion {
    Count(Selection),
    Sum(Selection),
    DistinctRecipients(Selection),
    Last { selection: Selection, limit: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryAnswer {
    /// To `Count` and `DistinctRecipients`.
    Number(u64),
    /// To `Sum`.
    Amount(#[serde(with = "crate::decimal")] U256),
    /// To `Last`, newest first.
    Transactions(Vec<PastTransaction>),
}

/// An earlier transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTransaction {
    pub transaction_id: String,
    pub key_id: String,
    pub recipient: Option<String>,
    /// Decimal text in the smallest unit.
    pub value: String,
    pub selector: Option<String>,
    pub created_at_ms: u64,
}

impl HistoryQuestion {
    /// The transactions that it is about.
    pub fn selection(&self) -> &Selection {
        match self {
            Self::Count(selection)
            | Self::Sum(selection)
            | Self::DistinctRecipients(selection)
            | Self::Last { selection, .. } => selection,
        }
    }

    /// What the guest hands over, about.
    pub(crate) fn bytes(&self) -> usize {
        self.selection().recipient.as_ref().map_or(0, String::len) + size_of::<Self>()
    }
}

impl HistoryAnswer {
    /// What the guest is given, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Number(_) | Self::Amount(_) => size_of::<U256>(),
            Self::Transactions(transactions) => transactions.iter().map(PastTransaction::bytes).sum(),
        }
    }
}

impl PastTransaction {
    fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.transaction_id.len()
            + self.key_id.len()
            + optional(&self.recipient)
            + self.value.len()
            + optional(&self.selector)
            + size_of::<u64>()
    }
}
