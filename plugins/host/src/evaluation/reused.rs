//! One instance for many evaluations: what a fresh one for each costs can only be told beside it. No decision is ever
//! made so, and none can be: there are no outcomes here, times alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{check, classify, failure, instantiated};
use crate::failure::EvaluationFailure;
use crate::prepare::PreparedPlugin;
use crate::record::EvaluationRequest;
use crate::sandbox::Sandbox;

/// What evaluations took in an instance that had evaluated before.
#[derive(Debug)]
pub struct Reused {
    /// Of each evaluation after the first, in their order: call, answer and its examination.
    pub times: Vec<Duration>,
    /// Why it ended before all requests had their turn: what a fresh instance never meets, such as memory that fills.
    pub stopped: Option<EvaluationFailure>,
}

/// Evaluates each request in the same instance.
pub(crate) fn time_reused(
    plugin: &PreparedPlugin,
    requests: Vec<EvaluationRequest>,
    deadline: Instant,
) -> Result<Reused, EvaluationFailure> {
    let mut requests = requests.into_iter();
    let mut reused = Reused { times: Vec::with_capacity(requests.len()), stopped: None };
    let Some(first) = requests.next() else { return Ok(reused) };
    let limits = Arc::clone(plugin.limits());
    let sandbox = Sandbox::new(limits, first.grants).with_inputs(
        first.settings,
        first.requested_at_ms,
        first.state,
        (first.outside, deadline),
    );
    let mut store = sandbox.into_store(plugin.engine(), deadline, None);
    let instance =
        instantiated(plugin, &mut store).map_err(|error| failure(classify::stop(&error, store.data())))?;
    let answered = instance.evaluate(&mut store, &first.verified, &first.claimed);
    check(answered, store.data()).map_err(failure)?;
    for request in requests {
        let EvaluationRequest { verified, claimed, settings, state, outside, requested_at_ms, .. } = request;
        store.data_mut().renew(settings, requested_at_ms, state, (outside, deadline));
        let begun = Instant::now();
        let answered = instance.evaluate(&mut store, &verified, &claimed);
        match check(answered, store.data()) {
            Ok(_) => reused.times.push(begun.elapsed()),
            Err(stop) => {
                reused.stopped = Some(failure(stop));
                break;
            }
        }
    }
    Ok(reused)
}
