use gateway_domain::{
    approvals::Role,
    evaluations::{EvaluationResult, Outcome, Verdict},
    ids::TransactionId,
};
use uuid::Uuid;

use super::Comparison;

/// Parts per million below which an approval demands the arbiter.
const MINIMUM: u32 = 800_000;

fn said(verdict: Verdict, reason: &str) -> EvaluationResult {
    EvaluationResult::Verdict(Outcome {
        verdict,
        reason_code: reason.to_owned(),
        analysis: String::new(),
        confidence_ppm: None,
        evidence: Vec::new(),
    })
}

fn sure(verdict: Verdict, confidence_ppm: Option<u32>) -> EvaluationResult {
    match said(verdict, "fine") {
        EvaluationResult::Verdict(outcome) => {
            EvaluationResult::Verdict(Outcome { confidence_ppm, ..outcome })
        }
        failure @ EvaluationResult::Failure { .. } => failure,
    }
}

fn failed() -> EvaluationResult {
    EvaluationResult::Failure { code: "timeout".to_owned(), detail: String::new() }
}

fn demand(count: u32) -> Verdict {
    Verdict::NeedApprovals(vec![(Role::Agent, count)])
}

/// Whether it changed a decision, and whether it is worded anew.
fn compare(before: &EvaluationResult, after: &EvaluationResult) -> (bool, bool) {
    let mut comparison = Comparison::listing(10);
    comparison.compare((TransactionId::from_uuid(Uuid::nil()), MINIMUM), (before, after), None);
    (comparison.changed == 1, comparison.reworded == 1)
}

#[test]
fn a_decision_changes_with_what_the_verdict_does_and_not_with_its_words() {
    let approves = said(Verdict::Approve, "fine");
    assert_eq!(compare(&approves, &approves), (false, false));
    assert_eq!(compare(&approves, &said(Verdict::Approve, "better")), (false, true));
    for other in
        [said(Verdict::Abstain, "fine"), said(Verdict::Reject, "fine"), failed(), said(demand(1), "fine")]
    {
        assert_eq!(compare(&approves, &other), (true, false));
        assert_eq!(compare(&other, &approves), (true, false));
    }
    assert_eq!(compare(&said(demand(1), "few"), &said(demand(2), "few")), (true, false));
    assert_eq!(compare(&said(Verdict::Reject, "no"), &failed()), (false, true), "both deny");
}

#[test]
fn a_confidence_that_crosses_what_was_demanded_changes_the_decision() {
    for verdict in [Verdict::Approve, demand(1)] {
        let sure = |confidence| sure(verdict.clone(), confidence);
        assert_eq!(compare(&sure(Some(900_000)), &sure(Some(800_000))), (false, true));
        assert_eq!(compare(&sure(Some(800_000)), &sure(Some(799_999))), (true, false));
        assert_eq!(
            compare(&sure(Some(900_000)), &sure(None)),
            (true, false),
            "none is below every threshold"
        );
        assert_eq!(compare(&sure(None), &sure(Some(1))), (false, true));
    }
    let rejects = |confidence| sure(Verdict::Reject, confidence);
    assert_eq!(compare(&rejects(Some(1_000_000)), &rejects(None)), (false, true), "a denial needs none");
}

#[test]
fn what_is_listed_is_bounded_and_what_is_counted_is_not() {
    let mut comparison = Comparison::listing(2);
    for number in 0..5 {
        let id = TransactionId::from_uuid(Uuid::from_u128(number));
        comparison.compare((id, MINIMUM), (&said(Verdict::Approve, "fine"), &failed()), None);
        comparison.skip(id, "no record");
    }
    assert_eq!((comparison.changed, comparison.not_comparable, comparison.shown.len()), (5, 5, 2));
}
