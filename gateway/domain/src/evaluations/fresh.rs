//! What was just heard and is not stored yet.

use crate::{
    changes::Write,
    evaluations::{Evaluation, EvaluationResult, Verdict},
    plugin_state::StateUse,
    sealed::Sealed,
};

/// What bindings said just now, and what they remember of it: stored together or not at all.
#[derive(Clone, Default)]
pub(crate) struct Fresh(Vec<Heard>);

#[derive(Clone)]
struct Heard {
    evaluation: Sealed<Evaluation>,
    state: Option<StateUse>,
}

impl Fresh {
    pub(crate) fn evaluations(&self) -> impl Iterator<Item = &Sealed<Evaluation>> {
        self.0.iter().map(|heard| &heard.evaluation)
    }

    pub(crate) fn into_evaluations(self) -> Vec<Sealed<Evaluation>> {
        self.0.into_iter().map(|heard| heard.evaluation).collect()
    }

    /// Evaluations and state, in an order in which two gateways can lock the same lineages.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut state: Vec<&StateUse> = self.0.iter().filter_map(|heard| heard.state.as_ref()).collect();
        state.sort_by_key(|state| state.lineage);
        let evaluations = self.evaluations().cloned().map(Write::InsertEvaluation);
        evaluations.chain(state.into_iter().cloned().map(Write::UseState)).collect()
    }

    #[must_use]
    pub(crate) fn and(mut self, earlier: Self) -> Self {
        self.0.extend(earlier.0);
        self
    }

    /// What rests on no state: it stands although somebody changed the state that others read.
    #[must_use]
    pub(crate) fn without_state(self) -> Self {
        Self(self.0.into_iter().filter(|heard| heard.state.is_none()).collect())
    }

    /// What may be stored without its state: a kind word that would remember something may not, because nothing
    /// would have been reserved for it.
    pub(crate) fn retainable(self) -> Vec<Sealed<Evaluation>> {
        let keeps = |heard: &Heard| heard.state.is_none() || denies(&heard.evaluation.result);
        self.0.into_iter().filter(keeps).map(|heard| heard.evaluation).collect()
    }
}

fn denies(result: &EvaluationResult) -> bool {
    match result {
        EvaluationResult::Failure { .. } => true,
        EvaluationResult::Verdict(outcome) => matches!(outcome.verdict, Verdict::Reject | Verdict::Other(_)),
    }
}

impl FromIterator<(Sealed<Evaluation>, Option<StateUse>)> for Fresh {
    fn from_iter<I: IntoIterator<Item = (Sealed<Evaluation>, Option<StateUse>)>>(heard: I) -> Self {
        Self(heard.into_iter().map(|(evaluation, state)| Heard { evaluation, state }).collect())
    }
}
