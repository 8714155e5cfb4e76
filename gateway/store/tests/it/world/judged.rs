//! What judges: plugins and their policy, and what they said and remember.

use std::collections::BTreeSet;

use gateway_domain::{
    Timestamp, U256,
    approvals::{EvidenceLevel, Role},
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::{BindingId, EvaluationId, OperatorId, OrganizationId, PluginRevisionId, ProposalId},
    plugin_state::{Counter, Entry, PluginState},
    policy::{
        Applies, Binding, BindingScope, Examined, Floor, Mode, PluginRevision, PluginRevocation, Policy,
        Power, Requirement, RevisionSignature,
    },
    transactions::{Kind, Transaction},
};

use super::{chain, hash, id};

pub(super) fn sample_revision(organization: OrganizationId, at: Timestamp) -> PluginRevision {
    PluginRevision {
        id: id(PluginRevisionId::from_uuid),
        organization,
        plugin: "orion".into(),
        component_digest: hash(),
        settings: "{\"limit\":\"1\"}".into(),
        grants: BTreeSet::from(["log".to_owned(), "state".to_owned()]),
        examined: Examined {
            imports: vec!["countersign:policy/log@1.0.0".to_owned()],
            wanted: vec!["log".to_owned()],
            contract: "1.0.0".to_owned(),
            bytes: 9,
        },
        signature: Some(RevisionSignature::from_stored("a.b.c".into())),
        uploaded_by: Some(id(OperatorId::from_uuid)),
        created_at: at,
    }
}

pub(super) fn sample_revocation(revision: &PluginRevision, at: Timestamp) -> PluginRevocation {
    PluginRevocation {
        revision: revision.id,
        organization: revision.organization,
        revoked_by: revision.uploaded_by,
        evidence: Some("a.b.c".into()),
        revoked_at: at,
    }
}

pub(super) fn sample_policy(
    organization: OrganizationId,
    revision: &PluginRevision,
    at: Timestamp,
) -> Policy {
    Policy {
        organization,
        revision: 1,
        floor: Floor {
            requirements: vec![Requirement {
                role: Role::Named("treasurer".into()),
                count: 2,
                evidence: EvidenceLevel::Signed,
                applies: Applies::AboveValue(U256::from(10).pow(U256::from(30))),
            }],
            ..Floor::open()
        },
        bindings: vec![Binding {
            id: id(BindingId::from_uuid),
            revision: revision.id,
            plugin: "orion".into(),
            subject_digest: hash(),
            scope: BindingScope {
                kinds: BTreeSet::from([Kind::Transaction]),
                chains: BTreeSet::from([chain()]),
                keys: BTreeSet::new(),
                vaults: BTreeSet::new(),
            },
            mode: Mode::Enforce,
            power: Power::Authority(Role::Orion),
        }],
        proposal: Some(id(ProposalId::from_uuid)),
        created_at: at,
    }
}

pub(super) fn sample_evaluation(transaction: &Transaction, policy: &Policy, at: Timestamp) -> Evaluation {
    Evaluation {
        id: id(EvaluationId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        intent_hash: transaction.intent_hash,
        binding: policy.bindings[0].id,
        policy_revision: policy.revision,
        subject_digest: policy.bindings[0].subject_digest,
        subject_name: "orion".into(),
        purpose: Purpose::DryRun,
        result: EvaluationResult::Verdict(Outcome {
            verdict: Verdict::NeedApprovals(vec![(Role::Arbiter, 1)]),
            reason_code: "large".into(),
            analysis: "a large value".into(),
            confidence_ppm: Some(1_000_000),
            evidence: vec![("limit".into(), "1".into())],
        }),
        duration_micros: 1234,
        record: "{}".into(),
        created_at: at,
    }
}

pub(super) fn sample_state(transaction: &Transaction, policy: &Policy, at: Timestamp) -> PluginState {
    let mut counter = Counter::default();
    counter.signed.insert(123, U256::MAX);
    counter.held.insert(transaction.id, U256::from(1));
    PluginState {
        organization: transaction.organization,
        lineage: policy.bindings[0].id,
        name: "counter/3600/sent".into(),
        entry: Entry::Counter(counter),
        version: 1,
        updated_at: at,
    }
}
