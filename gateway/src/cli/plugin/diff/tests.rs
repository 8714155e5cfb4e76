use std::collections::BTreeSet;

use gateway_domain::{
    B256, Timestamp,
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::{BindingId, EvaluationId, OrganizationId, PluginRevisionId, TransactionId},
    policy::{Binding, BindingScope, Mode, Power},
};
use uuid::Uuid;

use super::{Comparison, Evaluated, Sides};

// The shadow's present revision, the one before it, and what is enforced.
const NEW: B256 = B256::repeat_byte(3);
const OLD: B256 = B256::repeat_byte(2);
const ENFORCED: B256 = B256::repeat_byte(1);

fn said(verdict: Verdict) -> EvaluationResult {
    EvaluationResult::Verdict(Outcome {
        verdict,
        reason_code: "test".to_owned(),
        analysis: String::new(),
        confidence_ppm: None,
        evidence: Vec::new(),
    })
}

fn failed(code: &str) -> EvaluationResult {
    EvaluationResult::Failure { code: code.to_owned(), detail: String::new() }
}

fn heard(
    (purpose, subject_digest): (Purpose, B256),
    policy_revision: u64,
    result: EvaluationResult,
) -> Evaluation {
    Evaluation {
        id: EvaluationId::from_uuid(Uuid::nil()),
        organization: OrganizationId::from_uuid(Uuid::nil()),
        transaction: TransactionId::from_uuid(Uuid::nil()),
        intent_hash: B256::ZERO,
        binding: BindingId::from_uuid(Uuid::nil()),
        policy_revision,
        subject_digest,
        subject_name: "orion".to_owned(),
        purpose,
        result,
        duration_micros: 0,
        record: r#"{"component":"00"}"#.to_owned(),
        created_at: Timestamp::from_unix_micros(0),
    }
}

fn binding(mode: Mode, subject_digest: B256) -> Binding {
    Binding {
        id: BindingId::from_uuid(Uuid::nil()),
        revision: PluginRevisionId::from_uuid(Uuid::nil()),
        plugin: "orion".to_owned(),
        subject_digest,
        scope: BindingScope {
            kinds: BTreeSet::new(),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults: BTreeSet::new(),
        },
        mode,
        power: Power::Gate,
    }
}

/// Compares transactions of which this was said, where the shadow's present revision is bound, or nothing.
fn compare<const N: usize>(
    subject: Option<B256>,
    is_bound: bool,
    transactions: [Vec<Evaluation>; N],
) -> Comparison {
    let bindings = [binding(Mode::Enforce, ENFORCED), binding(Mode::Shadow, NEW)];
    let sides = Sides { shadow: "orion", against: "orion", subject };
    let mut comparison = Comparison::listing(10);
    for evaluations in transactions {
        let transaction = TransactionId::from_uuid(Uuid::nil());
        let evaluated = Evaluated { transaction, minimum_confidence_ppm: 0, evaluations };
        sides.compare(&mut comparison, if is_bound { &bindings } else { &bindings[..1] }, &evaluated);
    }
    comparison
}

fn decided(policy: u64, verdict: Verdict) -> Evaluation {
    heard((Purpose::Decision, ENFORCED), policy, said(verdict))
}

fn shadow(subject: B256, policy: u64, verdict: Verdict) -> Evaluation {
    heard((Purpose::Shadow, subject), policy, said(verdict))
}

/// Three transactions: the old shadow refused the first and the second, which the new one approved, as the third.
fn two_shadows() -> [Vec<Evaluation>; 3] {
    let approved = || decided(1, Verdict::Approve);
    let (old, new) = (|| shadow(OLD, 1, Verdict::Reject), || shadow(NEW, 2, Verdict::Approve));
    [vec![approved(), old()], vec![approved(), old(), new()], vec![approved(), new()]]
}

#[test]
fn only_the_words_of_the_revision_that_is_bound_or_named_are_compared() {
    let another = ("another revision of the shadow `orion` was heard", 1);
    assert_eq!(compare(None, true, two_shadows()).counted(), (2, 0, vec![another]));
    assert_eq!(compare(Some(OLD), true, two_shadows()).counted(), (2, 2, vec![another]));
    let unbound = ("no shadow `orion` is bound now: say with `--revision` whose words to compare", 3);
    assert_eq!(compare(None, false, two_shadows()).counted(), (0, 0, vec![unbound]));
}

#[test]
fn what_the_gateway_could_not_ask_is_no_word_of_the_plugins() {
    let told = |result| heard((Purpose::Shadow, NEW), 1, result);
    let approved = || decided(1, Verdict::Approve);
    let without_record = Evaluation { record: "{}".to_owned(), ..told(failed("not_asked")) };
    let transactions = [
        vec![approved(), without_record],
        vec![approved(), told(failed("queue_full"))],
        vec![approved(), told(failed("breaker_open"))],
        vec![approved(), told(failed("shutting_down"))],
        vec![approved(), told(failed("host_error"))],
        // It traps where it is enforced too.
        vec![approved(), told(failed("trap"))],
        vec![approved(), told(said(Verdict::Approve)), told(failed("queue_full"))],
    ];
    let compared = compare(None, true, transactions);
    let codes = ["breaker_open", "host_error", "not_asked", "queue_full", "shutting_down"];
    let causes = codes.map(|code| format!("the shadow `orion` could not be asked ({code})"));
    let left_out = causes.iter().map(|cause| (cause.as_str(), 1)).collect();
    assert_eq!(compared.counted(), (2, 1, left_out));
}

#[test]
fn the_shadow_is_compared_with_what_was_enforced_when_it_spoke() {
    let promoted = heard((Purpose::Decision, NEW), 2, said(Verdict::Reject));
    let words = vec![decided(1, Verdict::Approve), shadow(NEW, 1, Verdict::Reject), promoted];
    assert_eq!(compare(None, true, [words]).counted(), (1, 1, Vec::new()));
    let unopposed = ("`orion` was not enforced", 1);
    assert_eq!(
        compare(None, true, [vec![shadow(NEW, 1, Verdict::Approve)]]).counted(),
        (0, 0, vec![unopposed])
    );
}

#[test]
fn what_another_plugin_denied_anyway_is_counted_apart() {
    let another = |verdict| Evaluation { subject_name: "velocity".to_owned(), ..decided(1, verdict) };
    let differ = || [decided(1, Verdict::Approve), shadow(NEW, 1, Verdict::Reject)];
    let beside = |words: &[Evaluation]| [&differ()[..], words].concat();
    let transactions = [
        beside(&[]),
        beside(&[another(Verdict::Approve)]),
        beside(&[another(Verdict::Reject)]),
        beside(&[another(Verdict::Reject), another(Verdict::Approve)]),
        beside(&[Evaluation { purpose: Purpose::Shadow, ..another(Verdict::Reject) }]),
    ];
    let compared = compare(None, true, transactions);
    assert_eq!((compared.counted(), compared.denied_anyway()), ((5, 5, Vec::new()), 1));
}
