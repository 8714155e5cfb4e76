//! What two plugins say about the same transactions, and where that makes another decision.

use std::collections::BTreeSet;

use gateway_domain::{
    approvals::Role,
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::TransactionId,
};
use serde_json::{Value, json};

use crate::cli::{output::Format, status::Status};

#[cfg(test)]
mod tests;

/// What a verdict does to a decision.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// Where the binding is an authority, an approval of too little confidence demands the arbiter as well.
    Approves {
        is_confident: bool,
    },
    Abstains,
    /// Also approves, where the binding is an authority.
    Demands {
        needs: BTreeSet<(Role, u32)>,
        is_confident: bool,
    },
    Denies,
}

/// Counts, and the transactions that differ.
#[derive(Default)]
pub(super) struct Comparison {
    compared: u64,
    /// Same effect, in other words or with a confidence on the same side of what was demanded.
    reworded: u64,
    changed: u64,
    not_comparable: u64,
    /// The first of what is counted above, as much as is shown.
    shown: Vec<(Value, String)>,
    shown_max: usize,
}

impl Comparison {
    /// Lists so many transactions at most, and counts all.
    pub(super) fn listing(shown_max: usize) -> Self {
        Self { shown_max, ..Self::default() }
    }

    pub(super) fn compare(
        &mut self,
        (transaction, minimum_confidence_ppm): (TransactionId, u32),
        before: &EvaluationResult,
        after: &EvaluationResult,
    ) {
        self.compared += 1;
        if effect(before, minimum_confidence_ppm) != effect(after, minimum_confidence_ppm) {
            self.changed += 1;
            let (before, after) = (word(before), word(after));
            self.show(
                json!({ "transaction": transaction, "kind": "changed", "before": before, "after": after }),
                format!("{transaction}  {before} -> {after}"),
            );
        } else if before != after {
            self.reworded += 1;
        }
    }

    /// Notes a transaction about which nothing can be said.
    pub(super) fn skip(&mut self, transaction: TransactionId, why: &str) {
        self.not_comparable += 1;
        let why = plugin_host::plain(why, 300);
        let line = format!("{transaction}  not comparable: {why}");
        self.show(json!({ "transaction": transaction, "kind": "not_comparable", "why": why }), line);
    }

    pub(super) fn progress(&self, transactions: usize) -> String {
        let Self { compared, changed, not_comparable, .. } = self;
        format!(
            "{transactions} transactions: {compared} compared, {changed} changed, {not_comparable} not comparable"
        )
    }

    /// Prints everything; ends with a fault if any decision would have been another, or if none could be compared:
    /// that shows nothing.
    pub(super) fn print(self, format: Format) -> anyhow::Result<Status> {
        let Self { compared, reworded, changed, not_comparable, shown, .. } = self;
        let (values, mut lines): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
        let counted = changed + not_comparable;
        if counted > lines.len() as u64 {
            lines.push(format!("and {} more", counted - lines.len() as u64));
        }
        lines.push(format!(
            "{compared} compared: {changed} changed, {reworded} the same in other words; {not_comparable} not comparable"
        ));
        let value = json!({
            "compared": compared, "changed": changed, "reworded": reworded, "notComparable": not_comparable,
            "transactions": values,
        });
        if compared == 0 {
            lines.push("nothing was compared, which shows nothing of what would change".to_owned());
        }
        format.print(&value, &lines)?;
        Ok(if changed == 0 && compared > 0 { Status::Done } else { Status::Unverified })
    }

    fn show(&mut self, value: Value, line: String) {
        if self.shown.len() < self.shown_max {
            self.shown.push((value, line));
        }
    }
}

/// The last word of a plugin's binding for this purpose.
pub(super) fn last_word<'a>(
    evaluations: &'a [Evaluation],
    plugin: &str,
    purpose: Purpose,
) -> Option<&'a Evaluation> {
    let fits = |evaluation: &&Evaluation| evaluation.subject_name == plugin && evaluation.purpose == purpose;
    evaluations.iter().rfind(fits)
}

fn effect(result: &EvaluationResult, minimum_confidence_ppm: u32) -> Effect {
    match result {
        EvaluationResult::Failure { .. } => Effect::Denies,
        EvaluationResult::Verdict(outcome) => {
            let is_confident = outcome.confidence_ppm.unwrap_or(0) >= minimum_confidence_ppm;
            match &outcome.verdict {
                Verdict::Approve => Effect::Approves { is_confident },
                Verdict::Abstain => Effect::Abstains,
                Verdict::NeedApprovals(needs) => {
                    Effect::Demands { needs: needs.iter().cloned().collect(), is_confident }
                }
                Verdict::Reject | Verdict::Other(_) => Effect::Denies,
            }
        }
    }
}

fn word(result: &EvaluationResult) -> String {
    match result {
        EvaluationResult::Failure { code, .. } => format!("failed ({code})"),
        EvaluationResult::Verdict(outcome) => match &outcome.verdict {
            Verdict::NeedApprovals(needs) => {
                let needs: Vec<_> = needs.iter().map(|(role, count)| format!("{count} {role}")).collect();
                plugin_host::plain(&format!("demands {}", needs.join(", ")), 300) + &confidence(outcome)
            }
            Verdict::Approve => {
                plugin_host::plain(&format!("approve ({})", outcome.reason_code), 300) + &confidence(outcome)
            }
            other => plugin_host::plain(&format!("{} ({})", other.as_str(), outcome.reason_code), 300),
        },
    }
}

fn confidence(outcome: &Outcome) -> String {
    outcome.confidence_ppm.map_or_else(String::new, |parts| format!(", sure to {parts} ppm"))
}
