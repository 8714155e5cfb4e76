//! Evaluating a record again.

use gateway_domain::{
    B256,
    evaluations::{Evaluation, EvaluationResult},
};
use plugin_host::{Digest, EvaluationFailure, EvaluationRecord};

use super::{PluginEvaluator, outcome};

#[cfg(test)]
mod tests;

/// What came of evaluating a record again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// Result and record are the same to the byte.
    Same {
        /// Whether another engine, or the same with other settings, made the record.
        engine_changed: bool,
    },
    Different {
        what: String,
        /// As above.
        engine_changed: bool,
    },
    /// The evaluation was stopped in a way that leaves nothing to repeat.
    NotRecorded,
}

/// Failures that depend on the time or on the gateway around the sandbox, and not on the record.
const NOT_REPEATABLE: [&str; 4] = ["timeout", "queue_full", "breaker_open", "state_limit"];

impl PluginEvaluator {
    /// Feeds the evaluation's component with the evaluation's record, and compares what comes of it with what was
    /// stored.
    pub(crate) async fn replay(&self, evaluation: &Evaluation) -> Replayed {
        if let EvaluationResult::Failure { code, .. } = &evaluation.result
            && (evaluation.record == "{}" || NOT_REPEATABLE.contains(&code.as_str()))
        {
            return Replayed::NotRecorded;
        }
        let different = |what: String| Replayed::Different { what, engine_changed: false };
        let record: EvaluationRecord = match serde_json::from_str(&evaluation.record) {
            Ok(record) => record,
            Err(error) => return different(format!("the record cannot be read: {error}")),
        };
        let prepared = match self.prepare(B256::new(record.component.0)).await {
            Ok(prepared) => prepared,
            Err(failure) => return different(format!("the component cannot be run: {failure}")),
        };
        let (result, repeated) = match self.host.repeat(&prepared, &record).await {
            Ok(evaluation) => {
                (EvaluationResult::Verdict(outcome(evaluation.outcome)), Some(evaluation.record))
            }
            Err(EvaluationFailure { code, detail, record }) => {
                let result = EvaluationResult::Failure { code: code.as_str().to_owned(), detail };
                (result, record.map(|record| *record))
            }
        };
        compare((&evaluation.result, record), (&result, repeated), prepared.engine_digest())
    }
}

/// Compares what was stored with what came of it on `engine`.
fn compare(
    (stored, record): (&EvaluationResult, EvaluationRecord),
    (result, repeated): (&EvaluationResult, Option<EvaluationRecord>),
    engine: Digest,
) -> Replayed {
    let engine_changed = engine != record.engine;
    if result != stored {
        let what = format!("it says {result:?}, where {stored:?} is stored");
        return Replayed::Different { what, engine_changed };
    }
    let expected = EvaluationRecord { engine, ..record };
    if repeated.as_ref() != Some(&expected) {
        let what = "it says the same, and asked, wrote or logged something else".to_owned();
        return Replayed::Different { what, engine_changed };
    }
    Replayed::Same { engine_changed }
}
