use gateway_domain::U256;
use plugin_host::{
    Capability, ClaimedTransaction, CounterRead, Digest, Grants, StateRead, VerifiedTransaction,
};

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

/// Of a plugin that asked for nothing.
fn record() -> EvaluationRecord {
    EvaluationRecord {
        component: Digest::of(b"component"),
        engine: Digest::of(b"engine"),
        limits: Digest::of(b"limits"),
        contract: "1.0".to_owned(),
        verified: VerifiedTransaction::default(),
        claimed: ClaimedTransaction::default(),
        settings: "{}".into(),
        settings_digest: Digest::of(b"{}"),
        grants: Grants::from_iter(Capability::ALL),
        requested_at_ms: 0,
        state_reads: Vec::new(),
        state_writes: Vec::new(),
        counter_reads: Vec::new(),
        reservations: Vec::new(),
        host_calls: Vec::new(),
        logs: Vec::new(),
        memory_peak_bytes: 0,
    }
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
    let counter = |name: &str| {
        let counter = CounterName { name: name.to_owned(), window_seconds: 60 };
        CounterRead { counter, others: U256::ZERO, is_final: false }
    };
    let mut given = record();
    given.host_calls = vec![call("/first"), call("/second")];
    given.state_reads = vec![StateRead { key: "seen".to_owned(), value: None }];
    given.counter_reads = vec![counter("to:0x1"), counter("to:0x2")];
    assert!(unasked(&given, Some(&given)).is_empty());
    let mut made = given.clone();
    made.host_calls.pop();
    (made.state_reads, made.counter_reads) = (Vec::new(), vec![counter("to:0x1"), counter("to:0X2")]);
    let left = unasked(&given, Some(&made));
    let told: Vec<_> = left.iter().map(|left| (left.field.as_str(), left.expected.clone())).collect();
    let expected = [
        ("state_reads", json!(["seen"])),
        ("counter_reads", json!(["to:0x2 in 60 s"])),
        ("host_calls", json!(["http: GET /second of `screening`"])),
    ];
    assert_eq!(told, expected);
    assert_eq!(unasked(&given, None).len(), 3);
}

#[test]
fn an_unexpected_failure_is_told_with_its_detail() {
    let lines = shown(&json!({"verdict": "approve"}), &json!({"failure": "abort", "detail": "it panicked"}));
    assert!(lines.iter().any(|line| line.contains("it panicked")), "{lines:?}");
    assert!(shown(&json!({"failure": "abort"}), &json!({"failure": "abort", "detail": "x"})).is_empty());
}
