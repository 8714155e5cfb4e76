use super::{description, outcome};
use crate::config::Limits;
use crate::failure::FailureCode;
use crate::outcome::{ApprovalsNeeded, Description, Outcome, Verdict};

fn limits() -> Limits {
    Limits { evidence_bytes: 10, list_entries: 2, schema_bytes: 10, ..Limits::default() }
}

fn answer() -> Outcome {
    Outcome {
        verdict: Verdict::Approve,
        reason_code: "fine".to_owned(),
        analysis: String::new(),
        confidence_ppm: 0,
        evidence: Vec::new(),
    }
}

#[test]
fn evidence_is_cut_and_stripped() {
    let evidence = vec![("na\u{202e}me".to_owned(), "value that is long".to_owned())];
    let checked = outcome(Outcome { evidence, ..answer() }, &limits()).unwrap();
    assert_eq!(checked.evidence, [("name".to_owned(), "value t…".to_owned())]);
}

#[test]
fn demands_up_to_the_limit_pass() {
    let demand = || ApprovalsNeeded { role: "user".to_owned(), count: 1 };
    let asking = |count| Outcome {
        verdict: Verdict::NeedApprovals(std::iter::repeat_with(demand).take(count).collect()),
        ..answer()
    };
    assert_eq!(outcome(asking(2), &limits()).unwrap(), asking(2));
    assert_eq!(outcome(asking(3), &limits()).unwrap_err().code, FailureCode::OutputTooLarge);
}

#[test]
fn full_confidence_passes() {
    let sure = Outcome { confidence_ppm: 1_000_000, ..answer() };
    assert_eq!(outcome(sure.clone(), &limits()).unwrap(), sure);
}

#[test]
fn schema_above_the_limit_is_refused_and_never_cut() {
    let describing = |bytes| Description {
        name: "name".to_owned(),
        version: "1".to_owned(),
        summary: String::new(),
        settings_schema: "x".repeat(bytes),
    };
    assert_eq!(description(describing(10), &limits()).unwrap(), describing(10));
    assert_eq!(description(describing(11), &limits()).unwrap_err().code, FailureCode::OutputTooLarge);
}
