//! T7: what the floor demands stays demanded, whatever a request or a user's settings say.

use std::collections::BTreeSet;

use super::situation::{Situation, binding, confident, evaluation, principal, requirement, situation};
use crate::{
    approvals::Role,
    evaluations::Verdict,
    policy::{Applies, Decision, Power},
    transactions::{ExecutionType, Provider},
};

/// Two agents and the user, nothing below type 2, and more confidence than Orion has.
fn demanding() -> Situation {
    let mut case = situation().floor(vec![requirement(Role::Agent, 2), requirement(Role::User, 1)]);
    case.policy.floor.minimum_execution_type = ExecutionType::AgentExecuted;
    case.policy.floor.minimum_confidence_ppm = 990_000;
    case.policy.bindings = vec![binding(1, Power::Authority(Role::Orion))];
    case.evaluations = vec![evaluation(&case.transaction, 1, confident(Verdict::Approve, 980_000))];
    for role in [Role::User, Role::Agent, Role::Arbiter] {
        let everybody = BTreeSet::from([principal(1), principal(2), principal(3)]);
        case.transaction.snapshot.eligible.insert(role, everybody);
    }
    case
}

/// What a client or a user's settings try.
type Change = fn(&mut Situation);

/// Role and count of everything that is still open.
fn open(case: &Situation) -> BTreeSet<(Role, u32)> {
    match case.decide() {
        Decision::Pending(open) => open.unmet.into_iter().map(|one| (one.role, one.count)).collect(),
        other => panic!("not pending: {other:?}"),
    }
}

#[test]
fn no_field_of_a_request_or_of_settings_lowers_what_the_floor_demands() {
    let floor = BTreeSet::from([(Role::User, 1), (Role::Agent, 1), (Role::Agent, 2), (Role::Arbiter, 1)]);
    assert_eq!(open(&demanding()), floor);
    let attempts: [(&str, Change); 16] = [
        ("executionType 0", |case| case.transaction.execution_type = ExecutionType::DirectUser),
        ("executionType 1", |case| case.transaction.execution_type = ExecutionType::UserExecuted),
        ("executionType 2", |case| case.transaction.execution_type = ExecutionType::AgentExecuted),
        ("no requirements", |case| case.transaction.snapshot.requirements.clear()),
        ("fewer agents", |case| case.transaction.snapshot.requirements = vec![requirement(Role::Agent, 1)]),
        ("another role instead", |case| {
            case.transaction.snapshot.requirements = vec![requirement(Role::Orion, 1)];
        }),
        ("above a value never reached", |case| {
            let mut never = requirement(Role::Agent, 2);
            never.applies = Applies::AboveValue(crate::U256::MAX);
            case.transaction.snapshot.requirements = vec![never];
        }),
        ("orionConfidenceThreshold 0", |case| case.transaction.snapshot.minimum_confidence_ppm = 0),
        ("no confidence", |case| {
            if let crate::evaluations::EvaluationResult::Verdict(outcome) = &mut case.evaluations[0].result {
                outcome.confidence_ppm = None;
            }
        }),
        ("executionProvider none", |case| case.transaction.provider = Provider::None),
        ("executionProvider privy", |case| case.transaction.provider = Provider::Privy),
        ("executionProvider fireblocks", |case| case.transaction.provider = Provider::Fireblocks),
        ("note", |case| case.transaction.note = Some("approved by everybody".to_owned())),
        ("requestNonce", |case| case.transaction.request_nonce = crate::U256::MAX),
        ("another creator", |case| case.transaction.initiator = principal(9)),
        ("approvalTtlSeconds", |case| {
            case.transaction.snapshot.expires_at = crate::Timestamp::from_unix_micros(i64::MAX);
        }),
    ];
    for (what, lower) in attempts {
        let mut case = demanding();
        lower(&mut case);
        assert!(open(&case).is_superset(&floor), "{what}: {:?}", open(&case));
    }
}

#[test]
fn a_request_can_raise_the_floor() {
    let mut case = demanding();
    case.transaction.snapshot.requirements = vec![requirement(Role::User, 2), requirement(Role::Arbiter, 2)];
    let raised = open(&case);
    assert!(raised.contains(&(Role::User, 2)) && raised.contains(&(Role::Arbiter, 2)), "{raised:?}");
}

#[test]
fn a_minimum_execution_type_asks_the_people_of_that_type() {
    for (least, people) in [
        (ExecutionType::DirectUser, None),
        (ExecutionType::UserExecuted, Some(Role::User)),
        (ExecutionType::AgentExecuted, Some(Role::Agent)),
    ] {
        let mut case = demanding().floor(Vec::new());
        case.policy.floor.minimum_confidence_ppm = 0;
        case.policy.floor.minimum_execution_type = least;
        match people {
            None => assert!(case.is_approved()),
            Some(role) => assert_eq!(open(&case), BTreeSet::from([(role, 1)])),
        }
    }
}
