//! What two plugins say about the same transactions, and where the effect on a decision is another: each plugin's own,
//! whatever other bindings and people have said.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Of those, decisions that another plugin denied, whatever this one had said.
    denied_anyway: u64,
    not_comparable: u64,
    /// Transactions of which there is nothing to compare, by why.
    left_out: BTreeMap<String, u64>,
    /// What else is to be known of what was compared, by what it is.
    remarks: BTreeMap<String, u64>,
    /// The first of what is counted above, as much as is shown.
    shown: Vec<(Value, String)>,
    shown_max: usize,
}

impl Comparison {
    /// Lists so many transactions at most, and counts all.
    pub(super) fn listing(shown_max: usize) -> Self {
        Self { shown_max, ..Self::default() }
    }

    /// `denied_by` is another plugin that denied the same, if there is one.
    pub(super) fn compare(
        &mut self,
        (transaction, minimum_confidence_ppm): (TransactionId, u32),
        (before, after): (&EvaluationResult, &EvaluationResult),
        denied_by: Option<&str>,
    ) {
        self.compared += 1;
        if effect(before, minimum_confidence_ppm) != effect(after, minimum_confidence_ppm) {
            self.changed += 1;
            self.denied_anyway += u64::from(denied_by.is_some());
            let (before, after) = (word(before), word(after));
            let denied_by = denied_by.map(|name| plugin_host::plain(name, 100));
            let anyway =
                denied_by.as_ref().map_or_else(String::new, |name| format!("; denied by `{name}` anyway"));
            self.show(
                json!({
                    "transaction": transaction, "kind": "changed", "before": before, "after": after,
                    "deniedBy": denied_by,
                }),
                format!("{transaction}  {before} -> {after}{anyway}"),
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

    /// Counts a transaction of which there is nothing to compare.
    pub(super) fn leave_out(&mut self, why: String) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// Counts a transaction that was compared, and of which this is to be known.
    pub(super) fn remark(&mut self, what: String) {
        *self.remarks.entry(what).or_default() += 1;
    }

    pub(super) fn progress(&self, transactions: usize) -> String {
        let Self { compared, changed, not_comparable, .. } = self;
        format!(
            "{transactions} transactions: {compared} compared, {changed} changed, {not_comparable} not comparable"
        )
    }

    /// How many were compared, how many differ, and why others were left out.
    #[cfg(test)]
    pub(super) fn counted(&self) -> (u64, u64, Vec<(&str, u64)>) {
        let left_out = self.left_out.iter().map(|(why, count)| (why.as_str(), *count));
        (self.compared, self.changed, left_out.collect())
    }

    /// On how many of those that differ another plugin denied anyway.
    #[cfg(test)]
    pub(super) fn denied_anyway(&self) -> u64 {
        self.denied_anyway
    }

    /// Prints everything; ends with a fault if any effect is another, or if none could be compared: that shows nothing.
    pub(super) fn print(self, format: Format) -> anyhow::Result<Status> {
        let Self {
            compared, reworded, changed, denied_anyway, not_comparable, left_out, remarks, shown, ..
        } = self;
        let (values, mut lines): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
        let counted = changed + not_comparable;
        if counted > lines.len() as u64 {
            lines.push(format!("and {} more", counted - lines.len() as u64));
        }
        lines.push(format!(
            "{compared} compared: another effect on {changed}, of which another plugin denied {denied_anyway} anyway; the \
             same in other words on {reworded}; {not_comparable} not comparable"
        ));
        let counted = |what: &BTreeMap<String, u64>| {
            let counted = what.iter().map(|(what, count)| json!({ "what": what, "transactions": count }));
            counted.collect::<Value>()
        };
        lines.extend(remarks.iter().map(|(what, count)| format!("{count} of them: {what}")));
        lines.extend(left_out.iter().map(|(why, count)| format!("{count} left out: {why}")));
        let value = json!({
            "compared": compared, "changed": changed, "deniedAnyway": denied_anyway, "reworded": reworded, "notComparable": not_comparable,
            "leftOut": counted(&left_out), "remarks": counted(&remarks), "transactions": values,
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

/// What there is to compare among evaluations.
pub(super) enum Word<'a> {
    Said(&'a Evaluation),
    /// The gateway has failed to ask, and with which code: that is no word of the plugin's.
    Unasked(&'a str),
}

/// The plugin's last word among the evaluations that fit; none where none does.
pub(super) fn last_word(evaluations: &[Evaluation], fits: impl Fn(&Evaluation) -> bool) -> Option<Word<'_>> {
    let fitting = || evaluations.iter().rev().filter(|evaluation| fits(evaluation));
    let said = fitting().find(|evaluation| evaluation.unasked().is_none());
    said.map(Word::Said).or_else(|| fitting().find_map(Evaluation::unasked).map(Word::Unasked))
}

/// Another plugin whose last word denied the decision, so that nothing else mattered.
pub(super) fn denied_by<'a>(evaluations: &'a [Evaluation], besides: &str) -> Option<&'a str> {
    let is_decision = |evaluation: &Evaluation| evaluation.purpose == Purpose::Decision;
    let decided = evaluations.iter().filter(|evaluation| is_decision(evaluation));
    let mut others =
        decided.map(|evaluation| evaluation.subject_name.as_str()).filter(|name| *name != besides);
    others.find(|name| {
        let word = last_word(evaluations, |one| is_decision(one) && one.subject_name == *name);
        matches!(word, Some(Word::Said(said)) if effect(&said.result, 0) == Effect::Denies)
    })
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
