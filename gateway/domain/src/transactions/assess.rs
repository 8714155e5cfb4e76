//! Hearing every binding and deciding, for the three moments at which that happens: creation, vote, permit.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    actor::OpCtx,
    approvals::{Ballot, Evidence, Role, Vote},
    chain::ApprovalText,
    clock::Timestamp,
    credentials::Label,
    error::{Error, Result},
    evaluations::{Evaluation, Fresh, evaluate, evaluate_dry, evaluate_shadows, store_alone},
    ids::{TransactionId, VaultId, VoteId},
    keys::KeyRecord,
    policy::{
        self, Binding, Decision, DecisionInput, Mode, Policy, Rehearsal, Standing, decide, fitness,
        rehearse as rehearsed,
    },
    ports::{EvaluationRequest, RecipientHistory, Services},
    sealed::Sealed,
    transactions::{Intent, Transaction},
};

/// A decision and what was heard for it and is not stored yet.
pub(crate) struct Assessment {
    pub(crate) decision: Decision,
    pub(crate) fresh: Fresh,
    /// Whether shadows are still to be asked, which [`hear_shadows`] does.
    pub(crate) shadowed: bool,
}

/// Decides on `transaction` with the given votes and stored evaluations, asking bindings that have not spoken
/// or too long ago. `history` is what the caller knows of the recipient already.
pub(crate) async fn assess(
    services: &Services,
    transaction: &Sealed<Transaction>,
    votes: &[Sealed<Vote>],
    stored: Vec<Sealed<Evaluation>>,
    history: Option<RecipientHistory>,
    now: Timestamp,
) -> Result<Assessment> {
    // Before anything it stands for: a loss of authority that is not seen below moves it, and the permit is lost.
    let revision = services.store.standing_revision(transaction.organization, transaction.owner).await?;
    let policy = services.store.policy(transaction.organization).await?;
    let policy = policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))?;
    let key = key_of(services, &transaction.intent).await?;
    let vault = vault_of(key.as_ref());
    let enforced = policy.covering(Mode::Enforce, &transaction.intent, vault);
    let revisions = fitness(services, transaction.organization, enforced).await?;
    let standing = Standing { revision, revisions, ..standing(services, transaction, votes, now).await? };
    let shadowed = policy.covering(Mode::Shadow, &transaction.intent, vault).next().is_some();
    let mut evaluations = stored;
    let judge = |evaluations: &[Sealed<Evaluation>]| {
        let (policy, key, standing) = (&policy, key.as_ref(), &standing);
        decide(&DecisionInput { transaction, policy, key, evaluations, votes, standing, now })
    };
    let unheard = match judge(&evaluations) {
        Decision::Unheard(unheard) => unheard,
        decision => return Ok(Assessment { decision, fresh: Fresh::default(), shadowed }),
    };
    let asked: Vec<&Binding> =
        policy.bindings.iter().filter(|binding| unheard.contains(&binding.id)).collect();
    let history = match history {
        Some(history) => history,
        None => services.store.recipient_history(&transaction.intent, now).await?,
    };
    let request = evaluation_request(services, transaction, votes, history, now)?;
    let fresh = evaluate(services, transaction, (&policy, &asked), &request).await?;
    evaluations.extend(fresh.evaluations().cloned());
    match judge(&evaluations) {
        Decision::Unheard(_) => Err(Error::inconsistency("bindings stay unheard after they were asked")),
        decision => Ok(Assessment { decision, fresh, shadowed }),
    }
}

/// What would be decided, by whom, and under which policy.
pub(super) struct Rehearsed {
    pub(super) rehearsal: Rehearsal,
    pub(super) policy: Sealed<Policy>,
    pub(super) heard: Vec<Sealed<Evaluation>>,
}

/// Asks every binding that covers the draft, shadows too, and says what would be decided before anybody votes.
pub(super) async fn rehearse(
    services: &Services,
    draft: &Sealed<Transaction>,
    history: RecipientHistory,
    now: Timestamp,
) -> Result<Rehearsed> {
    let policy = services.store.policy(draft.organization).await?;
    let policy = policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))?;
    let key = key_of(services, &draft.intent).await?;
    let vault = vault_of(key.as_ref());
    let covering = policy.bindings.iter().filter(|binding| binding.scope.covers(&draft.intent, vault));
    let asked: Vec<&Binding> = covering.collect();
    let request = evaluation_request(services, draft, &[], history, now)?;
    let heard = evaluate_dry(services, draft, (&policy, &asked), &request).await?;
    let enforced = policy.covering(Mode::Enforce, &draft.intent, vault);
    let revisions = fitness(services, draft.organization, enforced).await?;
    let standing = Standing { revisions, ..Standing::default() };
    let rehearsal = rehearsed(&DecisionInput {
        transaction: draft,
        policy: &policy,
        key: key.as_ref(),
        evaluations: &heard,
        votes: &[],
        standing: &standing,
        now,
    });
    Ok(Rehearsed { rehearsal, policy, heard })
}

/// Asks the shadows of `transaction` that have not spoken yet and stores what they say. Apart from every decision, so
/// that a shadow can neither fail nor delay one.
pub(crate) async fn hear_shadows(ctx: &OpCtx, services: &Services, id: TransactionId) -> Result<()> {
    let Some(policy) = services.store.policy(ctx.organization).await? else { return Ok(()) };
    if !policy.bindings.iter().any(|binding| binding.mode == Mode::Shadow) {
        return Ok(());
    }
    let Some(transaction) = services.store.transaction(ctx.organization, id).await? else { return Ok(()) };
    let heard = services.store.evaluations(ctx.organization, id).await?;
    let has_spoken = |binding: &Binding| {
        heard.iter().any(|evaluation| {
            evaluation.binding == binding.id && evaluation.subject_digest == binding.subject_digest
        })
    };
    let vault = vault_of(key_of(services, &transaction.intent).await?.as_ref());
    let asked: Vec<&Binding> = policy
        .covering(Mode::Shadow, &transaction.intent, vault)
        .filter(|binding| !has_spoken(binding))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let votes = services.store.votes(ctx.organization, id).await?;
    let history = services.store.recipient_history(&transaction.intent, ctx.now).await?;
    let request = evaluation_request(services, &transaction, &votes, history, ctx.now)?;
    let said = evaluate_shadows(services, &transaction, (&policy, &asked), &request).await;
    store_alone(ctx, services, &transaction, said).await
}

/// The key that the intent names, if it names one. Its vault says which bindings judge it, now.
async fn key_of(services: &Services, intent: &Intent) -> Result<Option<Sealed<KeyRecord>>> {
    if intent.key == Intent::NO_KEY {
        return Ok(None);
    }
    let key = services.store.key(intent.organization, intent.key).await?;
    key.map(Some).ok_or_else(|| Error::inconsistency("the intent's key does not exist"))
}

fn vault_of(key: Option<&Sealed<KeyRecord>>) -> Option<VaultId> {
    key.and_then(|key| key.vault)
}

/// The last vote of each principal.
pub fn last_words(votes: &[Sealed<Vote>]) -> impl Iterator<Item = &Sealed<Vote>> {
    let is_last = |vote: &&Sealed<Vote>| {
        !votes.iter().any(|other| other.principal == vote.principal && other.ordinal > vote.ordinal)
    };
    votes.iter().filter(is_last)
}

fn evaluation_request(
    services: &Services,
    transaction: &Sealed<Transaction>,
    votes: &[Sealed<Vote>],
    history: RecipientHistory,
    now: Timestamp,
) -> Result<EvaluationRequest> {
    let intent = &transaction.intent;
    let codec = &services.require_chain(intent.chain)?.codec;
    Ok(EvaluationRequest {
        transaction: (**transaction).clone(),
        call: codec.decode_call(&intent.data),
        executed_to_recipient: history.executed,
        approvals: last_words(votes)
            .filter(|vote| vote.ballot == Ballot::Approve)
            .map(|vote| (**vote).clone())
            .collect(),
        now,
    })
}

/// Whether `vote`, which is not stored, may follow `earlier` of the same principal. `votes` are those that are stored.
pub(crate) async fn supersedes(
    services: &Services,
    transaction: &Sealed<Transaction>,
    (votes, vote, earlier): (&[Sealed<Vote>], &Sealed<Vote>, &Vote),
    now: Timestamp,
) -> Result<bool> {
    let votes: Vec<_> = votes.iter().chain([vote]).cloned().collect();
    as_it_stands(services, transaction, &votes, now, |input| policy::supersedes(input, vote, earlier)).await
}

/// Which of the transaction's votes count now.
pub async fn counting_votes(
    services: &Services,
    transaction: &Sealed<Transaction>,
    votes: &[Sealed<Vote>],
    now: Timestamp,
) -> Result<BTreeSet<VoteId>> {
    as_it_stands(services, transaction, votes, now, policy::counting).await
}

/// Answers a question about what is stored, without asking any plugin.
async fn as_it_stands<T>(
    services: &Services,
    transaction: &Sealed<Transaction>,
    votes: &[Sealed<Vote>],
    now: Timestamp,
    question: impl FnOnce(&DecisionInput<'_>) -> T,
) -> Result<T> {
    let policy = services.store.policy(transaction.organization).await?;
    let policy = &policy.ok_or_else(|| Error::inconsistency("the organization has no policy"))?;
    let evaluations = &services.store.evaluations(transaction.organization, transaction.id).await?;
    let standing = &standing(services, transaction, votes, now).await?;
    let key = key_of(services, &transaction.intent).await?;
    let key = key.as_ref();
    Ok(question(&DecisionInput { transaction, policy, key, evaluations, votes, standing, now }))
}

/// Reads who is active now and verifies signed votes again.
async fn standing(
    services: &Services,
    transaction: &Transaction,
    votes: &[Sealed<Vote>],
    now: Timestamp,
) -> Result<Standing> {
    if votes.is_empty() {
        return Ok(Standing::default());
    }
    let organization = transaction.organization;
    let mut found = Standing::default();
    let principals: Vec<_> = votes.iter().map(|vote| vote.principal).collect();
    for principal in services.store.principals(organization, &principals).await? {
        if principal.active {
            found.active_principals.insert(principal.id);
        }
    }
    let credentials: Vec<_> = votes.iter().filter_map(|vote| vote.evidence.credential()).collect();
    if !credentials.is_empty() {
        for key in services.store.api_keys(organization, &credentials).await? {
            if let (true, Some(role)) = (key.is_active(now), key.label.role()) {
                found.active_credentials.insert(key.id, (key.principal, role));
            }
        }
    }
    if votes.iter().any(|vote| vote.evidence.credential().is_none())
        && let Some(owner) = services.store.user(organization, transaction.owner).await?
    {
        found.wallet_epochs.insert(owner.id, owner.wallet_epoch);
        if let Some(chain) = owner.contract_chain {
            found.contracts.insert(owner.id, chain);
        } else {
            found.wallets.insert(owner.id, owner.ethereum_address);
        }
    }
    for vote in votes {
        if signature_stands(services, transaction, vote, &found.wallets) {
            found.verified_votes.insert(vote.id);
        }
    }
    Ok(found)
}

fn signature_stands(
    services: &Services,
    transaction: &Transaction,
    vote: &Vote,
    wallets: &BTreeMap<crate::ids::PrincipalId, crate::Address>,
) -> bool {
    let Evidence::WalletApproval { signature, expires, .. } = &vote.evidence else { return false };
    let Some(wallet) = wallets.get(&vote.principal) else { return false };
    let Ok(chain) = services.require_chain(transaction.intent.chain) else { return false };
    let text = approval_text(services, transaction, vote.ballot, *expires);
    chain.codec.recover_approval(&text, signature).is_ok_and(|signer| signer == *wallet)
}

/// The EIP-712 `Approval` a wallet signs to vote on `transaction`.
pub(crate) fn approval_text(
    services: &Services,
    transaction: &Transaction,
    ballot: Ballot,
    expires: u64,
) -> ApprovalText {
    ApprovalText {
        origin: services.origin_of(transaction.organization).to_owned(),
        domain_chain: services.domain_chain,
        organization: transaction.organization.to_string(),
        transaction: transaction.id.to_string(),
        request_hash: transaction.request_hash,
        intent_hash: transaction.intent_hash,
        approved: ballot == Ballot::Approve,
        expires,
    }
}

impl Label {
    /// The approval role a key of this label fills; an admin key fills none.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::User => Some(Role::User),
            Self::Agent => Some(Role::Agent),
            Self::Arbiter => Some(Role::Arbiter),
            Self::Orion => Some(Role::Orion),
            Self::Admin => None,
        }
    }
}

impl Evidence {
    /// The API key behind a vote, if it was one.
    pub fn credential(&self) -> Option<crate::ids::CredentialId> {
        match self {
            Self::ApiKey { credential } => Some(*credential),
            Self::WalletRequest { .. } | Self::ContractRequest { .. } | Self::WalletApproval { .. } => None,
        }
    }
}
