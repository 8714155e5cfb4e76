//! A binding is asked about what its scope covers, and its word counts for nothing else.

use std::collections::BTreeSet;

use super::situation::{Situation, binding, evaluation, id, situation, verdict};
use crate::{
    approvals::Role,
    chain::ChainId,
    evaluations::Verdict,
    ids::{KeyId, OrganizationId, VaultId},
    policy::{BindingScope, Decision, DenialReason, Power},
    transactions::Intent,
};

fn chains(numbers: &[u64]) -> BTreeSet<ChainId> {
    numbers.iter().map(|number| ChainId::eip155(*number).unwrap()).collect()
}

fn keys(numbers: &[u128]) -> BTreeSet<KeyId> {
    numbers.iter().map(|number| KeyId::from_uuid(id(*number))).collect()
}

fn vaults(numbers: &[u128]) -> BTreeSet<VaultId> {
    numbers.iter().map(|number| VaultId::from_uuid(id(*number))).collect()
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

/// The key lies in vault 6; a scope's names are conjoined.
#[test]
fn a_vault_covers_what_its_keys_sign_and_nothing_else() {
    let scoped = |numbers: &[u128], held: &[u128], lies_in: Option<u128>| {
        let mut case = scoped(chains(&[]), keys(held));
        case.policy.bindings[0].scope.vaults = vaults(numbers);
        case.key.as_mut().unwrap().vault = lies_in.map(|number| VaultId::from_uuid(id(number)));
        case.decide()
    };
    let is_denied = |decision: &Decision| match decision {
        Decision::Denied(denial) => denial.reason == DenialReason::KindNotPermitted,
        Decision::Approved(_) | Decision::Pending(_) | Decision::Unheard(_) => false,
    };
    for (numbers, held, lies_in) in [
        (&[][..], &[][..], None),
        (&[], &[], Some(6)),
        (&[6], &[], Some(6)),
        (&[7, 6], &[3], Some(6)),
        (&[7], &[], Some(7)),
    ] {
        let decision = scoped(numbers, held, lies_in);
        assert!(matches!(decision, Decision::Approved(_)), "{numbers:?} {held:?} {lies_in:?}: {decision:?}");
    }
    for (numbers, held, lies_in) in [
        (&[6][..], &[][..], None),
        (&[6], &[], Some(7)),
        // A key is no vault, whatever its id.
        (&[3], &[], Some(6)),
        (&[6], &[4], Some(6)),
        (&[7], &[3], Some(6)),
    ] {
        let decision = scoped(numbers, held, lies_in);
        assert!(is_denied(&decision), "{numbers:?} {held:?} {lies_in:?}: {decision:?}");
    }
}

#[test]
fn a_gate_of_a_vault_denies_what_is_moved_there() {
    let mut case = situation();
    let mut gate = binding(2, Power::Gate);
    gate.scope.vaults = vaults(&[7]);
    case.policy.bindings.push(gate);
    assert!(case.is_approved(), "it is not waited for elsewhere");
    case.key.as_mut().unwrap().vault = Some(VaultId::from_uuid(id(7)));
    assert!(matches!(case.decide(), Decision::Unheard(unheard) if unheard == [case.policy.bindings[1].id]));
    case.evaluations.push(evaluation(&case.transaction, 2, verdict(Verdict::Reject)));
    assert!(matches!(case.decide(), Decision::Denied(denial) if denial.reason == DenialReason::Plugin));
}

/// Whoever leaves the key out, or brings another, does not choose who judges.
#[test]
fn a_decision_without_the_intents_own_key_is_denied() {
    let changes: [fn(&mut Situation); 3] = [
        |case| case.key = None,
        |case| case.key.as_mut().unwrap().id = KeyId::from_uuid(id(4)),
        |case| case.key.as_mut().unwrap().organization = OrganizationId::from_uuid(id(99)),
    ];
    for change in changes {
        let mut case = situation();
        change(&mut case);
        let decision = case.decide();
        let Decision::Denied(denial) = decision else { panic!("{decision:?}") };
        assert_eq!(denial.reason, DenialReason::EvidenceInvalid);
    }
    let mut keyless = situation();
    keyless.transaction.intent.key = Intent::NO_KEY;
    keyless.transaction.intent_hash = keyless.transaction.intent.hash();
    let Decision::Denied(denial) = keyless.decide() else { panic!("a key was found for no key") };
    assert_eq!(denial.reason, DenialReason::EvidenceInvalid);
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
