//! A binding is asked about what its scope covers, and its word counts for nothing else.

use std::collections::BTreeSet;

use super::situation::{Situation, binding, evaluation, id, situation, verdict};
use crate::{
    approvals::Role,
    chain::ChainId,
    evaluations::Verdict,
    ids::KeyId,
    policy::{BindingScope, Decision, DenialReason, Power},
};

fn chains(numbers: &[u64]) -> BTreeSet<ChainId> {
    numbers.iter().map(|number| ChainId::eip155(*number).unwrap()).collect()
}

fn keys(numbers: &[u128]) -> BTreeSet<KeyId> {
    numbers.iter().map(|number| KeyId::from_uuid(id(*number))).collect()
}

/// Orion approves, and is bound so; the transaction is of key 3 on chain 1.
fn scoped(chains: BTreeSet<ChainId>, keys: BTreeSet<KeyId>) -> Situation {
    let mut case = situation();
    let scope = &mut case.policy.bindings[0].scope;
    *scope = BindingScope { chains, keys, ..scope.clone() };
    case
}

#[test]
fn an_authority_approves_nothing_on_another_chain_or_of_another_key() {
    for (chains, keys) in [
        (chains(&[]), keys(&[])),
        (chains(&[1]), keys(&[])),
        (chains(&[]), keys(&[3])),
        (chains(&[5, 1]), keys(&[4, 3])),
    ] {
        assert!(scoped(chains.clone(), keys.clone()).is_approved(), "{chains:?} {keys:?}");
    }
    for (chains, keys) in [
        (chains(&[5]), keys(&[])),
        (chains(&[]), keys(&[4])),
        (chains(&[5]), keys(&[3])),
        (chains(&[1]), keys(&[4])),
    ] {
        match scoped(chains.clone(), keys.clone()).decide() {
            Decision::Denied(denial) => {
                assert_eq!(denial.reason, DenialReason::KindNotPermitted, "{chains:?} {keys:?}");
            }
            other => panic!("{chains:?} {keys:?}: {other:?}"),
        }
    }
}

#[test]
fn a_gate_denies_what_it_is_bound_to_and_is_not_waited_for_elsewhere() {
    let gated = |chains: BTreeSet<ChainId>, keys: BTreeSet<KeyId>| {
        let mut case = situation();
        let mut gate = binding(2, Power::Gate);
        gate.scope = BindingScope { chains, keys, ..gate.scope };
        case.policy.bindings.push(gate);
        case
    };
    assert!(gated(chains(&[5]), keys(&[])).is_approved());
    assert!(gated(chains(&[]), keys(&[4])).is_approved());
    for (chains, keys) in [(chains(&[1]), keys(&[])), (chains(&[]), keys(&[3]))] {
        let mut case = gated(chains, keys);
        case.evaluations.push(evaluation(&case.transaction, 2, verdict(Verdict::Reject)));
        assert!(
            matches!(case.decide(), Decision::Denied(denial) if denial.reason == DenialReason::Plugin),
            "it said no"
        );
    }
}

/// A scope that is narrowed afterwards takes back nothing.
#[test]
fn what_was_demanded_before_a_binding_was_scoped_elsewhere_stays_demanded() {
    let mut case = scoped(chains(&[1]), keys(&[]));
    let mut gate = binding(2, Power::Gate);
    gate.scope.chains = chains(&[5]);
    case.policy.bindings.push(gate);
    let needs = Verdict::NeedApprovals(vec![(Role::Arbiter, 1)]);
    case.evaluations.push(evaluation(&case.transaction, 2, verdict(needs)));
    assert!(matches!(case.decide(), Decision::Pending(_)));
}
