use std::collections::BTreeSet;

use proptest::{prelude::*, sample::select};

use super::situation::{
    Situation, binding, confident, evaluation, principal, requirement, situation, verdict,
};
use crate::{
    approvals::{Ballot, Role},
    evaluations::{EvaluationResult, Verdict},
    policy::{Power, Requirement},
};

const PEOPLE: [(u128, Role); 5] =
    [(10, Role::User), (20, Role::Agent), (21, Role::Agent), (30, Role::Arbiter), (40, Role::Orion)];

fn any_role() -> impl Strategy<Value = Role> {
    select(vec![Role::User, Role::Agent, Role::Arbiter, Role::Orion, Role::Named("treasurer".into())])
}

fn any_requirement() -> impl Strategy<Value = Requirement> {
    (any_role(), 0..4_u32).prop_map(|(role, count)| requirement(role, count))
}

fn any_result() -> impl Strategy<Value = EvaluationResult> {
    prop_oneof![
        6 => Just(verdict(Verdict::Approve)),
        1 => Just(confident(Verdict::Approve, 100_000)),
        1 => Just(verdict(Verdict::Reject)),
        1 => Just(verdict(Verdict::Abstain)),
        1 => any_role().prop_map(|role| verdict(Verdict::NeedApprovals(vec![(role, 1)]))),
        1 => Just(verdict(Verdict::Other("new".into()))),
        1 => Just(EvaluationResult::Failure { code: "trap".into(), detail: String::new() }),
    ]
}

fn any_vote() -> impl Strategy<Value = (usize, Ballot, bool)> {
    (
        0..PEOPLE.len(),
        prop_oneof![5 => Just(Ballot::Approve), 1 => Just(Ballot::Reject)],
        prop::bool::weighted(0.85),
    )
}

prop_compose! {
    fn any_situation()(
        floor in prop::collection::vec(any_requirement(), 0..3),
        snapshot in prop::collection::vec(any_requirement(), 0..3),
        bindings in prop::collection::vec((any_result(), prop::bool::weighted(0.8)), 1..4),
        votes in prop::collection::vec(any_vote(), 0..6),
        minimum in select(vec![0_u32, 500_000]),
    ) -> Situation {
        let mut case = situation().floor(floor);
        case.transaction.snapshot.requirements = snapshot;
        case.transaction.snapshot.minimum_confidence_ppm = minimum;
        case.policy.bindings.clear();
        case.evaluations.clear();
        for (index, (result, authority)) in bindings.into_iter().enumerate() {
            let number = index as u128 + 1;
            let power = if authority { Power::Authority(Role::Orion) } else { Power::Gate };
            case.policy.bindings.push(binding(number, power));
            case.evaluations.push(evaluation(&case.transaction, number, result));
        }
        let mut voted = BTreeSet::new();
        for (person, ballot, stands) in votes {
            let (number, role) = PEOPLE[person].clone();
            if voted.insert(number) {
                case = case.vote(number, role, ballot);
                if !stands {
                    case.standing.active_principals.remove(&principal(number));
                }
            }
        }
        case
    }
}

/// Says again, without the code under test, what an approval must rest on.
fn check_approval(case: &Situation) -> Result<(), TestCaseError> {
    let mut authorities = 0;
    for (binding, evaluation) in case.policy.bindings.iter().zip(&case.evaluations) {
        let EvaluationResult::Verdict(outcome) = &evaluation.result else {
            return Err(TestCaseError::fail("a failed evaluation was approved"));
        };
        let approves = matches!(outcome.verdict, Verdict::Approve | Verdict::NeedApprovals(_));
        prop_assert!(approves || outcome.verdict == Verdict::Abstain);
        authorities += usize::from(approves && binding.power != Power::Gate);
    }
    prop_assert!(authorities >= 1);
    let demands = case.policy.floor.requirements.iter().chain(&case.transaction.snapshot.requirements);
    for demand in demands {
        prop_assert!(demand.count >= 1);
        let people: BTreeSet<_> = case
            .votes
            .iter()
            .filter(|vote| vote.role == demand.role && vote.ballot == Ballot::Approve)
            .filter(|vote| case.standing.active_principals.contains(&vote.principal))
            .map(|vote| vote.principal)
            .collect();
        let plugins = if demand.role == Role::Orion { authorities } else { 0 };
        prop_assert!(people.len() + plugins >= demand.count as usize);
        let rejected = case.votes.iter().any(|vote| {
            vote.role == demand.role
                && vote.ballot == Ballot::Reject
                && case.standing.active_principals.contains(&vote.principal)
        });
        prop_assert!(!rejected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_approval_rests_on_everything_it_must(case in any_situation()) {
        if case.is_approved() {
            check_approval(&case)?;
        }
    }

    #[test]
    fn a_further_requirement_never_helps(case in any_situation(), more in any_requirement(), in_floor: bool) {
        let before = case.is_approved();
        let mut stricter = case;
        let list = if in_floor { &mut stricter.policy.floor.requirements }
            else { &mut stricter.transaction.snapshot.requirements };
        list.push(more);
        prop_assert!(before || !stricter.is_approved());
    }

    #[test]
    fn losing_an_approval_never_helps(case in any_situation(), index in 0..6_usize) {
        let before = case.is_approved();
        let mut fewer = case;
        if index < fewer.votes.len() && fewer.votes[index].ballot == Ballot::Approve {
            fewer.votes.remove(index);
            // A weak orion vote can call the arbiter, so only its loss may help.
            prop_assert!(before || !fewer.is_approved() || fewer.transaction.snapshot.minimum_confidence_ppm > 0);
        }
    }

    #[test]
    fn a_denying_plugin_always_wins(case in any_situation(), number in 50..60_u128) {
        let mut denied = case;
        denied.policy.bindings.push(binding(number, Power::Gate));
        denied.evaluations.push(evaluation(&denied.transaction, number, verdict(Verdict::Reject)));
        prop_assert!(!denied.is_approved());
    }
}
