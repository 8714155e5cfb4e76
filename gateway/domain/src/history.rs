//! What an organization's earlier transactions add up to, as a plugin may ask about it.
//!
//! Rows are added up here and not in the database: each one's seal is opened before it counts, and amounts have 256
//! bits. Hence a question reads a bounded number of rows, and one that would need more has no answer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    Address, U256,
    clock::Timestamp,
    error::Result,
    plugin_state::Fate,
    ports::{HistoryLimits, PastFilter, Store},
    sealed::Sealed,
    transactions::{Intent, Transaction},
};

/// How far a transaction got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It may still be signed.
    Open,
    /// A signature exists, or somebody else executes it.
    Released,
    /// It ended unsigned.
    Ended,
}

/// Which transactions a question is about.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    pub stage: Stage,
    /// Only those of the key that would sign.
    pub same_key: bool,
    pub recipient: Option<Address>,
    pub window: Duration,
}

/// A question that no answer is given to; the evaluation fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HistoryExceeded(String);

/// The transactions of a selection, newest first.
#[derive(Debug)]
pub struct Past(Vec<Transaction>);

/// Reads what came before one transaction.
pub struct HistoryView {
    store: Arc<dyn Store>,
    limits: HistoryLimits,
    intent: Intent,
    now: Timestamp,
}

impl HistoryView {
    pub fn new(store: Arc<dyn Store>, limits: HistoryLimits, intent: Intent, now: Timestamp) -> Self {
        Self { store, limits, intent, now }
    }

    /// All transactions of the selection.
    pub async fn select(&self, selection: &Selection) -> Result<Result<Past, HistoryExceeded>> {
        let HistoryLimits { rows_max, window_max, .. } = self.limits;
        if selection.window > window_max {
            let detail = format!("history goes back {} seconds and no further", window_max.as_secs());
            return Ok(Err(HistoryExceeded(detail)));
        }
        let filter = PastFilter {
            after: self.now.minus(selection.window),
            same_key: selection.same_key,
            recipient: selection.recipient,
            limit: rows_max.saturating_add(1),
        };
        let found = self.store.past_transactions(&self.intent, &filter).await?;
        if found.len() > rows_max as usize {
            let detail = format!("more than {rows_max} transactions would have to be read for the answer");
            return Ok(Err(HistoryExceeded(detail)));
        }
        let found = found.into_iter().map(Sealed::into_value);
        Ok(Ok(Past(found.filter(|transaction| Stage::of(transaction) == selection.stage).collect())))
    }

    /// The newest transactions of the selection, at most `limit`.
    pub async fn last(
        &self,
        selection: &Selection,
        limit: u32,
    ) -> Result<Result<Vec<Transaction>, HistoryExceeded>> {
        let named_max = self.limits.named_max;
        if limit > named_max {
            let detail = format!("history names {named_max} transactions and no more");
            return Ok(Err(HistoryExceeded(detail)));
        }
        let past = self.select(selection).await?;
        Ok(past.map(|Past(found)| found.into_iter().take(limit as usize).collect()))
    }
}

impl Past {
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// What they move of the chain's own coin; saturates, so that no sum wraps round to little.
    pub fn sum(&self) -> U256 {
        self.0.iter().map(|transaction| transaction.intent.value).fold(U256::ZERO, U256::saturating_add)
    }

    pub fn distinct_recipients(&self) -> u64 {
        self.0.iter().filter_map(|transaction| transaction.intent.to).collect::<BTreeSet<_>>().len() as u64
    }
}

impl Stage {
    fn of(transaction: &Transaction) -> Self {
        match Fate::of(transaction) {
            Fate::Open => Self::Open,
            Fate::Signed(_) => Self::Released,
            Fate::Unsigned => Self::Ended,
        }
    }
}
