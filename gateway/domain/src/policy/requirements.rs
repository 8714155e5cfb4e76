//! Which approvals are demanded, and which of them are given. Demands are conjoined, never ranked.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;

use crate::{
    approvals::{Ballot, Evidence, EvidenceLevel, Role, Vote},
    chain::ChainId,
    clock::Timestamp,
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::{CredentialId, PluginRevisionId, PrincipalId, VoteId},
    policy::{
        Applies, Binding, DecisionInput, Power, Requirement, RevisionFault,
        decide::{Denial, DenialReason, denied, is_authority_approval},
    },
    transactions::{ExecutionType, Intent},
};

/// Who and what is in good standing at the moment of the decision.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The organization's standing, read before everything below.
    pub revision: u64,
    pub active_principals: BTreeSet<PrincipalId>,
    /// API keys that are neither revoked nor expired, with their owner and the role their label fills.
    pub active_credentials: BTreeMap<CredentialId, (PrincipalId, Role)>,
    /// The wallet each user is enrolled with.
    pub wallets: BTreeMap<PrincipalId, Address>,
    /// Chains of the wallets that are contracts; none of these is in `wallets`.
    pub contracts: BTreeMap<PrincipalId, ChainId>,
    /// Of those two: under which epoch a vote of theirs must have been given.
    pub wallet_epochs: BTreeMap<PrincipalId, u64>,
    /// Votes whose own signature was verified again just now.
    pub verified_votes: BTreeSet<VoteId>,
    /// Whether each plugin revision of the policy that is asked here may judge now.
    pub revisions: BTreeMap<PluginRevisionId, Result<(), RevisionFault>>,
}

/// Approvals and rejections that count.
pub(super) struct Tally {
    /// Principals by role, with the strength of their approval.
    approvals: BTreeMap<Role, BTreeMap<PrincipalId, EvidenceLevel>>,
    /// Approving authorities by role.
    authorities: BTreeMap<Role, u32>,
    rejections: BTreeSet<Role>,
}

/// Everything the transaction must satisfy: floor, snapshot, plugins, and the arbiter on weak confidence.
pub(super) fn applicable(
    input: &DecisionInput<'_>,
    heard: &[(&Binding, &Outcome)],
    purpose: Purpose,
) -> Result<Vec<Requirement>, Denial> {
    let snapshot = &input.transaction.snapshot;
    let intent = &input.transaction.intent;
    let declared = input.policy.floor.demands().chain(snapshot.requirements.iter().cloned());
    let mut requirements: BTreeSet<Requirement> =
        declared.filter(|requirement| requirement.applies.to(intent)).collect();
    let said = input.evaluations.iter().map(|evaluation| &**evaluation);
    requirements.extend(demanded_for(purpose, said, intent));
    if confidence_is_weak(input, heard) {
        requirements.insert(always(Role::Arbiter, 1));
    }
    let unreadable = |requirement: &&Requirement| {
        requirement.count < 1 || matches!(&requirement.role, Role::Named(name) if name.is_empty())
    };
    if requirements.iter().any(|requirement| unreadable(&requirement)) {
        return Err(denied(DenialReason::RequirementInvalid, "a requirement names no role or nobody"));
    }
    Ok(requirements.into_iter().collect())
}

/// What plugins ever demanded for `intent`, whatever their age and whether they are still asked: a later, kinder
/// evaluation takes nothing back.
pub(crate) fn demanded<'a>(
    evaluations: impl Iterator<Item = &'a Evaluation>,
    intent: &Intent,
) -> BTreeSet<Requirement> {
    demanded_for(Purpose::Decision, evaluations, intent)
}

fn demanded_for<'a>(
    purpose: Purpose,
    evaluations: impl Iterator<Item = &'a Evaluation>,
    intent: &Intent,
) -> BTreeSet<Requirement> {
    let about = intent.hash();
    evaluations
        .filter(|evaluation| evaluation.purpose == purpose && evaluation.intent_hash == about)
        .filter_map(|evaluation| match &evaluation.result {
            EvaluationResult::Verdict(Outcome { verdict: Verdict::NeedApprovals(needs), .. }) => Some(needs),
            EvaluationResult::Verdict(_) | EvaluationResult::Failure { .. } => None,
        })
        .flatten()
        .map(|(role, count)| always(role.clone(), *count))
        .collect()
}

fn always(role: Role, count: u32) -> Requirement {
    Requirement { role, count, evidence: EvidenceLevel::Bearer, applies: Applies::Always }
}

/// The roles that must agree, as far as is known before every binding has spoken.
pub fn required_roles(input: &DecisionInput<'_>) -> BTreeSet<Role> {
    applicable(input, &[], Purpose::Decision)
        .map_or_else(|_| BTreeSet::new(), |all| all.into_iter().map(|one| one.role).collect())
}

fn confidence_is_weak(input: &DecisionInput<'_>, heard: &[(&Binding, &Outcome)]) -> bool {
    let threshold =
        input.policy.floor.minimum_confidence_ppm.max(input.transaction.snapshot.minimum_confidence_ppm);
    let weak = |confidence: Option<u32>| confidence.unwrap_or(0) < threshold;
    let by_plugin = heard
        .iter()
        .any(|(binding, outcome)| is_authority_approval(binding, outcome) && weak(outcome.confidence_ppm));
    let by_vote = input
        .votes
        .iter()
        .any(|vote| vote.role == Role::Orion && vote.ballot == Ballot::Approve && weak(vote.confidence_ppm));
    by_plugin || by_vote
}

impl ExecutionType {
    pub fn least() -> Self {
        Self::DirectUser
    }

    /// Whose approval each type demands (contract/core.md section 4).
    pub fn requirements(self) -> impl Iterator<Item = Requirement> {
        let roles: &[Role] = match self {
            Self::DirectUser => &[],
            Self::UserExecuted => &[Role::User, Role::Orion],
            Self::AgentExecuted => &[Role::Agent, Role::Orion],
        };
        roles.iter().map(|role| Requirement {
            role: role.clone(),
            count: 1,
            evidence: EvidenceLevel::Bearer,
            applies: Applies::Always,
        })
    }
}

impl Applies {
    fn to(&self, intent: &Intent) -> bool {
        match self {
            Self::Always => true,
            Self::AboveValue(limit) => {
                intent.value > *limit || !intent.data.is_empty() || intent.to.is_none()
            }
        }
    }
}

impl Tally {
    pub(super) fn of(input: &DecisionInput<'_>, heard: &[(&Binding, &Outcome)]) -> Self {
        let mut tally =
            Self { approvals: BTreeMap::new(), authorities: BTreeMap::new(), rejections: BTreeSet::new() };
        for (binding, outcome) in heard {
            if let Power::Authority(role) = &binding.power
                && is_authority_approval(binding, outcome)
            {
                *tally.authorities.entry(role.clone()).or_default() += 1;
            }
        }
        for vote in input.votes.iter().filter(|vote| counts(input, vote)) {
            match vote.ballot {
                Ballot::Reject => {
                    tally.rejections.insert(vote.role.clone());
                }
                Ballot::Approve => {
                    let role = tally.approvals.entry(vote.role.clone()).or_default();
                    // Of several votes the strongest evidence counts; the principal once.
                    let level = role.entry(vote.principal).or_insert_with(|| vote.evidence.level());
                    *level = vote.evidence.level().max(*level);
                }
            }
        }
        tally
    }

    pub(super) fn rejected(&self) -> &BTreeSet<Role> {
        &self.rejections
    }

    pub(super) fn meets(&self, requirement: &Requirement) -> bool {
        self.given(requirement) >= requirement.count as usize
    }

    /// Whether everybody who may still speak could meet it.
    pub(super) fn can_meet(&self, requirement: &Requirement, input: &DecisionInput<'_>) -> bool {
        let role = &requirement.role;
        let eligible = input.transaction.snapshot.eligible.get(role).into_iter().flatten();
        let people = eligible.filter(|principal| may_approve(input, **principal, role)).count();
        people + self.authorities_for(&requirement.role) >= requirement.count as usize
    }

    fn given(&self, requirement: &Requirement) -> usize {
        let people = self.approvals.get(&requirement.role).map_or(0, |approvals| {
            approvals.values().filter(|evidence| **evidence >= requirement.evidence).count()
        });
        people + self.authorities_for(&requirement.role)
    }

    fn authorities_for(&self, role: &Role) -> usize {
        self.authorities.get(role).copied().unwrap_or(0) as usize
    }
}

/// Who proposed the transaction approves it as its owner, or where the floor says so.
fn may_approve(input: &DecisionInput<'_>, principal: PrincipalId, role: &Role) -> bool {
    principal != input.transaction.initiator || *role == Role::User || input.policy.floor.initiator_may_vote
}

/// Whether `vote` may follow `earlier` of the same principal: it counts, and the earlier one no longer does, or was an
/// approval that is taken back by wallet or another key, or made with evidence that its role is asked for. A rejection
/// that counts stands.
pub(crate) fn supersedes(input: &DecisionInput<'_>, vote: &Vote, earlier: &Vote) -> bool {
    if !counts(input, vote) {
        return false;
    }
    if !counts(input, earlier) {
        return true;
    }
    match (earlier.ballot, vote.ballot) {
        // The same key that says the opposite is refused, as the contract has it: whoever has the key could have said so.
        (Ballot::Approve, Ballot::Reject) => {
            let key = vote.evidence.credential();
            key.is_none() || key != earlier.evidence.credential()
        }
        (Ballot::Approve, Ballot::Approve) => {
            let (weak, strong) = (earlier.evidence.level(), vote.evidence.level());
            let asks = |all: Vec<Requirement>| {
                all.iter().any(|one| one.role == vote.role && weak < one.evidence && one.evidence <= strong)
            };
            applicable(input, &[], Purpose::Decision).is_ok_and(asks)
        }
        (Ballot::Reject, _) => false,
    }
}

/// The votes that count now.
pub(crate) fn counting(input: &DecisionInput<'_>) -> BTreeSet<VoteId> {
    input.votes.iter().filter(|vote| counts(input, vote)).map(|vote| vote.id).collect()
}

/// A vote counts if it is about this intent and its principal and credential may still speak for the role.
/// A rejection by somebody who has lost that right is dropped too: the right was taken away for a reason.
fn counts(input: &DecisionInput<'_>, vote: &Vote) -> bool {
    let snapshot = &input.transaction.snapshot;
    let eligible =
        snapshot.eligible.get(&vote.role).is_some_and(|principals| principals.contains(&vote.principal));
    let fresh =
        input.now.since(vote.created_at).as_secs() <= u64::from(input.policy.floor.vote_age_max_seconds);
    vote.intent_hash == input.transaction.intent_hash
        && eligible
        && fresh
        && (vote.ballot == Ballot::Reject || may_approve(input, vote.principal, &vote.role))
        && input.standing.active_principals.contains(&vote.principal)
        && evidence_stands(input, vote)
}

fn evidence_stands(input: &DecisionInput<'_>, vote: &Vote) -> bool {
    let standing = input.standing;
    let is_same_wallet =
        |epoch: u64| vote.role == Role::User && standing.wallet_epochs.get(&vote.principal) == Some(&epoch);
    match &vote.evidence {
        Evidence::ApiKey { credential } => {
            standing.active_credentials.get(credential) == Some(&(vote.principal, vote.role.clone()))
        }
        Evidence::WalletRequest { wallet_epoch, .. } => {
            is_same_wallet(*wallet_epoch) && standing.wallets.contains_key(&vote.principal)
        }
        Evidence::ContractRequest { chain, wallet_epoch, .. } => {
            is_same_wallet(*wallet_epoch) && standing.contracts.get(&vote.principal) == Some(chain)
        }
        Evidence::WalletApproval { expires, wallet_epoch, .. } => {
            // A rejection needs no lifetime: it was heard when it was given.
            (vote.ballot == Ballot::Reject || is_before(input.now, *expires))
                && is_same_wallet(*wallet_epoch)
                && standing.wallets.contains_key(&vote.principal)
                && standing.verified_votes.contains(&vote.id)
        }
    }
}

fn is_before(now: Timestamp, unix_seconds: u64) -> bool {
    u64::try_from(now.unix_seconds()).is_ok_and(|now| now < unix_seconds)
}
