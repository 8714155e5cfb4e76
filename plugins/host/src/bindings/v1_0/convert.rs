//! Between the host's model and the generated types. Requests are lent, answers are moved.

use super::countersign::policy::types;
use super::exports::countersign::policy::policy as answer;
use crate::outcome::{ApprovalsNeeded, Description, Outcome, SettingsProblem, Verdict};
use crate::transaction::{ClaimedTransaction, NameValue, VerifiedTransaction};

/// The lists of a request, whose elements the generated types borrow.
pub(super) struct Lent<'a> {
    arguments: Vec<types::Argument<'a>>,
    approvals: Vec<types::Approval<'a>>,
    verified_extra: Vec<(&'a str, &'a str)>,
    claimed_extra: Vec<(&'a str, &'a str)>,
}

impl<'a> Lent<'a> {
    pub(super) fn new(verified: &'a VerifiedTransaction, claimed: &'a ClaimedTransaction) -> Self {
        let arguments = verified.call.iter().flat_map(|call| &call.arguments);
        Self {
            arguments: arguments
                .map(|argument| types::Argument {
                    name: &argument.name,
                    abi_type: &argument.abi_type,
                    value: &argument.value,
                })
                .collect(),
            approvals: verified
                .approvals
                .iter()
                .map(|approval| types::Approval {
                    role: &approval.role,
                    principal_id: &approval.principal_id,
                    evidence_level: &approval.evidence_level,
                    given_at_ms: approval.given_at_ms,
                })
                .collect(),
            verified_extra: lend_pairs(&verified.extra),
            claimed_extra: lend_pairs(&claimed.extra),
        }
    }

    pub(super) fn verified(&'a self, verified: &'a VerifiedTransaction) -> types::Verified<'a> {
        types::Verified {
            organization_id: &verified.organization_id,
            transaction_id: &verified.transaction_id,
            initiator_id: &verified.initiator_id,
            owner_id: &verified.owner_id,
            created_at_ms: verified.created_at_ms,
            key_id: &verified.key_id,
            provider: &verified.provider,
            chain: &verified.chain,
            kind: &verified.kind,
            sender: &verified.sender,
            recipient: verified.recipient.as_deref(),
            value: &verified.value,
            data: &verified.data,
            call: verified.call.as_ref().map(|call| types::Call {
                selector: &call.selector,
                function: call.function.as_deref(),
                arguments: &self.arguments,
            }),
            ceilings: types::Ceilings {
                gas_limit: verified.ceilings.gas_limit,
                fee_per_gas: verified.ceilings.fee_per_gas.as_deref(),
                priority_fee_per_gas: verified.ceilings.priority_fee_per_gas.as_deref(),
                total_fee: verified.ceilings.total_fee.as_deref(),
            },
            approvals: &self.approvals,
            transactions_to_recipient: verified.transactions_to_recipient,
            extra: &self.verified_extra,
        }
    }

    pub(super) fn claimed(&'a self, claimed: &'a ClaimedTransaction) -> types::Claimed<'a> {
        types::Claimed {
            reference: claimed.reference.as_deref(),
            description: claimed.description.as_deref(),
            extra: &self.claimed_extra,
        }
    }
}

fn lend_pairs(pairs: &[NameValue]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

pub(super) fn outcome(outcome: answer::Outcome) -> Outcome {
    let verdict = match outcome.verdict {
        types::Verdict::Approve => Verdict::Approve,
        types::Verdict::Reject => Verdict::Reject,
        types::Verdict::Abstain => Verdict::Abstain,
        types::Verdict::NeedApprovals(needed) => Verdict::NeedApprovals(
            needed
                .into_iter()
                .map(|needed| ApprovalsNeeded { role: needed.role, count: needed.count })
                .collect(),
        ),
        types::Verdict::Other(name) => Verdict::Other(name),
    };
    Outcome {
        verdict,
        reason_code: outcome.reason_code,
        analysis: outcome.analysis,
        confidence_ppm: outcome.confidence_ppm,
        evidence: outcome.evidence,
    }
}

pub(super) fn description(description: answer::Description) -> Description {
    Description {
        name: description.name,
        version: description.version,
        summary: description.summary,
        settings_schema: description.settings_schema,
    }
}

pub(super) fn settings_problem(problem: answer::SettingsProblem) -> SettingsProblem {
    SettingsProblem { field: problem.field, rule: problem.rule }
}
