//! Asking bindings.

use std::{sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};

use crate::{
    error::{Error, Result},
    evaluations::{Evaluation, EvaluationResult, Fresh, Purpose},
    ids::EvaluationId,
    plugin_state::{StateChanges, StateExceeded, StateUse, StateView},
    policy::{Binding, Mode},
    ports::{EvaluationReply, EvaluationRequest, Services},
    sealed::Sealed,
    transactions::Transaction,
};

/// Failure codes that say nothing about the transaction: nobody asked the plugin. They are not recorded, the
/// caller is told to come back.
const NOT_ASKED: [&str; 6] = [
    "queue_full",
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
        bindings.iter().map(|(binding, revision)| ask(services, transaction, binding, *revision, request));
    Ok(try_join_all(asked).await?.into_iter().collect())
}

/// Asks shadows. Whatever goes wrong is what they said: nothing rests on it.
pub(crate) async fn evaluate_shadows(
    services: &Services,
    transaction: &Transaction,
    bindings: &[(&Binding, u64)],
    request: &EvaluationRequest,
) -> Vec<Sealed<Evaluation>> {
    let heard = bindings.iter().map(async |(binding, revision)| {
        match ask(services, transaction, binding, *revision, request).await {
            Ok((evaluation, _)) => evaluation,
            Err(error) => {
                let cause = error.internal_cause().map_or_else(|| error.to_string(), ToString::to_string);
                let result = EvaluationResult::Failure { code: "not_asked".to_owned(), detail: cause };
                let reply = EvaluationReply {
                    result,
                    duration: Duration::ZERO,
                    record: String::from("{}"),
                    state: StateChanges::default(),
                };
                sealed(services, transaction, (binding, *revision), request, reply)
            }
        }
    });
    join_all(heard).await
}

async fn ask(
    services: &Services,
    transaction: &Transaction,
    binding: &Binding,
    policy_revision: u64,
    request: &EvaluationRequest,
) -> Result<(Sealed<Evaluation>, Option<StateUse>)> {
    let organization = transaction.organization;
    let revision = services.store.plugin_revision(organization, binding.revision).await?;
    let Some(revision) = revision.filter(|revision| revision.subject_digest() == binding.subject_digest)
    else {
        return Err(Error::inconsistency(format!("binding {} names no such plugin revision", binding.id)));
    };
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
    let used = match remembered(services, binding, &state, &reply).await? {
        Ok(used) => used,
        Err(exceeded) => {
            reply.result =
                EvaluationResult::Failure { code: "state_limit".to_owned(), detail: exceeded.to_string() };
            None
        }
    };
    Ok((sealed(services, transaction, (binding, policy_revision), request, reply), used))
}

/// What is to be stored of the state that a plugin used: nothing for one that failed, or that nobody listens to.
async fn remembered(
    services: &Services,
    binding: &Binding,
    state: &StateView,
    reply: &EvaluationReply,
) -> Result<Result<Option<StateUse>, StateExceeded>> {
    match (&reply.result, binding.mode) {
        (EvaluationResult::Verdict(_), Mode::Enforce) => state.used(&services.sealer, &reply.state).await,
        (EvaluationResult::Failure { .. }, _) | (_, Mode::Shadow) => Ok(Ok(None)),
    }
}

fn sealed(
    services: &Services,
    transaction: &Transaction,
    (binding, policy_revision): (&Binding, u64),
    request: &EvaluationRequest,
    reply: EvaluationReply,
) -> Sealed<Evaluation> {
    count(&binding.plugin, &reply.result);
    services.sealer.seal(Evaluation {
        id: EvaluationId::generate(request.now, services.entropy.as_ref()),
        organization: transaction.organization,
        transaction: transaction.id,
        intent_hash: transaction.intent_hash,
        binding: binding.id,
        policy_revision,
        subject_digest: binding.subject_digest,
        subject_name: binding.plugin.clone(),
        purpose: if binding.mode == Mode::Enforce { Purpose::Decision } else { Purpose::Shadow },
        result: reply.result,
        duration_micros: u64::try_from(reply.duration.as_micros()).unwrap_or(u64::MAX),
        record: reply.record,
        created_at: request.now,
    })
}

fn count(plugin: &str, result: &EvaluationResult) {
    let result = match result {
        EvaluationResult::Verdict(outcome) => outcome.verdict.as_str().to_owned(),
        EvaluationResult::Failure { code, .. } => code.clone(),
    };
    metrics::counter!("countersign_evaluations_total", "plugin" => plugin.to_owned(), "result" => result)
        .increment(1);
}
