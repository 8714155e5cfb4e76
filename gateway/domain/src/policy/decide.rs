//! The decision: a pure function from what was asked and what was said to whether a key may be used.
//!
//! Any reject and any failure denies. Every requirement must be met. At least one authority must approve.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    approvals::{Role, Vote},
    clock::Timestamp,
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::BindingId,
    keys::KeyRecord,
    policy::{
        Binding, Mode, Policy, Power, Requirement, RevisionFault,
        requirements::{Standing, Tally, applicable},
    },
    sealed::Sealed,
    transactions::{Intent, Kind, Provider, State, Transaction},
};

#[cfg(test)]
mod tests;

/// Everything a decision rests on. Stored parts come sealed or not at all.
#[derive(Clone, Copy)]
pub struct DecisionInput<'a> {
    pub transaction: &'a Sealed<Transaction>,
    pub policy: &'a Sealed<Policy>,
    /// The key that the intent names; absent if it names none.
    pub key: Option<&'a Sealed<KeyRecord>>,
    pub evaluations: &'a [Sealed<Evaluation>],
    pub votes: &'a [Sealed<Vote>],
    pub standing: &'a Standing,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Approved(Approved),
    /// People still have to agree.
    Pending(Open),
    /// These bindings have not spoken, or too long ago, or under another policy.
    Unheard(Vec<BindingId>),
    Denied(Denial),
}

/// The proof that policy is satisfied. Only [`decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    intent_hash: B256,
    policy_revision: u64,
    standing_revision: u64,
    required: BTreeSet<Role>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Every role that must agree, met or not.
    pub required: BTreeSet<Role>,
    pub unmet: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: DenialReason,
    pub detail: String,
    pub rejected_by: BTreeSet<Role>,
    pub required: BTreeSet<Role>,
}

/// Why a transaction is refused; the closed list that clients may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    Vote,
    Plugin,
    PluginFailure,
    /// No authority approved: all abstained, or none is attached.
    NoAuthority,
    /// No enforced binding names this kind of transaction.
    KindNotPermitted,
    Expired,
    /// A requirement that cannot be read: a count below one or an empty role.
    RequirementInvalid,
    /// Fewer principals may fill the role than it demands.
    RequirementUnreachable,
    EvidenceInvalid,
    /// An encrypted payload that could not be authenticated; why is not told.
    PayloadUnopened,
    /// An encrypted payload whose content breaks a rule.
    PayloadInvalid,
    /// It was approved, and before it was signed an approval stopped counting or more was demanded.
    ApprovalLost,
}

impl Approved {
    pub fn intent_hash(&self) -> B256 {
        self.intent_hash
    }

    pub fn policy_revision(&self) -> u64 {
        self.policy_revision
    }

    /// The standing of organization and owner as it was before votes and credentials were read.
    pub fn standing_revision(&self) -> u64 {
        self.standing_revision
    }

    pub fn required(&self) -> &BTreeSet<Role> {
        &self.required
    }
}

impl Decision {
    /// Every role that must agree, met or not.
    pub fn required(&self) -> BTreeSet<Role> {
        match self {
            Self::Approved(approved) => approved.required.clone(),
            Self::Pending(open) => open.required.clone(),
            Self::Denied(denial) => denial.required.clone(),
            Self::Unheard(_) => BTreeSet::new(),
        }
    }
}

/// Decides. The caller must have read all parts for the same version of the transaction.
pub fn decide(input: &DecisionInput<'_>) -> Decision {
    judge(input, Purpose::Decision).unwrap_or_else(Decision::Denied)
}

/// Judges by the evaluations of one purpose alone; all others count for nothing (T16).
pub(super) fn judge(input: &DecisionInput<'_>, purpose: Purpose) -> Result<Decision, Denial> {
    let transaction = input.transaction;
    check_evidence(input)?;
    if transaction.is_overdue(input.now) {
        let detail = match transaction.state {
            State::Approved => "it was not signed in time",
            _ => "nobody decided in time",
        };
        return Err(denied(DenialReason::Expired, detail));
    }
    let vault = input.key.and_then(|key| key.vault);
    let covering = input.policy.covering(Mode::Enforce, &transaction.intent, vault);
    let bindings: Vec<&Binding> = covering.collect();
    let is_opaque = transaction.intent.kind == Kind::Encrypted;
    if is_opaque && transaction.provider != Provider::None {
        return Err(denied(DenialReason::KindNotPermitted, "what cannot be read is executed by others only"));
    }
    if transaction.intent.key == Intent::NO_KEY && transaction.provider != Provider::None {
        return Err(denied(DenialReason::KindNotPermitted, "what names no key is executed by others only"));
    }
    if bindings.is_empty() && !is_opaque {
        let kind = transaction.intent.kind.as_str();
        return Err(denied(
            DenialReason::KindNotPermitted,
            format!("no policy binding covers kind `{kind}`"),
        ));
    }

    let mut unheard = Vec::new();
    let mut heard = Vec::new();
    for binding in bindings {
        require_fit(input, binding)?;
        match latest(input, binding, purpose) {
            Some(evaluation) => heard.push((binding, outcome_of(binding, evaluation)?)),
            None => unheard.push(binding.id),
        }
    }
    if !unheard.is_empty() {
        return Ok(Decision::Unheard(unheard));
    }

    let requirements = applicable(input, &heard, purpose)?;
    let required: BTreeSet<Role> = requirements.iter().map(|requirement| requirement.role.clone()).collect();
    let tally = Tally::of(input, &heard);
    let rejected_by: BTreeSet<Role> = tally.rejected().intersection(&required).cloned().collect();
    if !rejected_by.is_empty() {
        let detail = "a required role rejected the transaction".to_owned();
        return Err(Denial { reason: DenialReason::Vote, detail, rejected_by, required });
    }
    // Nobody here can read an opaque intent: its verification service is the authority, by an orion key's vote.
    let has_authority = if is_opaque {
        required.contains(&Role::Orion)
    } else {
        heard.iter().any(|(binding, outcome)| is_authority_approval(binding, outcome))
    };
    if !has_authority {
        return Err(denied(DenialReason::NoAuthority, "no authority approved"));
    }
    if let Some(requirement) = requirements.iter().find(|requirement| !tally.can_meet(requirement, input)) {
        let detail = format!("role `{}` cannot reach {} approvals", requirement.role, requirement.count);
        return Err(denied(DenialReason::RequirementUnreachable, detail));
    }
    let unmet: Vec<Requirement> =
        requirements.into_iter().filter(|requirement| !tally.meets(requirement)).collect();
    if unmet.is_empty() {
        let approved = Approved {
            intent_hash: transaction.intent_hash,
            policy_revision: input.policy.revision,
            standing_revision: input.standing.revision,
            required,
        };
        return Ok(Decision::Approved(approved));
    }
    Ok(Decision::Pending(Open { required, unmet }))
}

/// What was signed for, and by whom, counts now and not when the plugin was asked.
fn require_fit(input: &DecisionInput<'_>, binding: &Binding) -> Result<(), Denial> {
    let known = input.standing.revisions.get(&binding.revision).copied();
    known.unwrap_or(Err(RevisionFault::Unexamined)).map_err(|fault| {
        let detail = format!("plugin `{}` may not judge: {}", binding.plugin, fault.as_str());
        denied(DenialReason::PluginFailure, detail)
    })
}

/// Seals say that a row is ours; this says that the rows belong together.
fn check_evidence(input: &DecisionInput<'_>) -> Result<(), Denial> {
    let transaction = input.transaction;
    let refuse =
        |what: &str| Err(denied(DenialReason::EvidenceInvalid, format!("{what} is about something else")));
    if input.policy.organization != transaction.organization {
        return refuse("the policy");
    }
    if transaction.intent.hash() != transaction.intent_hash
        || transaction.intent.organization != transaction.organization
        || transaction.intent.transaction != transaction.id
    {
        return refuse("the intent");
    }
    let named = input.key.map_or(Intent::NO_KEY, |key| key.id);
    if named != transaction.intent.key
        || input.key.is_some_and(|key| key.organization != transaction.organization)
    {
        return refuse("the key");
    }
    if input.evaluations.iter().any(|evaluation| {
        evaluation.transaction != transaction.id || evaluation.organization != transaction.organization
    }) {
        return refuse("an evaluation");
    }
    if input
        .votes
        .iter()
        .any(|vote| vote.transaction != transaction.id || vote.organization != transaction.organization)
    {
        return refuse("a vote");
    }
    Ok(())
}

fn latest<'a>(input: &DecisionInput<'a>, binding: &Binding, purpose: Purpose) -> Option<&'a Evaluation> {
    let age_max = u64::from(input.policy.floor.evaluation_age_max_seconds);
    let counts = |evaluation: &&Sealed<Evaluation>| {
        evaluation.binding == binding.id
            && evaluation.purpose == purpose
            && evaluation.subject_digest == binding.subject_digest
            && evaluation.intent_hash == input.transaction.intent_hash
            && evaluation.policy_revision == input.policy.revision
            && (refuses(&evaluation.result) || input.now.since(evaluation.created_at).as_secs() <= age_max)
    };
    // A denial is never outvoted by a later, kinder evaluation of the same binding.
    let mut candidates: Vec<&Sealed<Evaluation>> = input.evaluations.iter().filter(counts).collect();
    candidates.sort_by_key(|evaluation| (!denies(&evaluation.result), evaluation.created_at));
    let chosen = candidates.iter().find(|evaluation| denies(&evaluation.result)).or(candidates.last())?;
    Some(chosen)
}

fn denies(result: &EvaluationResult) -> bool {
    matches!(result, EvaluationResult::Failure { .. }) || refuses(result)
}

/// A binding that was heard and did not agree. Unlike a failure, such a word does not age: what was refused stays so
/// until the policy changes.
fn refuses(result: &EvaluationResult) -> bool {
    match result {
        EvaluationResult::Failure { .. } => false,
        EvaluationResult::Verdict(outcome) => matches!(outcome.verdict, Verdict::Reject | Verdict::Other(_)),
    }
}

fn outcome_of<'a>(binding: &Binding, evaluation: &'a Evaluation) -> Result<&'a Outcome, Denial> {
    let rejected_by = match &binding.power {
        Power::Authority(role) => BTreeSet::from([role.clone()]),
        Power::Gate => BTreeSet::new(),
    };
    let refuse = |reason, detail| Err(Denial { reason, detail, rejected_by, required: BTreeSet::new() });
    match &evaluation.result {
        EvaluationResult::Failure { code, .. } => {
            refuse(DenialReason::PluginFailure, format!("plugin `{}` failed: {code}", binding.plugin))
        }
        EvaluationResult::Verdict(outcome) => match &outcome.verdict {
            Verdict::Approve | Verdict::Abstain | Verdict::NeedApprovals(_) => Ok(outcome),
            Verdict::Reject => {
                refuse(DenialReason::Plugin, format!("{}: {}", binding.plugin, outcome.analysis))
            }
            Verdict::Other(_) => refuse(
                DenialReason::PluginFailure,
                format!("plugin `{}` gave an unknown verdict", binding.plugin),
            ),
        },
    }
}

/// An authority that demands approvals besides its own approves as well.
pub(super) fn is_authority_approval(binding: &Binding, outcome: &Outcome) -> bool {
    matches!(binding.power, Power::Authority(_))
        && matches!(outcome.verdict, Verdict::Approve | Verdict::NeedApprovals(_))
}

pub(crate) fn denied(reason: DenialReason, detail: impl Into<String>) -> Denial {
    Denial { reason, detail: detail.into(), rejected_by: BTreeSet::new(), required: BTreeSet::new() }
}

impl DenialReason {
    /// Whether policy or its plugins said no, and not people, time, or an approval that stopped counting.
    pub fn is_by_policy(self) -> bool {
        match self {
            Self::Vote | Self::Expired | Self::ApprovalLost => false,
            Self::Plugin
            | Self::PluginFailure
            | Self::NoAuthority
            | Self::KindNotPermitted
            | Self::RequirementInvalid
            | Self::RequirementUnreachable
            | Self::EvidenceInvalid
            | Self::PayloadUnopened
            | Self::PayloadInvalid => true,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vote => "rejected",
            Self::Plugin => "rejected_by_plugin",
            Self::PluginFailure => "plugin_failed",
            Self::NoAuthority => "no_authority",
            Self::KindNotPermitted => "kind_not_permitted",
            Self::Expired => "expired",
            Self::RequirementInvalid => "requirement_invalid",
            Self::RequirementUnreachable => "requirement_unreachable",
            Self::EvidenceInvalid => "evidence_invalid",
            Self::PayloadUnopened => "payload_unopened",
            Self::PayloadInvalid => "payload_invalid",
            Self::ApprovalLost => "approval_lost",
        }
    }
}
