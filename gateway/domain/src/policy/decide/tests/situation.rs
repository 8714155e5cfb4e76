//! A decision's surroundings, built from small choices.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use uuid::Uuid;

use crate::{
    approvals::{Ballot, Evidence, EvidenceLevel, Role, Vote},
    chain::ChainId,
    clock::Timestamp,
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::{
        BindingId, CredentialId, EvaluationId, KeyId, OrganizationId, PluginRevisionId, PrincipalId,
        TransactionId, VaultId, VoteId,
    },
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState},
    mac::{MacKey, MacKeys},
    policy::{
        Applies, Binding, BindingScope, Decision, DecisionInput, Floor, Mode, Policy, Power, Rehearsal,
        Requirement, Standing, decide, rehearse,
    },
    sealed::Sealer,
    transactions::{
        Ceilings, ExecutionType, Intent, Kind, Provider, RequirementSnapshot, State, Transaction,
    },
};

pub(super) const MINUTE: i64 = 60_000_000;

/// Everything that [`decide`] reads, unsealed and open to change.
#[derive(Clone, Debug)]
pub(super) struct Situation {
    pub(super) transaction: Transaction,
    pub(super) policy: Policy,
    pub(super) key: Option<KeyRecord>,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) votes: Vec<Vote>,
    pub(super) standing: Standing,
    pub(super) now: Timestamp,
}

pub(super) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(super) fn principal(number: u128) -> PrincipalId {
    PrincipalId::from_uuid(id(number))
}

/// Orion approves; nobody else is asked.
pub(super) fn situation() -> Situation {
    let organization = OrganizationId::from_uuid(id(1));
    let transaction = transaction(organization);
    let policy = Policy {
        organization,
        revision: 1,
        floor: Floor::open(),
        bindings: vec![binding(1, Power::Authority(Role::Orion))],
        proposal: None,
        created_at: Timestamp::from_unix_micros(0),
    };
    let evaluations = vec![evaluation(&transaction, 1, verdict(Verdict::Approve))];
    let now = Timestamp::from_unix_micros(MINUTE);
    let key = Some(key(&transaction.intent));
    Situation { transaction, policy, key, evaluations, votes: Vec::new(), standing: Standing::default(), now }
}

/// The intent's, in vault 6.
pub(super) fn key(intent: &Intent) -> KeyRecord {
    KeyRecord {
        id: intent.key,
        organization: intent.organization,
        token_id: "token".into(),
        cka_id: [1; 16],
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Wallet,
        kinds: BTreeSet::from([intent.kind]),
        public_key: None,
        address: Some(intent.from),
        state: KeyState::Active,
        self_registered: false,
        frozen: false,
        vault: Some(VaultId::from_uuid(id(6))),
        version: 1,
        created_at: Timestamp::from_unix_micros(0),
    }
}

fn transaction(organization: OrganizationId) -> Transaction {
    let transaction = TransactionId::from_uuid(id(2));
    let intent = Intent {
        organization,
        transaction,
        key: KeyId::from_uuid(id(3)),
        chain: ChainId::eip155(1).unwrap(),
        kind: Kind::Transaction,
        from: Address::repeat_byte(1),
        to: Some(Address::repeat_byte(2)),
        value: U256::from(100),
        data: Vec::new(),
        ceilings: Ceilings { gas: 21_000, fee_per_gas: 1, total: U256::from(21_100) },
        vendor_account: None,
    };
    Transaction {
        id: transaction,
        organization,
        request_hash: B256::ZERO,
        request_nonce: U256::ZERO,
        request_digest: B256::ZERO,
        initiator: principal(900),
        owner: principal(10),
        owner_address: Address::repeat_byte(3),
        execution_type: ExecutionType::DirectUser,
        provider: Provider::Hsm,
        verification_service: None,
        intent_hash: intent.hash(),
        intent,
        snapshot: RequirementSnapshot {
            requirements: Vec::new(),
            minimum_confidence_ppm: 0,
            eligible: BTreeMap::from([
                (Role::User, BTreeSet::from([principal(10)])),
                (Role::Agent, BTreeSet::from([principal(20), principal(21)])),
                (Role::Arbiter, BTreeSet::from([principal(30)])),
                (Role::Orion, BTreeSet::from([principal(40)])),
            ]),
            expires_at: Timestamp::from_unix_micros(1_000 * MINUTE),
        },
        note: None,
        state: State::Pending,
        version: 1,
        created_at: Timestamp::from_unix_micros(0),
        updated_at: Timestamp::from_unix_micros(0),
    }
}

pub(super) fn binding(number: u128, power: Power) -> Binding {
    Binding {
        id: BindingId::from_uuid(id(number)),
        revision: PluginRevisionId::from_uuid(id(number)),
        plugin: format!("plugin-{number}"),
        subject_digest: B256::repeat_byte(9),
        scope: BindingScope {
            kinds: BTreeSet::from([Kind::Transaction]),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults: BTreeSet::new(),
        },
        mode: Mode::Enforce,
        power,
    }
}

pub(super) fn verdict(verdict: Verdict) -> EvaluationResult {
    confident(verdict, 1_000_000)
}

pub(super) fn confident(verdict: Verdict, confidence_ppm: u32) -> EvaluationResult {
    EvaluationResult::Verdict(Outcome {
        verdict,
        reason_code: "test".to_owned(),
        analysis: "as told".to_owned(),
        confidence_ppm: Some(confidence_ppm),
        evidence: Vec::new(),
    })
}

pub(super) fn evaluation(transaction: &Transaction, binding: u128, result: EvaluationResult) -> Evaluation {
    Evaluation {
        id: EvaluationId::from_uuid(id(500 + binding)),
        organization: transaction.organization,
        transaction: transaction.id,
        intent_hash: transaction.intent_hash,
        binding: BindingId::from_uuid(id(binding)),
        policy_revision: 1,
        subject_digest: B256::repeat_byte(9),
        subject_name: format!("plugin-{binding}"),
        purpose: Purpose::Decision,
        result,
        duration_micros: 10,
        record: "{}".to_owned(),
        created_at: Timestamp::from_unix_micros(0),
    }
}

pub(super) fn requirement(role: Role, count: u32) -> Requirement {
    Requirement { role, count, evidence: EvidenceLevel::Bearer, applies: Applies::Always }
}

impl Situation {
    /// Adds a vote by an API key in good standing.
    pub(super) fn vote(mut self, by: u128, role: Role, ballot: Ballot) -> Self {
        let credential = CredentialId::from_uuid(id(by));
        self.standing.active_principals.insert(principal(by));
        self.standing.active_credentials.insert(credential, (principal(by), role.clone()));
        self.votes.push(Vote {
            id: VoteId::from_uuid(id(by)),
            organization: self.transaction.organization,
            transaction: self.transaction.id,
            intent_hash: self.transaction.intent_hash,
            principal: principal(by),
            ordinal: 1,
            role,
            ballot,
            evidence: Evidence::ApiKey { credential },
            confidence_ppm: Some(1_000_000),
            analysis: None,
            created_at: Timestamp::from_unix_micros(0),
        });
        self
    }

    pub(super) fn floor(mut self, requirements: Vec<Requirement>) -> Self {
        self.policy.floor.requirements = requirements;
        self
    }

    pub(super) fn decide(&self) -> Decision {
        self.judged(decide)
    }

    pub(super) fn rehearse(&self) -> Rehearsal {
        self.judged(rehearse)
    }

    pub(super) fn judged<T>(&self, judge: impl Fn(&DecisionInput<'_>) -> T) -> T {
        let sealer = Sealer::new(MacKeys::new(BTreeMap::from([(1, MacKey::new([7; 32]))]), 1));
        let evaluations: Vec<_> = self.evaluations.iter().cloned().map(|value| sealer.seal(value)).collect();
        let votes: Vec<_> = self.votes.iter().cloned().map(|value| sealer.seal(value)).collect();
        // Every revision may judge, but for those of which a case says otherwise.
        let mut standing = self.standing.clone();
        for binding in &self.policy.bindings {
            standing.revisions.entry(binding.revision).or_insert(Ok(()));
        }
        judge(&DecisionInput {
            transaction: &sealer.seal(self.transaction.clone()),
            policy: &sealer.seal(self.policy.clone()),
            key: self.key.clone().map(|key| sealer.seal(key)).as_ref(),
            evaluations: &evaluations,
            votes: &votes,
            standing: &standing,
            now: self.now,
        })
    }

    pub(super) fn is_approved(&self) -> bool {
        matches!(self.decide(), Decision::Approved(_))
    }
}
