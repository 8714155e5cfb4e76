//! Answers what plugins ask of the outside, for a guest that waits on a thread of the plugin host's own.

mod chain;
mod history;
mod http;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use gateway_domain::{
    Timestamp, chain::ChainState, history::HistoryView, ids::OrganizationId, plugin_state::StateView,
};
use plugin_host::{
    ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HttpAnswer, HttpQuestion, OutsideError,
    OutsidePort,
};
use tokio::runtime::Handle;

pub(crate) use self::{chain::Pinned, http::Upstreams};

/// What one evaluation may ask.
pub(crate) struct Outside {
    pub(crate) reach: Reach,
    pub(crate) history: HistoryView,
    /// Where an error goes that the plugin's answer cannot carry.
    pub(crate) state: Arc<StateView>,
}

/// The part of it that needs no database.
pub(crate) struct Reach {
    pub(crate) organization: OrganizationId,
    /// As the revision has them.
    pub(crate) grants: BTreeSet<String>,
    pub(crate) upstreams: Arc<Upstreams>,
    /// The state of the transaction's chain; absent where no node is configured.
    pub(crate) chain: Option<Arc<dyn ChainState>>,
    pub(crate) pinned: Pinned,
    /// When the evaluation was asked for: the block must not be much older.
    pub(crate) now: Timestamp,
    pub(crate) runtime: Handle,
}

/// Waits for an answer on the evaluation's thread, and no longer than the evaluation has time: nothing interrupts a
/// thread of the host that waits.
pub(super) fn wait<T>(runtime: &Handle, deadline: Instant, answer: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout_at(deadline.into(), answer).await.ok() })
}

impl OutsidePort for Outside {
    fn history(&self, question: &HistoryQuestion, deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.ask_history(question, deadline)
    }

    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        self.reach.ask_upstream(question, deadline)
    }

    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        self.reach.ask_chain(question, deadline)
    }
}

#[cfg(test)]
mod tests;
