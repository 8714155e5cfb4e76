use gateway_domain::{
    approvals::Role,
    evaluations::{EvaluationResult, Outcome, Verdict},
    ids::TransactionId,
};
use uuid::Uuid;

use super::Comparison;

fn said(verdict: Verdict, reason: &str) -> EvaluationResult {
    EvaluationResult::Verdict(Outcome {
        verdict,
        reason_code: reason.to_owned(),
        analysis: String::new(),
        confidence_ppm: None,
        evidence: Vec::new(),
    })
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
    comparison.compare(TransactionId::from_uuid(Uuid::nil()), before, after);
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
fn what_is_listed_is_bounded_and_what_is_counted_is_not() {
    let mut comparison = Comparison::listing(2);
    for number in 0..5 {
        let id = TransactionId::from_uuid(Uuid::from_u128(number));
        comparison.compare(id, &said(Verdict::Approve, "fine"), &failed());
        comparison.skip(id, "no record");
    }
    assert_eq!((comparison.changed, comparison.not_comparable, comparison.shown.len()), (5, 5, 2));
}
