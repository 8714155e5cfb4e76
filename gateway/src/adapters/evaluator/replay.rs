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
    /// The evaluation ended in a way that leaves nothing to repeat.
    NotRepeatable(Ended),
}

/// How an evaluation ended that depends on the time or on the gateway around the sandbox, and not on the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody asked the plugin: its revision may not judge, or the gateway could not.
    Unasked,
    /// The deadline passed before the plugin had answered.
    Late,
    /// The plugin had answered; the gateway refused what it would remember.
    OverQuota,
    /// The gateway failed, or was shut down, under the evaluation.
    Abandoned,
}

/// What is not as it was when the record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// It is another engine, or the same with other settings.
    pub(crate) engine: bool,
    /// `[plugins]` bounds evaluations otherwise.
    pub(crate) limits: bool,
}

impl PluginEvaluator {
    /// Feeds the evaluation's component with the evaluation's record, and compares what comes of it with what was
    /// stored.
    pub(crate) async fn replay(&self, evaluation: &Evaluation) -> Replayed {
        if let Some(ended) = Ended::of(&evaluation.result, evaluation.is_recorded()) {
            return Replayed::NotRepeatable(ended);
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

impl Ended {
    /// None where the record shows how the evaluation ended.
    fn of(result: &EvaluationResult, is_recorded: bool) -> Option<Self> {
        let EvaluationResult::Failure { code, .. } = result else { return None };
        match code.as_str() {
            _ if !is_recorded => Some(Self::Unasked),
            "timeout" => Some(Self::Late),
            "state_quota" => Some(Self::OverQuota),
            "shutting_down" | "host_error" => Some(Self::Abandoned),
            _ => None,
        }
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
