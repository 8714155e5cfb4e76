use super::*;

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn shown(expected: &Value, found: &Value) -> Vec<String> {
    compare(&object(expected), &object(found)).iter().flat_map(Difference::lines).collect()
}

#[test]
fn fields_that_nobody_expects_do_not_differ() {
    assert!(
        shown(&json!({"verdict": "approve"}), &json!({"verdict": "approve", "analysis": "x"})).is_empty()
    );
}

#[test]
fn a_difference_shows_both_sides() {
    let lines = shown(&json!({"verdict": "approve"}), &json!({"verdict": "reject"}));
    assert_eq!(lines, ["         verdict", r#"           - "approve""#, r#"           + "reject""#]);
}

#[test]
fn an_unexpected_failure_is_told_with_its_detail() {
    let lines = shown(&json!({"verdict": "approve"}), &json!({"failure": "abort", "detail": "it panicked"}));
    assert!(lines.iter().any(|line| line.contains("it panicked")), "{lines:?}");
    assert!(shown(&json!({"failure": "abort"}), &json!({"failure": "abort", "detail": "x"})).is_empty());
}
