//! Asking bindings.

use std::{sync::Arc, time::Duration};

use futures::future::{join, join_all, try_join_all};

use crate::{
    error::{Error, Result},
    evaluations::{Evaluation, EvaluationResult, Fresh, Purpose},
    ids::EvaluationId,
    plugin_state::{StateChanges, StateExceeded, StateUse, StateView},
    policy::{Binding, Examiner, Mode},
    ports::{EvaluationReply, EvaluationRequest, Services},
    sealed::Sealed,
    transactions::Transaction,
};

/// Failure codes that say nothing about the transaction: nobody asked the plugin. They are not recorded, the
/// caller is told to come back.
const NOT_ASKED: [&str; 7] = [
    "queue_full",
    "breaker_open",
    "shutting_down",
    "host_error",
    "cache_unavailable",
    "state_unavailable",
    "history_unavailable",
];

/// Asks each binding in a fresh sandbox, all at once; what they say comes back sealed.
pub(crate) async fn evaluate(
    services: &Services,
    transaction: &Transaction,
    bindings: &[(&Binding, u64)],
    request: &EvaluationRequest,
) -> Result<Fresh> {
    let asked =
        bindings.iter().map(|binding| ask(services, transaction, *binding, request, Purpose::Decision));
    Ok(try_join_all(asked).await?.into_iter().collect())
}

/// Asks bindings of both modes what they would say. Nothing that a plugin would remember is kept.
pub(crate) async fn evaluate_dry(
    services: &Services,
    transaction: &Transaction,
    bindings: &[(&Binding, u64)],
    request: &EvaluationRequest,
) -> Result<Vec<Sealed<Evaluation>>> {
    let (enforced, shadows): (Vec<_>, Vec<_>) =
        bindings.iter().copied().partition(|(binding, _)| binding.mode == Mode::Enforce);
    let asked = enforced.iter().map(|binding| ask(services, transaction, *binding, request, Purpose::DryRun));
    let (enforced, shadows) =
        join(try_join_all(asked), evaluate_apart(services, transaction, &shadows, request, Purpose::DryRun))
            .await;
    Ok(enforced?.into_iter().map(|(evaluation, _)| evaluation).chain(shadows).collect())
}

impl EvaluationReply {
    /// What there is to say of a plugin that was not asked.
    fn without_asking(result: EvaluationResult) -> Self {
        Self { result, duration: Duration::ZERO, record: "{}".to_owned(), state: StateChanges::default() }
    }
}

/// Asks shadows. Whatever goes wrong is what they said: nothing rests on it.
pub(crate) async fn evaluate_shadows(
    services: &Services,
    transaction: &Transaction,
    bindings: &[(&Binding, u64)],
    request: &EvaluationRequest,
) -> Vec<Sealed<Evaluation>> {
    evaluate_apart(services, transaction, bindings, request, Purpose::Shadow).await
}

async fn evaluate_apart(
    services: &Services,
    transaction: &Transaction,
    bindings: &[(&Binding, u64)],
    request: &EvaluationRequest,
    purpose: Purpose,
) -> Vec<Sealed<Evaluation>> {
    let heard = bindings.iter().map(async |binding| {
        match ask(services, transaction, *binding, request, purpose).await {
            Ok((evaluation, _)) => evaluation,
            Err(error) => {
                let cause = error.internal_cause().map_or_else(|| error.to_string(), ToString::to_string);
                let result = EvaluationResult::Failure { code: "not_asked".to_owned(), detail: cause };
                let reply = EvaluationReply::without_asking(result);
                sealed(services, transaction, (*binding, purpose), request, reply)
            }
        }
    });
    join_all(heard).await
}

async fn ask(
    services: &Services,
    transaction: &Transaction,
    (binding, policy_revision): (&Binding, u64),
    request: &EvaluationRequest,
    purpose: Purpose,
) -> Result<(Sealed<Evaluation>, Option<StateUse>)> {
    let organization = transaction.organization;
    let revision = services.store.plugin_revision(organization, binding.revision).await?;
    let Some(revision) = revision.filter(|revision| revision.subject_digest() == binding.subject_digest)
    else {
        return Err(Error::inconsistency(format!("binding {} names no such plugin revision", binding.id)));
    };
    // Decisions examine what they enforce, and again for the permit; everybody else is examined here.
    if purpose != Purpose::Decision
        && let Err(fault) = Examiner::new(services, organization).await?.examine(&revision)
    {
        let failure =
            EvaluationResult::Failure { code: fault.as_str().to_owned(), detail: fault.to_string() };
        let reply = EvaluationReply::without_asking(failure);
        let binding = ((binding, policy_revision), purpose);
        return Ok((sealed(services, transaction, binding, request, reply), None));
    }
    let (store, limits) = (services.store.clone(), services.limits.state);
    let state = Arc::new(StateView::new(store, limits, binding.id, transaction, request.now));
    let mut reply = services.evaluator.evaluate(&revision, request, &state).await;
    if let Some(error) = state.failure() {
        return Err(error);
    }
    if let EvaluationResult::Failure { code, detail } = &reply.result
        && NOT_ASKED.contains(&code.as_str())
    {
        return Err(Error::unavailable("the plugin host", detail.clone()));
    }
    let used = match remembered(services, &state, &reply, purpose).await? {
        Ok(used) => used,
        Err(exceeded) => {
            reply.result =
                EvaluationResult::Failure { code: "state_limit".to_owned(), detail: exceeded.to_string() };
            None
        }
    };
    let binding = ((binding, policy_revision), purpose);
    Ok((sealed(services, transaction, binding, request, reply), used))
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

fn sealed(
    services: &Services,
    transaction: &Transaction,
    ((binding, policy_revision), purpose): ((&Binding, u64), Purpose),
    request: &EvaluationRequest,
    reply: EvaluationReply,
) -> Sealed<Evaluation> {
    count(&binding.plugin, purpose, &reply.result);
    services.sealer.seal(Evaluation {
        id: EvaluationId::generate(request.now, services.entropy.as_ref()),
        organization: transaction.organization,
        transaction: transaction.id,
        intent_hash: transaction.intent_hash,
        binding: binding.id,
        policy_revision,
        subject_digest: binding.subject_digest,
        subject_name: binding.plugin.clone(),
        purpose,
        result: reply.result,
        duration_micros: u64::try_from(reply.duration.as_micros()).unwrap_or(u64::MAX),
        record: reply.record,
        created_at: request.now,
    })
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
