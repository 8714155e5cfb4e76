//! Asks plugins: translates a transaction into the contract's records and a verdict back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gateway_domain::{
    B256, Error, Result as DomainResult,
    approvals::Role,
    chain::{ChainId, ChainState},
    evaluations::{EvaluationResult, Outcome, Purpose, Verdict},
    history::HistoryView,
    ids::{OrganizationId, PluginRevisionId},
    plugin_state::{self, StateChanges, StateView},
    policy::{Examined, PluginRevision},
    ports::{Candidate, EvaluationReply, EvaluationRequest, Evaluator, HistoryLimits, Store},
    sealed::Sealed,
};
use plugin_host::{
    Capability, ComponentSource, Counted, CounterName, Digest, EvaluationFailure, EvaluationRecord,
    FailureCode, NoState, PluginHost, PreparedPlugin, Settings, StatePort, StatePortError,
};
use tokio::runtime::Handle;

mod recent;
mod replay;
mod request;

pub(crate) use replay::{Changed, Ended, Replayed};
pub(crate) use request::require_told_so;

use self::{
    recent::Recent,
    request::{claimed, verified},
};
use super::outside::{self, Outside, Pinned, Reach, Upstreams};
use crate::grants::{self, Granted};

/// What plugins may be granted to ask besides state.
pub(crate) struct Sources {
    pub(crate) history: HistoryLimits,
    pub(crate) upstreams: Arc<Upstreams>,
    /// Chains with a node.
    pub(crate) chains: BTreeMap<ChainId, Arc<dyn ChainState>>,
}

pub(crate) struct PluginEvaluator {
    host: PluginHost,
    store: Arc<dyn Store>,
    sources: Sources,
    /// Components that were verified, compiled and linked in this process, by digest.
    prepared: Mutex<Recent<B256, Arc<PreparedPlugin>>>,
    /// Settings of the revisions that were asked, hashed. Revisions are never edited.
    settings: Mutex<Recent<PluginRevisionId, Settings>>,
}

impl PluginEvaluator {
    /// Keeps so many components, and settings, at hand; others are loaded again when they are asked for.
    pub(crate) fn new(
        host: PluginHost,
        store: Arc<dyn Store>,
        sources: Sources,
        prepared_max: usize,
    ) -> Self {
        let (prepared, settings) = (Recent::new(prepared_max), Recent::new(prepared_max));
        Self { host, store, sources, prepared: prepared.into(), settings: settings.into() }
    }

    /// Removes what was compiled of components that no revision judges with any more. It costs nothing but time to have
    /// removed too much, so whatever fails is only told.
    pub(crate) async fn prune(&self) {
        let kept = match self.store.live_components().await {
            Ok(live) => self.host.keep_compiled(&live.into_iter().map(|digest| Digest(digest.0)).collect()),
            Err(error) => return tracing::warn!(%error, "compiled components were not looked through"),
        };
        if let Err(failure) = kept {
            tracing::warn!(%failure, "compiled components were not looked through");
        }
    }

    /// The linked component of a revision; its bytes are hashed again whenever they are loaded.
    pub(crate) async fn prepare(&self, digest: B256) -> Result<Arc<PreparedPlugin>, EvaluationFailure> {
        if let Some(prepared) = self.cached(digest) {
            return Ok(prepared);
        }
        let bytes = self.store.component(digest).await.map_err(|error| {
            EvaluationFailure::new(FailureCode::HostError, format!("the component cannot be read: {error}"))
        })?;
        let Some(bytes) = bytes else {
            return Err(EvaluationFailure::new(
                FailureCode::HostError,
                "the component is not in the database",
            ));
        };
        let source = ComponentSource { bytes: bytes.into(), digest: Digest(digest.0) };
        let prepared = self.host.prepare(source).await?;
        self.locked().insert(digest, Arc::clone(&prepared));
        Ok(prepared)
    }

    fn cached(&self, digest: B256) -> Option<Arc<PreparedPlugin>> {
        self.locked().get(digest)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Recent<B256, Arc<PreparedPlugin>>> {
        self.prepared.lock().expect("nobody panics while holding the map")
    }

    fn settings(&self, revision: &PluginRevision) -> Settings {
        let mut known = self.settings.lock().expect("nobody panics while holding the map");
        if let Some(settings) = known.get(revision.id) {
            return settings;
        }
        let settings = Settings::from(revision.settings.as_str());
        known.insert(revision.id, settings.clone());
        settings
    }

    fn outside(
        &self,
        revision: &PluginRevision,
        request: &EvaluationRequest,
        view: &Arc<StateView>,
    ) -> Outside {
        let intent = &request.transaction.intent;
        let limits = self.sources.history;
        Outside {
            reach: Reach {
                organization: intent.organization,
                grants: revision.grants.clone(),
                upstreams: Arc::clone(&self.sources.upstreams),
                chain: self.sources.chains.get(&intent.chain).cloned(),
                pinned: Pinned::default(),
                now: request.now,
                runtime: Handle::current(),
            },
            history: HistoryView::new(self.store.clone(), limits, intent.clone(), request.now),
            state: Arc::clone(view),
        }
    }

    async fn ask(
        &self,
        (revision, purpose): (&PluginRevision, Purpose),
        request: &EvaluationRequest,
        view: &Arc<StateView>,
    ) -> Result<plugin_host::Evaluation, EvaluationFailure> {
        let prepared = self.prepare(revision.component_digest).await?;
        let grants = Granted::of(&revision.grants).capabilities();
        let state: Arc<dyn StatePort> = if grants.allows(Capability::State) {
            Arc::new(BlockingState { view: Arc::clone(view), runtime: Handle::current() })
        } else {
            Arc::new(NoState)
        };
        let question = || plugin_host::EvaluationRequest {
            verified: verified(request),
            claimed: claimed(request),
            settings: self.settings(revision),
            grants,
            state: Arc::clone(&state),
            outside: Arc::new(self.outside(revision, request, view)),
            requested_at_ms: request.now.unix_millis(),
            deadline: None,
        };
        let answer = match purpose {
            Purpose::DryRun => self.host.try_out(&prepared, question()).await,
            Purpose::Shadow => self.host.shadow(&prepared, question()).await,
            Purpose::Decision | Purpose::Replay => self.host.evaluate(&prepared, question()).await,
        };
        answer.map_err(|mut failure| {
            failure
                .record
                .get_or_insert_with(|| Box::new(EvaluationRecord::unanswered(&prepared, question())));
            failure
        })
    }
}

#[async_trait]
impl Evaluator for PluginEvaluator {
    #[tracing::instrument(
        name = "plugin.evaluate",
        skip_all,
        fields(plugin.name = %revision.plugin, transaction.id = %request.transaction.id)
    )]
    async fn evaluate(
        &self,
        revision: &Sealed<PluginRevision>,
        purpose: Purpose,
        request: &EvaluationRequest,
        state: &Arc<StateView>,
    ) -> EvaluationReply {
        let started = Instant::now();
        match self.ask((revision, purpose), request, state).await {
            Ok(evaluation) => EvaluationReply {
                result: EvaluationResult::Verdict(outcome(evaluation.outcome)),
                duration: Duration::from_micros(evaluation.duration_micros),
                record: json(&evaluation.record),
                state: state_changes(evaluation.record),
            },
            Err(failure) => EvaluationReply {
                result: EvaluationResult::Failure {
                    code: failure.code.as_str().to_owned(),
                    detail: failure.detail.clone(),
                },
                duration: started.elapsed(),
                record: failure.record.as_deref().map_or_else(|| "{}".to_owned(), json),
                state: StateChanges::default(),
            },
        }
    }

    async fn examine(&self, candidate: &Candidate<'_>, component: Arc<[u8]>) -> DomainResult<Examined> {
        if let Some(fault) = self.grant_faults(candidate.organization, candidate.grants).first() {
            return Err(Error::invalid(format!("grants: {fault}")));
        }
        // Whoever reads them reads the same: languages differ about keys that are given twice.
        if let Some(fault) = Settings::from(candidate.settings).fault() {
            return Err(Error::invalid(format!("settings: {fault}")));
        }
        let (digest, bytes) = (Digest(candidate.component_digest.0), component.len() as u64);
        let prepared = self.host.prepare(ComponentSource { bytes: component, digest }).await;
        let prepared = prepared.map_err(|failure| unexamined(&failure))?;
        let granted = Granted::of(candidate.grants).capabilities();
        if let Err(missing) = prepared.require_granted(granted) {
            return Err(Error::invalid(format!(
                "grants: the component imports `{missing}`, which is not granted: a plugin gets what it is granted \
                 and nothing else"
            )));
        }
        let organization = candidate.organization.to_string();
        let problems = self.host.validate_settings_for(&organization, &prepared, candidate.settings).await;
        let problems = problems.map_err(|failure| unexamined(&failure))?;
        if !problems.is_empty() {
            // Without a field the problem is the whole of them.
            let named = |field: &str| if field.is_empty() { "they".to_owned() } else { format!("`{field}`") };
            let shown: Vec<_> = problems
                .iter()
                .map(|problem| format!("{} {}", named(&problem.field), problem.rule))
                .collect();
            return Err(Error::invalid(format!("settings are refused by the plugin: {}", shown.join("; "))));
        }
        Ok(Examined {
            imports: prepared.imports().to_vec(),
            wanted: prepared.required().iter().map(|capability| capability.to_string()).collect(),
            contract: prepared.contract_version().to_owned(),
            bytes,
        })
    }

    fn grant_faults(&self, organization: OrganizationId, grants: &BTreeSet<String>) -> Vec<String> {
        grants::faults(grants, &self.sources.upstreams, organization).collect()
    }
}

/// Faults of the component are the sender's, faults of the host are not.
fn unexamined(failure: &EvaluationFailure) -> Error {
    match failure.code {
        FailureCode::QueueFull
        | FailureCode::ShuttingDown
        | FailureCode::CacheUnavailable
        | FailureCode::HostError => Error::unavailable("the plugin host", failure.to_string()),
        _ => Error::invalid(format!("component: {failure}")),
    }
}

fn json(record: &EvaluationRecord) -> String {
    serde_json::to_string(record).expect("records have string keys only")
}

/// The domain's view of state for a guest, which waits on a thread of the plugin host's own.
struct BlockingState {
    view: Arc<StateView>,
    runtime: Handle,
}

impl BlockingState {
    fn wait<T>(
        &self,
        deadline: Instant,
        answer: impl Future<Output = gateway_domain::Result<T>>,
    ) -> Result<T, StatePortError> {
        let answer = outside::wait(&self.runtime, deadline, answer);
        let in_time = answer.unwrap_or_else(|| Err(Error::unavailable("database", "the deadline passed")));
        in_time.map_err(|error| {
            let shown = StatePortError(error.to_string());
            self.view.fail(error);
            shown
        })
    }
}

impl StatePort for BlockingState {
    fn read(&self, key: &str, deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        self.wait(deadline, self.view.value(key))
    }

    fn counted(&self, counter: &CounterName, deadline: Instant) -> Result<Counted, StatePortError> {
        let found = self.wait(deadline, self.view.counted(&counter_name(counter)))?;
        Ok(Counted { others: found.others, is_final: found.is_final })
    }
}

fn counter_name(counter: &CounterName) -> plugin_state::CounterName {
    plugin_state::CounterName { name: counter.name.clone(), window_seconds: counter.window_seconds }
}

fn state_changes(record: EvaluationRecord) -> StateChanges {
    let reserved =
        |reservation: plugin_host::Reservation| (counter_name(&reservation.counter), reservation.amount);
    StateChanges {
        values: record.state_writes.into_iter().map(|write| (write.key, write.value)).collect(),
        reservations: record.reservations.into_iter().map(reserved).collect(),
    }
}

pub(crate) fn outcome(outcome: plugin_host::Outcome) -> Outcome {
    let verdict = match outcome.verdict {
        plugin_host::Verdict::Approve => Verdict::Approve,
        plugin_host::Verdict::Reject => Verdict::Reject,
        plugin_host::Verdict::Abstain => Verdict::Abstain,
        plugin_host::Verdict::NeedApprovals(needs) => Verdict::NeedApprovals(
            needs.into_iter().map(|need| (Role::from(need.role), need.count)).collect(),
        ),
        plugin_host::Verdict::Other(name) => Verdict::Other(name),
    };
    Outcome {
        verdict,
        reason_code: outcome.reason_code,
        analysis: outcome.analysis,
        confidence_ppm: Some(outcome.confidence_ppm),
        evidence: outcome.evidence,
    }
}
