use alloy_primitives::{Address, B256, U256};

use super::situation::{
    MINUTE, Situation, binding, confident, evaluation, principal, requirement, situation, verdict,
};
use crate::{
    approvals::{Ballot, Evidence, EvidenceLevel, Role, Vote},
    clock::Timestamp,
    evaluations::{EvaluationResult, Purpose, Verdict},
    policy::{
        Applies, Decision, DenialReason, Mode, Power, Rehearsal, Requirement, RevisionFault, supersedes,
    },
    transactions::{Intent, Kind, Provider, State},
};

fn denial(situation: &Situation) -> DenialReason {
    match situation.decide() {
        Decision::Denied(denial) => denial.reason,
        other => panic!("not denied: {other:?}"),
    }
}

fn unmet(situation: &Situation) -> Vec<Role> {
    match situation.decide() {
        Decision::Pending(open) => open.unmet.into_iter().map(|requirement| requirement.role).collect(),
        other => panic!("not pending: {other:?}"),
    }
}

fn heard(result: EvaluationResult) -> Situation {
    let mut case = situation();
    case.evaluations = vec![evaluation(&case.transaction, 1, result)];
    case
}

#[test]
fn an_approving_authority_suffices_where_nobody_else_is_demanded() {
    assert!(situation().is_approved());
}

#[test]
fn rejects_failures_abstentions_and_unknown_verdicts_deny() {
    assert_eq!(denial(&heard(verdict(Verdict::Reject))), DenialReason::Plugin);
    assert_eq!(denial(&heard(verdict(Verdict::Abstain))), DenialReason::NoAuthority);
    assert_eq!(denial(&heard(verdict(Verdict::Other("later".into())))), DenialReason::PluginFailure);
    let failure = EvaluationResult::Failure { code: "timeout".into(), detail: String::new() };
    assert_eq!(denial(&heard(failure)), DenialReason::PluginFailure);
}

#[test]
fn a_kind_that_no_binding_names_is_denied() {
    let mut case = situation();
    case.transaction.intent.kind = Kind::Digest;
    case.transaction.intent_hash = case.transaction.intent.hash();
    assert_eq!(denial(&case), DenialReason::KindNotPermitted);
}

#[test]
fn what_names_no_key_is_executed_by_others_only() {
    let without_key = |provider| {
        let mut case = situation();
        case.transaction.intent.key = Intent::NO_KEY;
        case.key = None;
        case.transaction.intent_hash = case.transaction.intent.hash();
        case.transaction.provider = provider;
        case.evaluations = vec![evaluation(&case.transaction, 1, verdict(Verdict::Approve))];
        case
    };
    assert!(without_key(Provider::None).is_approved());
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy] {
        assert_eq!(denial(&without_key(provider)), DenialReason::KindNotPermitted);
    }
}

/// An opaque intent, as encrypted payloads for outside services have it.
fn opaque() -> Situation {
    let mut case = situation().floor(vec![requirement(Role::Orion, 1)]);
    case.transaction.intent.kind = Kind::Encrypted;
    case.transaction.provider = Provider::None;
    case.transaction.intent_hash = case.transaction.intent.hash();
    case.evaluations.clear();
    case
}

#[test]
fn what_nobody_here_can_read_is_approved_by_its_services_key_only() {
    assert_eq!(unmet(&opaque()), [Role::Orion]);
    assert!(opaque().vote(40, Role::Orion, Ballot::Approve).is_approved());
    assert_eq!(unmet(&opaque().vote(41, Role::Orion, Ballot::Approve)), [Role::Orion], "not eligible");
    assert_eq!(denial(&opaque().vote(40, Role::Orion, Ballot::Reject)), DenialReason::Vote);
    assert_eq!(denial(&opaque().floor(Vec::new())), DenialReason::NoAuthority);
    let mut by_plugin = opaque();
    by_plugin.evaluations = vec![evaluation(&by_plugin.transaction, 1, verdict(Verdict::Approve))];
    assert_eq!(unmet(&by_plugin), [Role::Orion], "no binding covers the kind");
}

#[test]
fn what_nobody_here_can_read_is_never_executed_here() {
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy] {
        let mut case = opaque().vote(40, Role::Orion, Ballot::Approve);
        case.transaction.provider = provider;
        assert_eq!(denial(&case), DenialReason::KindNotPermitted);
    }
}

#[test]
fn a_gate_cannot_approve_and_a_shadow_does_not_count() {
    let mut gate = situation();
    gate.policy.bindings = vec![binding(1, Power::Gate)];
    assert_eq!(denial(&gate), DenialReason::NoAuthority);

    let mut shadowed = situation();
    shadowed.policy.bindings[0].mode = Mode::Shadow;
    shadowed.policy.bindings.push(binding(2, Power::Gate));
    shadowed.evaluations.push(evaluation(&shadowed.transaction, 2, verdict(Verdict::Approve)));
    assert_eq!(denial(&shadowed), DenialReason::NoAuthority);
}

#[test]
fn evaluations_count_only_for_this_intent_binding_revision_purpose_and_age() {
    let spoil: [fn(&mut Situation); 7] = [
        |case| case.evaluations[0].intent_hash = B256::repeat_byte(1),
        |case| case.evaluations[0].subject_digest = B256::repeat_byte(1),
        |case| case.evaluations[0].purpose = Purpose::DryRun,
        |case| case.evaluations[0].purpose = Purpose::Shadow,
        |case| case.evaluations[0].policy_revision = 7,
        |case| case.evaluations.clear(),
        |case| case.now = Timestamp::from_unix_micros(16 * MINUTE),
    ];
    for (index, change) in spoil.iter().enumerate() {
        let mut case = situation();
        change(&mut case);
        assert!(matches!(case.decide(), Decision::Unheard(_)), "case {index}");
    }
}

/// T16: what was said for a dry run and what was said for a decision never meet.
#[test]
fn a_rehearsal_hears_dry_runs_alone_and_a_decision_none() {
    let demand = Verdict::NeedApprovals(vec![(Role::Agent, 1)]);
    let mut case = heard(verdict(demand));
    assert_eq!(unmet(&case), [Role::Agent]);
    assert!(matches!(case.rehearse(), Rehearsal::Denied(_)), "nobody was heard");
    case.evaluations[0].purpose = Purpose::DryRun;
    assert!(matches!(case.decide(), Decision::Unheard(_)));
    assert!(matches!(case.rehearse(), Rehearsal::Pending(open) if open.unmet[0].role == Role::Agent));

    // A kind word for the decision, an unkind one for the dry run, and the other way round.
    for (dry, real, approved) in
        [(Verdict::Approve, Verdict::Reject, false), (Verdict::Reject, Verdict::Approve, true)]
    {
        let mut case = heard(verdict(real));
        let mut rehearsed = evaluation(&case.transaction, 1, verdict(dry));
        rehearsed.purpose = Purpose::DryRun;
        case.evaluations.push(rehearsed);
        assert_eq!(case.is_approved(), approved);
        assert_eq!(matches!(case.rehearse(), Rehearsal::Approved { .. }), !approved);
    }
}

#[test]
fn a_later_kinder_evaluation_does_not_outweigh_a_denial() {
    let mut case = heard(verdict(Verdict::Reject));
    let mut second = evaluation(&case.transaction, 1, verdict(Verdict::Approve));
    second.created_at = Timestamp::from_unix_micros(MINUTE);
    case.evaluations.push(second);
    assert_eq!(denial(&case), DenialReason::Plugin);
}

#[test]
fn every_demanded_role_must_agree() {
    let demand = vec![requirement(Role::User, 1), requirement(Role::Agent, 1)];
    let case = situation().floor(demand);
    assert_eq!(unmet(&case), [Role::User, Role::Agent]);
    let case = case.vote(10, Role::User, Ballot::Approve);
    assert_eq!(unmet(&case), [Role::Agent]);
    assert!(case.vote(20, Role::Agent, Ballot::Approve).is_approved());
}

#[test]
fn quorums_count_principals_and_not_credentials() {
    let case = situation().floor(vec![requirement(Role::Agent, 2)]).vote(20, Role::Agent, Ballot::Approve);
    let mut twice = case.clone();
    let mut again = twice.votes[0].clone();
    again.id = crate::ids::VoteId::from_uuid(super::situation::id(77));
    twice.votes.push(again);
    assert_eq!(unmet(&twice), [Role::Agent]);
    assert!(case.vote(21, Role::Agent, Ballot::Approve).is_approved());
}

#[test]
fn of_several_votes_of_one_principal_the_strongest_counts() {
    let strong = Requirement { evidence: EvidenceLevel::Signed, ..requirement(Role::User, 1) };
    let mut case = situation().floor(vec![strong]).vote(10, Role::User, Ballot::Approve);
    let weak = case.votes[0].clone();
    let signed = Vote {
        id: crate::ids::VoteId::from_uuid(super::situation::id(77)),
        ordinal: 2,
        evidence: Evidence::WalletApproval { signature: vec![0; 65], expires: 61, wallet_epoch: 3 },
        ..weak.clone()
    };
    case.standing.wallet_epochs.insert(principal(10), 3);
    case.standing.wallets.insert(principal(10), Address::repeat_byte(3));
    case.standing.verified_votes.insert(signed.id);
    for votes in [[weak.clone(), signed.clone()], [signed.clone(), weak.clone()]] {
        case.votes = votes.to_vec();
        assert!(case.is_approved());
    }
    assert!(case.judged(|input| supersedes(input, &signed, &weak)));
    assert!(!case.judged(|input| supersedes(input, &weak, &signed)));
    let mut content = case.clone().floor(vec![requirement(Role::User, 1)]);
    assert!(!content.judged(|input| supersedes(input, &signed, &weak)), "nobody asks for more");
    content.standing.active_credentials.clear();
    assert!(content.judged(|input| supersedes(input, &signed, &weak)), "the first counts no longer");
}

#[test]
fn an_approval_is_taken_back_with_another_key_and_a_rejection_is_not() {
    let mut case =
        situation().floor(vec![requirement(Role::Agent, 1)]).vote(20, Role::Agent, Ballot::Approve);
    let approval = case.votes[0].clone();
    let same_key = Vote {
        id: crate::ids::VoteId::from_uuid(super::situation::id(77)),
        ballot: Ballot::Reject,
        ordinal: 2,
        ..approval.clone()
    };
    assert!(!case.judged(|input| supersedes(input, &same_key, &approval)));
    let credential = crate::ids::CredentialId::from_uuid(super::situation::id(78));
    case.standing.active_credentials.insert(credential, (approval.principal, Role::Agent));
    let rejection = Vote { evidence: Evidence::ApiKey { credential }, ..same_key };
    assert!(case.judged(|input| supersedes(input, &rejection, &approval)));
    assert!(!case.judged(|input| supersedes(input, &approval, &rejection)));
    let mut both = case;
    both.votes.push(rejection);
    assert_eq!(denial(&both), DenialReason::Vote);
}

#[test]
fn who_proposed_it_is_not_waited_for() {
    let mut case = situation().floor(vec![requirement(Role::Agent, 2)]);
    assert_eq!(unmet(&case), [Role::Agent]);
    case.transaction.initiator = principal(20);
    assert_eq!(denial(&case), DenialReason::RequirementUnreachable);
    case.policy.floor.initiator_may_vote = true;
    assert_eq!(unmet(&case), [Role::Agent]);
    let mut own = situation().floor(vec![requirement(Role::User, 1)]);
    own.transaction.initiator = principal(10);
    assert_eq!(unmet(&own), [Role::User], "an owner consents to what they proposed");
}

#[test]
fn the_creator_does_not_count_unless_policy_says_so() {
    let mut case =
        situation().floor(vec![requirement(Role::Agent, 1)]).vote(20, Role::Agent, Ballot::Approve);
    case.transaction.initiator = principal(20);
    assert_eq!(unmet(&case), [Role::Agent]);
    case.policy.floor.initiator_may_vote = true;
    assert!(case.is_approved());
}

#[test]
fn a_vote_needs_standing_eligibility_freshness_and_this_intent() {
    let base = situation().floor(vec![requirement(Role::Agent, 1)]).vote(20, Role::Agent, Ballot::Approve);
    assert!(base.is_approved());
    let spoil: [fn(&mut Situation); 6] = [
        |case| case.standing.active_principals.clear(),
        |case| case.standing.active_credentials.clear(),
        |case| {
            case.transaction.snapshot.eligible.remove(&Role::Agent);
        },
        |case| case.votes[0].intent_hash = B256::repeat_byte(1),
        |case| case.votes[0].role = Role::Arbiter,
        |case| {
            case.policy.floor.vote_age_max_seconds = 30;
        },
    ];
    for (index, change) in spoil.iter().enumerate() {
        let mut case = base.clone();
        change(&mut case);
        assert!(!case.is_approved(), "case {index}");
    }
}

#[test]
fn weak_evidence_does_not_meet_a_strong_demand() {
    let strong = Requirement { evidence: EvidenceLevel::Signed, ..requirement(Role::User, 1) };
    let mut case = situation().floor(vec![strong]).vote(10, Role::User, Ballot::Approve);
    assert_eq!(unmet(&case), [Role::User]);
    case.votes[0].evidence =
        Evidence::WalletApproval { signature: vec![0; 65], expires: 61, wallet_epoch: 3 };
    case.standing.wallet_epochs.insert(principal(10), 3);
    case.standing.wallets.insert(principal(10), Address::repeat_byte(3));
    assert_eq!(unmet(&case), [Role::User], "the signature was not verified again");
    case.standing.verified_votes.insert(case.votes[0].id);
    assert!(case.is_approved());
}

/// A node's word about a contract (T9).
#[test]
fn a_contracts_vote_counts_on_its_chain_and_never_as_signed() {
    let by_contract = |evidence| {
        let demanded = Requirement { evidence, ..requirement(Role::User, 1) };
        let mut case = situation().floor(vec![demanded]).vote(10, Role::User, Ballot::Approve);
        let (signature, signed_hash) = (vec![0; 200], B256::ZERO);
        let chain = case.transaction.intent.chain;
        case.votes[0].evidence = Evidence::ContractRequest { chain, signature, signed_hash, wallet_epoch: 3 };
        case.standing.wallet_epochs.insert(principal(10), 3);
        case.standing.verified_votes.insert(case.votes[0].id);
        case.standing.contracts.insert(principal(10), chain);
        case
    };
    assert!(by_contract(EvidenceLevel::Request).is_approved());
    assert_eq!(unmet(&by_contract(EvidenceLevel::Signed)), [Role::User]);
    let mut withdrawn = by_contract(EvidenceLevel::Request);
    withdrawn.standing.contracts.clear();
    withdrawn.standing.wallets.insert(principal(10), Address::repeat_byte(3));
    assert_eq!(unmet(&withdrawn), [Role::User]);
    let mut elsewhere = by_contract(EvidenceLevel::Request);
    elsewhere.standing.contracts.insert(principal(10), crate::chain::ChainId::eip155(137).unwrap());
    assert_eq!(unmet(&elsewhere), [Role::User]);
    let mut enrolled_again = by_contract(EvidenceLevel::Request);
    enrolled_again.standing.wallet_epochs.insert(principal(10), 5);
    assert_eq!(unmet(&enrolled_again), [Role::User]);
}

#[test]
fn a_signed_approval_counts_until_it_expires_and_a_signed_rejection_for_good() {
    let by = |ballot| {
        let mut case = situation().floor(vec![requirement(Role::User, 1)]).vote(10, Role::User, ballot);
        case.votes[0].evidence =
            Evidence::WalletApproval { signature: vec![0; 65], expires: 61, wallet_epoch: 3 };
        case.standing.wallet_epochs.insert(principal(10), 3);
        case.standing.wallets.insert(principal(10), Address::repeat_byte(3));
        case.standing.verified_votes.insert(case.votes[0].id);
        case
    };
    let mut case = by(Ballot::Approve);
    case.transaction.state = State::Approved;
    assert!(case.is_approved(), "a second before");
    case.now = Timestamp::from_unix_micros(61_000_000);
    assert_eq!(unmet(&case), [Role::User], "at the permit as at the vote");
    let mut rejected = by(Ballot::Reject);
    rejected.now = case.now;
    assert_eq!(denial(&rejected), DenialReason::Vote);
}

#[test]
fn a_required_role_that_rejects_ends_it_and_others_do_not() {
    let case = situation().vote(30, Role::Arbiter, Ballot::Reject);
    assert!(case.is_approved());
    let case = case.floor(vec![requirement(Role::Arbiter, 1)]);
    assert_eq!(denial(&case), DenialReason::Vote);
}

#[test]
fn low_confidence_calls_the_arbiter() {
    let mut case = heard(confident(Verdict::Approve, 799_999));
    assert!(case.is_approved());
    case.transaction.snapshot.minimum_confidence_ppm = 800_000;
    assert_eq!(unmet(&case), [Role::Arbiter]);
    case.transaction.snapshot.minimum_confidence_ppm = 0;
    case.policy.floor.minimum_confidence_ppm = 800_000;
    assert_eq!(unmet(&case), [Role::Arbiter]);
    assert!(case.vote(30, Role::Arbiter, Ballot::Approve).is_approved());
}

#[test]
fn a_plugin_can_demand_more_people() {
    let case = heard(verdict(Verdict::NeedApprovals(vec![(Role::Agent, 2)])));
    assert_eq!(unmet(&case), [Role::Agent]);
    let case = case.vote(20, Role::Agent, Ballot::Approve).vote(21, Role::Agent, Ballot::Approve);
    assert!(case.is_approved());
}

#[test]
fn what_a_plugin_once_demanded_is_not_taken_back() {
    let mut case = heard(verdict(Verdict::NeedApprovals(vec![(Role::Agent, 1)])));
    let mut kinder = evaluation(&case.transaction, 1, verdict(Verdict::Approve));
    kinder.id = crate::ids::EvaluationId::from_uuid(super::situation::id(501_000));
    kinder.created_at = Timestamp::from_unix_micros(16 * MINUTE);
    case.evaluations.push(kinder);
    case.now = Timestamp::from_unix_micros(17 * MINUTE);
    assert_eq!(unmet(&case), [Role::Agent], "the first evaluation is too old to count and still demands");
    case.policy.revision = 2;
    case.evaluations[1].policy_revision = 2;
    assert_eq!(unmet(&case), [Role::Agent], "another policy does not forget it either");
    case.evaluations[0].purpose = Purpose::Shadow;
    assert!(case.is_approved());
}

#[test]
fn a_refusal_does_not_age_and_a_failure_does() {
    let mut case = heard(verdict(Verdict::Reject));
    case.now = Timestamp::from_unix_micros(16 * MINUTE);
    assert_eq!(denial(&case), DenialReason::Plugin);
    let failure = EvaluationResult::Failure { code: "timeout".into(), detail: String::new() };
    let mut case = heard(failure);
    case.now = Timestamp::from_unix_micros(16 * MINUTE);
    assert!(matches!(case.decide(), Decision::Unheard(_)));
}

#[test]
fn unreadable_and_unreachable_requirements_deny() {
    assert_eq!(
        denial(&situation().floor(vec![requirement(Role::Agent, 0)])),
        DenialReason::RequirementInvalid
    );
    let nameless = requirement(Role::Named(String::new()), 1);
    assert_eq!(denial(&situation().floor(vec![nameless])), DenialReason::RequirementInvalid);
    assert_eq!(
        denial(&situation().floor(vec![requirement(Role::Agent, 3)])),
        DenialReason::RequirementUnreachable
    );
    let unknown = requirement(Role::Named("treasurer".into()), 1);
    assert_eq!(denial(&situation().floor(vec![unknown])), DenialReason::RequirementUnreachable);
}

#[test]
fn a_value_floor_counts_call_data_as_value() {
    let above = |limit: u64| Requirement {
        applies: Applies::AboveValue(U256::from(limit)),
        ..requirement(Role::User, 1)
    };
    assert!(situation().floor(vec![above(100)]).is_approved());
    assert_eq!(unmet(&situation().floor(vec![above(99)])), [Role::User]);
    let mut call = situation().floor(vec![above(100)]);
    call.transaction.intent.data = vec![1, 2, 3, 4];
    call.transaction.intent_hash = call.transaction.intent.hash();
    call.evaluations[0].intent_hash = call.transaction.intent_hash;
    assert_eq!(unmet(&call), [Role::User]);
}

#[test]
fn time_ends_a_pending_transaction() {
    let mut case = situation();
    case.transaction.snapshot.expires_at = case.now;
    assert_eq!(denial(&case), DenialReason::Expired);
    case.transaction.state = State::Approved;
    assert_eq!(denial(&case), DenialReason::Expired, "approved and not signed");
    let attempt = crate::ids::AttemptId::from_uuid(super::situation::id(3));
    case.transaction.state = State::Signed { attempt };
    assert!(case.is_approved(), "a signature may execute whenever it likes");
}

#[test]
fn evidence_about_something_else_is_refused() {
    let spoil: [fn(&mut Situation); 5] = [
        |case| case.policy.organization = crate::ids::OrganizationId::from_uuid(super::situation::id(8)),
        |case| case.transaction.intent.value = U256::from(101),
        |case| {
            case.transaction.intent.organization =
                crate::ids::OrganizationId::from_uuid(super::situation::id(8));
        },
        |case| {
            case.evaluations[0].transaction = crate::ids::TransactionId::from_uuid(super::situation::id(8));
        },
        |case| {
            case.evaluations[0].organization = crate::ids::OrganizationId::from_uuid(super::situation::id(8));
        },
    ];
    for (index, change) in spoil.iter().enumerate() {
        let mut case = situation();
        change(&mut case);
        assert_eq!(denial(&case), DenialReason::EvidenceInvalid, "case {index}");
    }
}

#[test]
fn a_revision_that_may_not_judge_denies_whatever_it_said() {
    for fault in [RevisionFault::Revoked, RevisionFault::SignerRevoked, RevisionFault::Unexamined] {
        let mut case = situation();
        assert!(case.is_approved());
        case.standing.revisions.insert(case.policy.bindings[0].revision, Err(fault));
        match case.decide() {
            Decision::Denied(denial) => {
                assert_eq!(denial.reason, DenialReason::PluginFailure);
                assert!(denial.detail.ends_with(fault.as_str()), "{}", denial.detail);
            }
            other => panic!("not denied: {other:?}"),
        }
    }
}
