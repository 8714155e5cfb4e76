//! Evaluating a record again.

use gateway_domain::{
    B256,
    evaluations::{Evaluation, EvaluationResult},
};
use plugin_host::{Digest, EvaluationFailure, EvaluationRecord, PreparedPlugin};

use super::{PluginEvaluator, outcome};

#[cfg(test)]
mod tests;

/// What came of evaluating a record again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// Result and record are the same to the byte.
    Same(Changed),
    Different {
        what: String,
        /// What may have caused it.
        changed: Changed,
    },
    /// The evaluation was stopped in a way that leaves nothing to repeat.
    NotRecorded,
}

/// What is not as it was when the record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// It is another engine, or the same with other settings.
    pub(crate) engine: bool,
    /// `[plugins]` bounds evaluations otherwise.
    pub(crate) limits: bool,
}

/// Failures that depend on the time or on the gateway around the sandbox, and not on the record.
const NOT_REPEATABLE: [&str; 4] = ["timeout", "shutting_down", "host_error", "state_quota"];

impl PluginEvaluator {
    /// Feeds the evaluation's component with the evaluation's record, and compares what comes of it with what was
    /// stored.
    pub(crate) async fn replay(&self, evaluation: &Evaluation) -> Replayed {
        if let EvaluationResult::Failure { code, .. } = &evaluation.result
            && (evaluation.record == "{}" || NOT_REPEATABLE.contains(&code.as_str()))
        {
            return Replayed::NotRecorded;
        }
        let different = |what: String, changed| Replayed::Different { what, changed };
        let record: EvaluationRecord = match serde_json::from_str(&evaluation.record) {
            Ok(record) => record,
            Err(error) => {
                return different(format!("the record cannot be read: {error}"), Changed::default());
            }
        };
        let prepared = match self.prepare(B256::new(record.component.0)).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                let changed = Changed { engine: false, limits: self.limits_changed(&record).await };
                return different(format!("the component cannot be run: {failure}"), changed);
            }
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
        compare((&evaluation.result, record), (&result, repeated), Sandbox::of(&prepared))
    }

    /// Whether a component that could not be prepared is bound otherwise now.
    async fn limits_changed(&self, record: &EvaluationRecord) -> bool {
        let component = self.store.component(B256::new(record.component.0)).await.ok().flatten();
        component.is_some_and(|bytes| self.host.limits_digest(bytes.len()) != record.limits)
    }
}

/// What ran an evaluation, as its record names it.
#[derive(Clone, Copy)]
struct Sandbox {
    engine: Digest,
    limits: Digest,
}

impl Sandbox {
    fn of(prepared: &PreparedPlugin) -> Self {
        Self { engine: prepared.engine_digest(), limits: prepared.limits_digest() }
    }
}

/// Compares what was stored with what came of it in the sandbox of today.
fn compare(
    (stored, record): (&EvaluationResult, EvaluationRecord),
    (result, repeated): (&EvaluationResult, Option<EvaluationRecord>),
    Sandbox { engine, limits }: Sandbox,
) -> Replayed {
    let changed = Changed { engine: engine != record.engine, limits: limits != record.limits };
    if result != stored {
        let what = format!("it says {result:?}, where {stored:?} is stored");
        return Replayed::Different { what, changed };
    }
    let expected = EvaluationRecord { engine, limits, ..record };
    if repeated.as_ref() != Some(&expected) {
        let what = "it says the same, and asked, wrote or logged something else".to_owned();
        return Replayed::Different { what, changed };
    }
    Replayed::Same(changed)
}
