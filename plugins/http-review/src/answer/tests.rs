use countersign_plugin::Verdict;

use super::*;

fn said(status: u16, body: &str, review_role: Option<&str>) -> (Verdict, String) {
    let outcome = outcome(status, body.as_bytes(), review_role);
    (outcome.verdict, outcome.reason_code)
}

#[test]
fn one_clear_yes_approves() {
    let yes = r#"{"decision": "approve", "reason": "known"}"#;
    assert_eq!(said(200, yes, None), (Verdict::Approve, "approved".to_owned()));
}

#[test]
fn a_review_asks_people_where_a_role_is_set_and_denies_where_none_is() {
    let review = r#"{"decision": "review"}"#;
    assert!(matches!(said(200, review, Some("arbiter")).0, Verdict::NeedApprovals(_)));
    assert_eq!(said(200, review, None).0, Verdict::Reject);
}

#[test]
fn everything_else_denies() {
    let yes = r#"{"decision": "approve"}"#;
    for (status, body) in [
        (201, yes),
        (302, yes),
        (500, yes),
        (200, ""),
        (200, "approve"),
        (200, r#"{"decision": "APPROVE"}"#),
        (200, r#"{"decision": "maybe"}"#),
        (200, r#"{"decision": "reject", "decision": "approve"}"#),
        (200, r#"{"reason": "approve"}"#),
        (200, r#"{"decision": "reject"}"#),
    ] {
        assert_eq!(said(status, body, Some("arbiter")).0, Verdict::Reject, "{status} {body}");
    }
    assert_eq!(absent("timed-out").verdict, Verdict::Reject);
}
