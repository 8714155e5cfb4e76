//! What judges: plugins in their sandbox.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy_primitives::B256;
use async_trait::async_trait;

use crate::{
    approvals::Vote,
    clock::Timestamp,
    error::Result,
    evaluations::{EvaluationResult, Purpose},
    ids::OrganizationId,
    plugin_state::{StateChanges, StateView},
    policy::{Examined, PluginRevision},
    sealed::Sealed,
    transactions::Transaction,
};

/// Everything a plugin is told about a transaction.
#[derive(Clone, Debug)]
pub struct EvaluationRequest {
    pub transaction: Transaction,
    /// The call the data makes, where the gateway could decode it.
    pub call: Option<crate::chain::DecodedCall>,
    /// Executed transactions of this key to this recipient.
    pub executed_to_recipient: u64,
    pub approvals: Vec<Vote>,
    pub now: Timestamp,
}

/// What came of asking a plugin.
#[derive(Clone, Debug)]
pub struct EvaluationReply {
    pub result: EvaluationResult,
    pub duration: Duration,
    /// JSON that replays the evaluation.
    pub record: String,
    /// What the plugin would remember; counts only with a verdict that is recorded.
    pub state: StateChanges,
}

/// A plugin that is not stored yet.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub organization: OrganizationId,
    /// SHA-256 of the component.
    pub component_digest: B256,
    pub settings: &'a str,
    pub grants: &'a BTreeSet<String>,
}

/// Asks sandboxed plugins. A failure to ask is a reply too: it denies.
#[async_trait]
pub trait Evaluator: Send + Sync {
    /// `state` answers a plugin that is granted state; it reads, and writes nothing. What is no more than tried out holds up
    /// nothing that is decided.
    async fn evaluate(
        &self,
        revision: &Sealed<PluginRevision>,
        purpose: Purpose,
        request: &EvaluationRequest,
        state: &Arc<StateView>,
    ) -> EvaluationReply;

    /// Compiles the candidate's component within the limits of uploads, and has it check its settings.
    /// [`Error::Invalid`](crate::Error::Invalid) names what is wrong with component, settings or grants.
    async fn examine(&self, candidate: &Candidate<'_>, component: Arc<[u8]>) -> Result<Examined>;

    /// Those of the grants that grant nothing to the organization as this gateway is configured, and why. Runs nothing.
    fn grant_faults(&self, organization: OrganizationId, grants: &BTreeSet<String>) -> Vec<String>;
}
