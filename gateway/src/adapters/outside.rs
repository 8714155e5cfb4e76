//! Answers what plugins ask of the outside, for a guest that waits on a thread of the plugin host's own.

mod chain;
mod history;
mod http;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use gateway_domain::{chain::ChainState, history::HistoryView, ids::OrganizationId, plugin_state::StateView};
use plugin_host::{
    ChainAnswer, ChainQuestion, HistoryAnswer, HistoryQuestion, HttpAnswer, HttpQuestion, OutsideError,
    OutsidePort,
};
use tokio::runtime::Handle;

pub(crate) use self::{chain::Pinned, http::Upstreams};

/// What one evaluation may ask.
pub(crate) struct Outside {
    pub(crate) organization: OrganizationId,
    /// As the revision has them.
    pub(crate) grants: BTreeSet<String>,
    pub(crate) history: HistoryView,
    pub(crate) upstreams: Arc<Upstreams>,
    /// The state of the transaction's chain; absent where no node is configured.
    pub(crate) chain: Option<Arc<dyn ChainState>>,
    pub(crate) pinned: Pinned,
    /// Where an error goes that the plugin's answer cannot carry.
    pub(crate) state: Arc<StateView>,
    pub(crate) runtime: Handle,
}

/// Waits for an answer on the evaluation's thread, and no longer than the evaluation has time: nothing interrupts a
/// thread of the host that waits.
fn wait<T>(runtime: &Handle, deadline: Instant, answer: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout_at(deadline.into(), answer).await.ok() })
}

impl OutsidePort for Outside {
    fn history(&self, question: &HistoryQuestion, deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.ask_history(question, deadline)
    }

    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        self.ask_upstream(question, deadline)
    }

    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        self.ask_chain(question, deadline)
    }
}

#[cfg(test)]
mod tests;
