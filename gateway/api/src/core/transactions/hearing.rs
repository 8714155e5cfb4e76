//! A transaction with everything that was said about it.

use std::collections::BTreeSet;

use futures::future::{try_join, try_join3};
use gateway_domain::{
    Error, Result, Timestamp,
    approvals::{Ballot, Role, Vote},
    evaluations::{Evaluation, EvaluationResult, Outcome, Purpose, Verdict},
    ids::OrganizationId,
    payloads::EncryptedPayload,
    policy::{DecisionInput, Policy, Power, Standing, decide, required_roles},
    ports::Services,
    sealed::Sealed,
    transactions::{Attempt, State, Transaction, counting_votes, last_words},
    verification::OrionMetadata,
};

pub(crate) struct Hearing {
    pub(crate) transaction: Sealed<Transaction>,
    pub(crate) votes: Vec<Sealed<Vote>>,
    pub(crate) attempts: Vec<Sealed<Attempt>>,
    /// What an encrypted transaction came as.
    pub(crate) payload: Option<Sealed<EncryptedPayload>>,
    /// What its verification service reported.
    pub(crate) metadata: Option<Sealed<OrionMetadata>>,
    /// The newest decision of the binding that has authority for role `orion`, if it approved or rejected.
    pub(crate) orion: Option<OrionWord>,
    evaluations: Vec<Sealed<Evaluation>>,
}

/// What the Orion plugin decided.
pub(crate) struct OrionWord {
    pub(crate) evaluation: Sealed<Evaluation>,
    pub(crate) outcome: Outcome,
    pub(crate) approved: bool,
}

impl Hearing {
    /// The policy by which hearings of the organization are read.
    pub(crate) async fn policy(services: &Services, organization: OrganizationId) -> Result<Sealed<Policy>> {
        let policy = services.store.policy(organization).await?;
        policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))
    }

    pub(crate) async fn of(
        services: &Services,
        policy: &Policy,
        transaction: Sealed<Transaction>,
    ) -> Result<Self> {
        let (organization, id) = (transaction.organization, transaction.id);
        let store = &services.store;
        let (votes, evaluations, attempts) =
            try_join3(store.votes(organization, id), store.evaluations(organization, id), async {
                match transaction.state.attempt() {
                    Some(_) => store.attempts(organization, id).await,
                    None => Ok(Vec::new()),
                }
            })
            .await?;
        let orion = orion_word(policy, &evaluations);
        // A proof can be reported for any transaction.
        let (payload, metadata) =
            try_join(payload(services, &transaction), store.orion_metadata(organization, id)).await?;
        Ok(Self { transaction, votes, attempts, payload, metadata, orion, evaluations })
    }

    /// A hearing of a transaction on which nobody has voted or reported yet.
    pub(crate) async fn of_new(
        services: &Services,
        policy: &Policy,
        transaction: Sealed<Transaction>,
        evaluations: Vec<Sealed<Evaluation>>,
    ) -> Result<Self> {
        let attempts = match transaction.state.attempt() {
            Some(_) => services.store.attempts(transaction.organization, transaction.id).await?,
            None => Vec::new(),
        };
        let orion = orion_word(policy, &evaluations);
        let payload = payload(services, &transaction).await?;
        Ok(Self { transaction, votes: Vec::new(), attempts, payload, metadata: None, orion, evaluations })
    }

    /// Leaves out votes that no longer count, while that can be mended by voting again.
    pub(crate) async fn counting_now(mut self, services: &Services, now: Timestamp) -> Result<Self> {
        if self.transaction.state == State::Pending {
            let counting = counting_votes(services, &self.transaction, &self.votes, now).await?;
            self.votes.retain(|vote| counting.contains(&vote.id));
        }
        Ok(self)
    }

    pub(crate) fn approved_roles(&self) -> BTreeSet<Role> {
        let mut roles = self.roles_that(Ballot::Approve);
        if self.orion.as_ref().is_some_and(|word| word.approved) {
            roles.insert(Role::Orion);
        }
        roles
    }

    /// Whoever said no, whether or not the role was required.
    pub(crate) fn rejecting_roles(&self) -> BTreeSet<Role> {
        let mut roles = self.roles_that(Ballot::Reject);
        if let State::Rejected { rejected_by, .. } = &self.transaction.state {
            roles.extend(rejected_by.iter().cloned());
        }
        if self.orion.as_ref().is_some_and(|word| !word.approved) {
            roles.insert(Role::Orion);
        }
        roles
    }

    fn roles_that(&self, ballot: Ballot) -> BTreeSet<Role> {
        last_words(&self.votes).filter(|vote| vote.ballot == ballot).map(|vote| vote.role.clone()).collect()
    }

    /// Every role that must approve: what floor and creation demand, and what the bindings demanded when they
    /// were heard. Judged as of creation, when no evaluation had aged and nothing had expired.
    pub(crate) fn required(&self, policy: &Sealed<Policy>) -> BTreeSet<Role> {
        let input = DecisionInput {
            transaction: &self.transaction,
            policy,
            // No revision was examined: only what names no key gets further than its bindings.
            key: None,
            evaluations: &self.evaluations,
            votes: &self.votes,
            standing: &Standing::default(),
            now: self.transaction.created_at,
        };
        let mut required = required_roles(&input);
        required.extend(decide(&input).required());
        required
    }
}

/// Only what arrived encrypted has one, and a verification service.
async fn payload(services: &Services, transaction: &Transaction) -> Result<Option<Sealed<EncryptedPayload>>> {
    match transaction.verification_service {
        Some(_) => services.store.encrypted_payload(transaction.organization, transaction.id).await,
        None => Ok(None),
    }
}

fn orion_word(policy: &Policy, evaluations: &[Sealed<Evaluation>]) -> Option<OrionWord> {
    let speaks_for_orion = |evaluation: &&Sealed<Evaluation>| {
        evaluation.purpose == Purpose::Decision
            && policy.bindings.iter().any(|binding| {
                binding.id == evaluation.binding && binding.power == Power::Authority(Role::Orion)
            })
    };
    let newest =
        evaluations.iter().filter(speaks_for_orion).max_by_key(|evaluation| evaluation.created_at)?;
    let EvaluationResult::Verdict(outcome) = &newest.result else { return None };
    let approved = match outcome.verdict {
        Verdict::Approve => true,
        Verdict::Reject => false,
        Verdict::Abstain | Verdict::NeedApprovals(_) | Verdict::Other(_) => return None,
    };
    Some(OrionWord { outcome: outcome.clone(), evaluation: newest.clone(), approved })
}
