use gateway_domain::evaluations::{EvaluationResult, Outcome, Verdict};
use plugin_host::{Digest, EvaluationRecord, LogLevel, LogLine};
use serde_json::json;

use super::{Replayed, compare};

const THEN: Digest = Digest([1; 32]);
const NOW: Digest = Digest([2; 32]);

fn record(engine: Digest) -> EvaluationRecord {
    let zero = Digest([0; 32]);
    let record = json!({
        "component": zero, "engine": engine, "contract": "0.1",
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
fn a_changed_engine_is_named_whether_or_not_the_verdict_is_the_same() {
    let yes = said("yes");
    let same = |then: Digest| compare((&yes, record(then)), (&yes, Some(record(NOW))), NOW);
    assert_eq!(same(NOW), Replayed::Same { engine_changed: false });
    assert_eq!(same(THEN), Replayed::Same { engine_changed: true });
    let other = compare((&yes, record(THEN)), (&said("no"), Some(record(NOW))), NOW);
    assert!(matches!(&other, Replayed::Different { engine_changed: true, what } if what.contains("\"no\"")));
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
        let mut repeated = record(NOW);
        change(&mut repeated);
        let told = compare((&yes, record(NOW)), (&yes, Some(repeated)), NOW);
        assert!(matches!(told, Replayed::Different { engine_changed: false, .. }), "{told:?}");
    }
    let lost = compare((&yes, record(NOW)), (&yes, None), NOW);
    assert!(matches!(lost, Replayed::Different { .. }), "{lost:?}");
}
