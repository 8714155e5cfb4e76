//! Asking bindings.

use std::{sync::Arc, time::Duration};

use futures::future::{join, join_all, try_join_all};

use crate::{
    error::{Error, Result},
    evaluations::{Evaluation, EvaluationResult, Fresh, NO_RECORD, Purpose, UNASKED},
    ids::{BindingId, EvaluationId},
    plugin_state::{StateChanges, StateExceeded, StateUse, StateView},
    policy::{Binding, Examiner, Mode, Policy},
    ports::{EvaluationReply, EvaluationRequest, Services},
    sealed::Sealed,
    transactions::Transaction,
};

/// One round of questions about a transaction.
struct Round<'a> {
    services: &'a Services,
    transaction: &'a Transaction,
    policy: &'a Policy,
    request: &'a EvaluationRequest,
    purpose: Purpose,
    /// Decisions examine what they enforce, and again for the permit; for everybody else this does. Where it could not be
    /// had nobody is asked.
    examiner: Option<Result<Examiner<'a>>>,
}

/// Asks each of these bindings of the policy in a fresh sandbox, all at once; what they say comes back sealed.
pub(crate) async fn evaluate(
    services: &Services,
    transaction: &Transaction,
    (policy, bindings): (&Policy, &[&Binding]),
    request: &EvaluationRequest,
) -> Result<Fresh> {
    let round = Round { services, transaction, policy, request, purpose: Purpose::Decision, examiner: None };
    Ok(try_join_all(bindings.iter().map(|binding| round.ask(binding))).await?.into_iter().collect())
}

/// Asks bindings of both modes what they would say. Nothing that a plugin would remember is kept.
pub(crate) async fn evaluate_dry(
    services: &Services,
    transaction: &Transaction,
    (policy, bindings): (&Policy, &[&Binding]),
    request: &EvaluationRequest,
) -> Result<Vec<Sealed<Evaluation>>> {
    let (enforced, shadows): (Vec<&Binding>, Vec<&Binding>) =
        bindings.iter().partition(|binding| binding.mode == Mode::Enforce);
    let examiner = Some(Ok(Examiner::new(services, transaction.organization).await?));
    let round = Round { services, transaction, policy, request, purpose: Purpose::DryRun, examiner };
    let asked = enforced.iter().map(|binding| round.ask(binding));
    let (enforced, shadows) = join(try_join_all(asked), round.apart(&shadows)).await;
    Ok(enforced?.into_iter().map(|(evaluation, _)| evaluation).chain(shadows).collect())
}

/// Asks shadows. Whatever goes wrong is what they said: nothing rests on it.
pub(crate) async fn evaluate_shadows(
    services: &Services,
    transaction: &Transaction,
    (policy, bindings): (&Policy, &[&Binding]),
    request: &EvaluationRequest,
) -> Vec<Sealed<Evaluation>> {
    let examiner = Some(Examiner::new(services, transaction.organization).await);
    Round { services, transaction, policy, request, purpose: Purpose::Shadow, examiner }.apart(bindings).await
}

impl EvaluationReply {
    /// What there is to say of a plugin that was not asked.
    fn without_asking(result: EvaluationResult) -> Self {
        Self {
            result,
            duration: Duration::ZERO,
            record: NO_RECORD.to_owned(),
            state: StateChanges::default(),
        }
    }
}

impl Round<'_> {
    /// Whatever goes wrong is what the binding said.
    async fn apart(&self, bindings: &[&Binding]) -> Vec<Sealed<Evaluation>> {
        let heard = bindings.iter().map(async |binding| match self.ask(binding).await {
            Ok((evaluation, _)) => evaluation,
            Err(error) => self.not_asked(binding, &error),
        });
        join_all(heard).await
    }

    fn not_asked(&self, binding: &Binding, error: &Error) -> Sealed<Evaluation> {
        let result = EvaluationResult::Failure { code: UNASKED.to_owned(), detail: cause_of(error) };
        self.sealed(binding, EvaluationReply::without_asking(result))
    }

    async fn ask(&self, binding: &Binding) -> Result<(Sealed<Evaluation>, Option<StateUse>)> {
        let stored = self.services.store.plugin_revision(self.transaction.organization, binding.revision);
        let revision = stored.await?.filter(|revision| revision.subject_digest() == binding.subject_digest);
        let Some(revision) = revision else {
            return Err(Error::inconsistency(format!(
                "binding {} names no such plugin revision",
                binding.id
            )));
        };
        let examiner = self.examiner.as_ref().map(Result::as_ref).transpose();
        let examiner = examiner.map_err(|error| Error::unavailable("the charter", cause_of(error)))?;
        if let Some(Err(fault)) = examiner.map(|examiner| examiner.examine(&revision)) {
            let failure =
                EvaluationResult::Failure { code: fault.as_str().to_owned(), detail: fault.to_string() };
            let reply = EvaluationReply::without_asking(failure);
            return Ok((self.sealed(binding, reply), None));
        }
        let state = Arc::new(self.state_of(binding));
        let mut reply = self.services.evaluator.evaluate(&revision, self.purpose, self.request, &state).await;
        if let Some(error) = state.failure() {
            return Err(error);
        }
        if let EvaluationResult::Failure { detail, .. } = &reply.result
            && reply.result.unasked().is_some()
        {
            return Err(Error::unavailable("the plugin host", detail.clone()));
        }
        let used = match remembered(self.services, &state, &reply, self.purpose).await? {
            Ok(used) => used,
            Err(exceeded) => {
                reply.result = EvaluationResult::Failure {
                    code: "state_quota".to_owned(),
                    detail: exceeded.to_string(),
                };
                None
            }
        };
        Ok((self.sealed(binding, reply), used))
    }

    /// What the binding reads of state. A shadow, whose own nobody ever writes, reads what the enforced binding of its
    /// plugin remembers, as it finds it after the decision: else it would judge as if nothing had happened before.
    fn state_of(&self, binding: &Binding) -> StateView {
        let (store, limits) = (self.services.store.clone(), self.services.limits.state);
        let view = |lineage| StateView::new(store, limits, lineage, self.transaction, self.request.now);
        match binding.mode {
            Mode::Enforce => view(binding.id),
            Mode::Shadow => view(self.origin_of(binding)).aside(),
        }
    }

    /// Whose memory a shadow reads: the enforced binding's of its plugin; its own, which is empty, where there is none.
    fn origin_of(&self, shadow: &Binding) -> BindingId {
        let is_origin = |binding: &&Binding| binding.mode == Mode::Enforce && binding.plugin == shadow.plugin;
        self.policy.bindings.iter().find(is_origin).unwrap_or(shadow).id
    }

    fn sealed(&self, binding: &Binding, reply: EvaluationReply) -> Sealed<Evaluation> {
        count(&binding.plugin, self.purpose, &reply.result);
        self.services.sealer.seal(Evaluation {
            id: EvaluationId::generate(self.request.now, self.services.entropy.as_ref()),
            organization: self.transaction.organization,
            transaction: self.transaction.id,
            intent_hash: self.transaction.intent_hash,
            binding: binding.id,
            policy_revision: self.policy.revision,
            subject_digest: binding.subject_digest,
            subject_name: binding.plugin.clone(),
            purpose: self.purpose,
            result: reply.result,
            duration_micros: u64::try_from(reply.duration.as_micros()).unwrap_or(u64::MAX),
            record: reply.record,
            created_at: self.request.now,
        })
    }
}

fn cause_of(error: &Error) -> String {
    error.internal_cause().map_or_else(|| error.to_string(), ToString::to_string)
}

/// What is to be stored of the state that a plugin used: nothing for one that failed, or that nobody listens to.
async fn remembered(
    services: &Services,
    state: &StateView,
    reply: &EvaluationReply,
    purpose: Purpose,
) -> Result<Result<Option<StateUse>, StateExceeded>> {
    match (&reply.result, purpose) {
        (EvaluationResult::Verdict(_), Purpose::Decision) => state.used(&services.sealer, &reply.state).await,
        (EvaluationResult::Failure { .. }, _) | (_, Purpose::Shadow | Purpose::DryRun | Purpose::Replay) => {
            Ok(Ok(None))
        }
    }
}

fn count(plugin: &str, purpose: Purpose, result: &EvaluationResult) {
    let result = match result {
        EvaluationResult::Verdict(outcome) => outcome.verdict.as_str().to_owned(),
        EvaluationResult::Failure { code, .. } => code.clone(),
    };
    let labels =
        [("plugin", plugin.to_owned()), ("purpose", purpose.as_str().to_owned()), ("result", result)];
    metrics::counter!("countersign_evaluations_total", &labels).increment(1);
}
