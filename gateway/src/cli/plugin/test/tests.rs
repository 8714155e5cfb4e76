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
fn a_failure_that_is_not_expected_differs_though_everything_else_is_as_expected() {
    let found = json!({"failure": "abort", "detail": "it panicked", "reservations": []});
    for expected in [json!({"reservations": []}), json!({"detail": "it panicked"})] {
        let lines = shown(&expected, &found);
        assert!(lines.iter().any(|line| line.contains("it panicked")), "{expected}: {lines:?}");
    }
    assert!(shown(&json!({"failure": "abort", "reservations": []}), &found).is_empty());
}

#[test]
fn answers_that_nobody_asked_for_are_named() {
    let call = |path: &str| -> HostCall {
        serde_json::from_value(json!({
            "capability": "http",
            "question": {
                "upstream": "screening", "method": "GET", "path": path, "parameters": [], "headers": [], "body": "",
            },
            "answer": {"Ok": {"Err": "unreachable"}},
        }))
        .unwrap()
    };
    let given = [call("/first"), call("/second")];
    assert!(unasked(&given, &given).is_none());
    let left = unasked(&given, &given[..1]).unwrap();
    assert_eq!(left.field, "host_calls");
    assert_eq!(left.expected, json!(["http: GET /second of `screening`"]));
}

#[test]
fn an_unexpected_failure_is_told_with_its_detail() {
    let lines = shown(&json!({"verdict": "approve"}), &json!({"failure": "abort", "detail": "it panicked"}));
    assert!(lines.iter().any(|line| line.contains("it panicked")), "{lines:?}");
    assert!(shown(&json!({"failure": "abort"}), &json!({"failure": "abort", "detail": "x"})).is_empty());
}
