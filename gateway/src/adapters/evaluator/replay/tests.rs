use gateway_domain::evaluations::{EvaluationResult, Outcome, Verdict};
use plugin_host::{Digest, EvaluationRecord, LogLevel, LogLine};
use serde_json::json;

use super::{Changed, Ended, Replayed, Sandbox, compare};

const THEN: Digest = Digest([1; 32]);
const NOW: Digest = Digest([2; 32]);

const SANDBOX: Sandbox = Sandbox { engine: NOW, limits: NOW };
const NOTHING: Changed = Changed { engine: false, limits: false };

fn record(Sandbox { engine, limits }: Sandbox) -> EvaluationRecord {
    let zero = Digest([0; 32]);
    let record = json!({
        "component": zero, "engine": engine, "limits": limits, "contract": "0.1",
        "verified": plugin_host::VerifiedTransaction::default(),
        "claimed": plugin_host::ClaimedTransaction::default(),
        "settings": "{}", "settings_digest": zero, "grants": [], "requested_at_ms": 0,
        "state_reads": [], "state_writes": [], "counter_reads": [], "reservations": [], "host_calls": [],
        "logs": [], "memory_peak_bytes": 65_536,
    });
    serde_json::from_value(record).unwrap()
}

fn said(analysis: &str) -> EvaluationResult {
    EvaluationResult::Verdict(Outcome {
        verdict: Verdict::Approve,
        reason_code: "fine".to_owned(),
        analysis: analysis.to_owned(),
        confidence_ppm: Some(1),
        evidence: Vec::new(),
    })
}

#[test]
fn a_changed_engine_and_changed_limits_are_named_whether_or_not_the_verdict_is_the_same() {
    let yes = said("yes");
    for changed in [NOTHING, Changed { engine: true, ..NOTHING }, Changed { limits: true, ..NOTHING }] {
        let as_then = |changed: bool| if changed { THEN } else { NOW };
        let then = Sandbox { engine: as_then(changed.engine), limits: as_then(changed.limits) };
        let same = compare((&yes, record(then)), (&yes, Some(record(SANDBOX))), SANDBOX);
        assert_eq!(same, Replayed::Same(changed));
        let other = compare((&yes, record(then)), (&said("no"), Some(record(SANDBOX))), SANDBOX);
        let Replayed::Different { what, changed: told } = other else { panic!("{other:?}") };
        assert!(what.contains("\"no\"") && told == changed, "{what}, {told:?}");
    }
}

#[test]
fn whatever_a_guest_does_otherwise_is_a_difference() {
    let yes = said("yes");
    let changes: [fn(&mut EvaluationRecord); 3] = [
        |record| record.logs.push(LogLine { level: LogLevel::Info, message: "more".to_owned() }),
        |record| record.memory_peak_bytes += 1,
        |record| record.component = Digest([9; 32]),
    ];
    for change in changes {
        let mut repeated = record(SANDBOX);
        change(&mut repeated);
        let told = compare((&yes, record(SANDBOX)), (&yes, Some(repeated)), SANDBOX);
        assert!(matches!(told, Replayed::Different { changed: NOTHING, .. }), "{told:?}");
    }
    let lost = compare((&yes, record(SANDBOX)), (&yes, None), SANDBOX);
    assert!(matches!(lost, Replayed::Different { .. }), "{lost:?}");
}

#[test]
fn what_leaves_nothing_to_repeat_is_told_apart() {
    let failed = |code: &str| EvaluationResult::Failure { code: code.to_owned(), detail: String::new() };
    for code in ["not_asked", "revoked", "unsigned", "timeout"] {
        assert_eq!(Ended::of(&failed(code), false), Some(Ended::Unasked), "{code}");
    }
    let ended = [
        ("timeout", Ended::Late),
        ("state_quota", Ended::OverQuota),
        ("shutting_down", Ended::Abandoned),
        ("host_error", Ended::Abandoned),
    ];
    for (code, expected) in ended {
        assert_eq!(Ended::of(&failed(code), true), Some(expected), "{code}");
    }
    assert_eq!(Ended::of(&failed("trap"), true), None, "it traps again");
    assert_eq!(Ended::of(&said("yes"), true), None);
}
