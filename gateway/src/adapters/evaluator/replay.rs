//! Evaluating a record again.

use gateway_domain::{
    B256,
    evaluations::{Evaluation, EvaluationResult},
};
use plugin_host::{EvaluationFailure, EvaluationRecord};

use super::{PluginEvaluator, outcome};

/// What came of evaluating a record again.
#[derive(Debug)]
pub(crate) enum Replayed {
    /// Result and record are the same to the byte.
    Same,
    Different {
        what: String,
        /// Whether another engine, or the same with other settings, made the record.
        engine_changed: bool,
    },
    /// The evaluation was stopped in a way that leaves nothing to repeat.
    NotRecorded,
}

/// Failures that depend on the time or on the gateway around the sandbox, and not on the record.
const NOT_REPEATABLE: [&str; 3] = ["timeout", "queue_full", "state_limit"];

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
        let engine_changed = prepared.engine_digest() != record.engine;
        let (result, repeated) = match self.host.evaluate(&prepared, record.repeat()).await {
            Ok(evaluation) => {
                (EvaluationResult::Verdict(outcome(evaluation.outcome)), Some(evaluation.record))
            }
            Err(EvaluationFailure { code, detail, record }) => {
                let result = EvaluationResult::Failure { code: code.as_str().to_owned(), detail };
                (result, record.map(|record| *record))
            }
        };
        if result != evaluation.result {
            let what = format!("it says {result:?}, where {:?} is stored", evaluation.result);
            return Replayed::Different { what, engine_changed };
        }
        let expected = EvaluationRecord { engine: prepared.engine_digest(), ..record };
        if repeated.as_ref() != Some(&expected) {
            let what = "it says the same, and asked, wrote or logged something else".to_owned();
            return Replayed::Different { what, engine_changed };
        }
        Replayed::Same
    }
}
