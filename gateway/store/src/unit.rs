//! From a change set to statements. Runs where the change set was made, so the writer only executes.

use std::collections::BTreeSet;

use gateway_domain::{
    audit::{AuditEvent, Tallies},
    changes::{ChangeSet, CommitError, RowWrite, Write},
    sealed::Sealer,
};

use crate::{
    attempts, credentials, decisions,
    dialect::EngineSql,
    guards, identity, integrations, keys, operators, outbox, permits, plugin_state,
    policy::{self, insert_revision},
    quorums, registrations, sessions, standings,
    statement::Statement,
    transactions, vaults, vendors, verification,
};

/// What is applied whole or not at all, inside a group.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) statements: Vec<Statement>,
    pub(crate) events: Vec<AuditEvent>,
    /// The sealed rows that it writes, and what they add to the lane's tallies.
    pub(crate) rows: Vec<RowWrite>,
    pub(crate) tallies: Tallies,
    /// Holds a write by which something will be signed or sent.
    pub(crate) permits: bool,
    pub(crate) wakes_outbox: bool,
    /// Changes something that [`crate::known`] keeps.
    pub(crate) changes_known: bool,
}

impl Unit {
    /// Statements that change no domain object and so have no audit event.
    pub(crate) fn housekeeping(statements: Vec<Statement>) -> Self {
        Self {
            statements,
            events: Vec::new(),
            rows: Vec::new(),
            tallies: Tallies::default(),
            permits: false,
            wakes_outbox: false,
            changes_known: false,
        }
    }

    pub(crate) fn of(changes: &ChangeSet, sql: &EngineSql, sealer: &Sealer) -> Result<Self, CommitError> {
        let mut statements = Vec::with_capacity(changes.writes().len() + 2);
        for write in changes.writes() {
            compile(write, sql, &mut statements)?;
        }
        // An item due later is found when it is due; waking the worker for it would cost two empty claims.
        let now = changes.events().first().map(|event| event.at);
        let is_due = |write: &Write| matches!(write, Write::ScheduleOutbox(item) if Some(item.due_at) <= now);
        let wakes_outbox = changes.writes().iter().any(is_due);
        let weakened: BTreeSet<_> = changes.writes().iter().filter_map(Write::takes_authority).collect();
        // A standing that is remembered as it was would lose every permit from now on.
        let changes_known = !weakened.is_empty() || changes.writes().iter().any(changes_known);
        statements.extend(weakened.into_iter().map(standings::advance));
        let rows: Vec<RowWrite> = changes.writes().iter().flat_map(Write::rows).collect();
        let mut tallies = Tallies::default();
        for row in &rows {
            tallies.count(sealer, row);
        }
        let permits = changes.writes().iter().any(Write::permits);
        let events = changes.events().to_vec();
        Ok(Self { statements, events, rows, tallies, permits, wakes_outbox, changes_known })
    }
}

fn changes_known(write: &Write) -> bool {
    match write {
        Write::Operators(write) => operators::changes_known(write),
        Write::Vaults(_)
        | Write::InsertOrganization(_)
        | Write::UpdateOrganization(_)
        | Write::InsertPrincipal(_)
        | Write::UpdatePrincipal(_)
        | Write::InsertUser(_)
        | Write::UpdateUser(_)
        | Write::InsertSettings(_)
        | Write::UpdateSettings(_)
        | Write::InsertApiKey(_)
        | Write::InsertUserApiKey(..)
        | Write::UpdateApiKey(_)
        | Write::InsertKey(_)
        | Write::InsertWalletKey(..)
        | Write::UpdateKey(_)
        | Write::InsertPluginRevision(..)
        | Write::InsertPluginRevocation(_)
        | Write::InsertPolicy(_)
        | Write::MovePolicyHead(_)
        | Write::InsertVerificationService(_)
        | Write::UpdateVerificationService(_) => true,
        Write::RequireUser(..)
        | Write::InsertTransaction(_)
        | Write::UpdateTransaction(_)
        | Write::InsertEvaluation(_)
        | Write::InsertDryRun(..)
        | Write::UseState(_)
        | Write::InsertVote(_)
        | Write::InsertPermit(_)
        | Write::RenewPermit(_)
        | Write::ReturnPermit(_)
        | Write::InsertAttempt(_)
        | Write::RequireNonce { .. }
        | Write::UpdateAttempt(_)
        | Write::InsertSession(_)
        | Write::UpdateSession(_)
        | Write::RemoveSession(_)
        | Write::InsertUsedRefreshToken(_)
        | Write::InsertIntegration(..)
        | Write::UpdateIntegration(_)
        | Write::InsertVendorCall(_)
        | Write::UpdateVendorCall(_)
        | Write::ClaimQuorum(..)
        | Write::MarkQuorum { .. }
        | Write::InsertQuorum(_)
        | Write::UpdateQuorum(_)
        | Write::DeleteQuorum(_)
        | Write::InsertRegistration(..)
        | Write::UpdateRegistration(_)
        | Write::InsertRelay(..)
        | Write::UpdateRelay(_)
        | Write::InsertEncryptedPayload(_)
        | Write::UpdateEncryptedPayload(_)
        | Write::ClaimSessionKey(..)
        | Write::InsertIpfsBlock { .. }
        | Write::DeleteIpfsBlock(_)
        | Write::InsertOrionMetadata(_)
        | Write::UpdateOrionMetadata(_)
        | Write::ScheduleOutbox(_)
        | Write::InsertReplayGuard(_)
        | Write::InsertIdempotency(_) => false,
    }
}

fn compile(write: &Write, sql: &EngineSql, out: &mut Vec<Statement>) -> Result<(), CommitError> {
    match write {
        Write::Operators(write) => out.push(operators::compile(write)?),
        Write::Vaults(write) => out.extend(vaults::compile(write, sql)?),
        Write::InsertOrganization(organization) => out.push(identity::insert_organization(organization)?),
        Write::UpdateOrganization(organization) => out.push(identity::update_organization(organization)?),
        Write::InsertPrincipal(principal) => out.push(identity::insert_principal(principal)?),
        Write::UpdatePrincipal(principal) => out.push(identity::update_principal(principal)?),
        Write::InsertUser(user) => out.push(identity::insert_user(user)?),
        Write::UpdateUser(user) => out.push(identity::update_user(user)?),
        Write::RequireUser(user, condition) => out.push(identity::require(*user, *condition, sql)?),
        Write::InsertSettings(settings) => out.push(identity::insert_settings(settings)?),
        Write::UpdateSettings(settings) => out.push(identity::update_settings(settings)?),
        Write::InsertApiKey(key) => out.push(credentials::insert(key)?),
        Write::InsertUserApiKey(key, most) => out.push(credentials::insert_own(key, *most)?),
        Write::UpdateApiKey(key) => out.push(credentials::update(key)?),
        Write::InsertSession(session) => out.push(sessions::insert(session)?),
        Write::UpdateSession(session) => out.push(sessions::update(session)?),
        Write::RemoveSession(session) => out.push(sessions::remove(session)?),
        Write::InsertUsedRefreshToken(used) => out.push(sessions::insert_used(used)),
        Write::InsertKey(key) => out.push(keys::insert(key)?),
        Write::InsertWalletKey(key, quota) => out.extend(keys::insert_wallet(key, *quota, sql)?),
        Write::UpdateKey(key) => out.push(keys::update(key)?),
        Write::InsertPluginRevision(row, code, max) => out.extend(insert_revision(row, code, *max, sql)),
        Write::InsertPluginRevocation(revocation) => out.push(policy::insert_revocation(revocation)),
        Write::InsertPolicy(policy) => out.push(policy::insert(policy)?),
        Write::MovePolicyHead(head) => out.push(policy::move_head(head)?),
        Write::InsertTransaction(transaction) => out.push(transactions::insert(transaction)?),
        Write::UpdateTransaction(transaction) => out.push(transactions::update(transaction)?),
        Write::InsertEvaluation(evaluation) => out.push(decisions::insert_evaluation(evaluation)?),
        Write::InsertDryRun(row, room) => out.extend(decisions::insert_dry_run(row, *room, sql)?),
        Write::UseState(state) => plugin_state::apply(state, out)?,
        Write::InsertVote(vote) => out.push(decisions::insert_vote(vote)),
        Write::InsertPermit(permit) => out.push(permits::insert(permit, sql)?),
        Write::RenewPermit(permit) => out.push(permits::renew(permit, sql)?),
        Write::ReturnPermit(permit) => out.push(permits::give_back(permit)?),
        Write::InsertAttempt(attempt) => out.extend(attempts::insert(attempt)?),
        Write::RequireNonce { chain, address, nonce } => {
            out.push(attempts::require_nonce(*chain, *address, *nonce)?);
        }
        Write::UpdateAttempt(attempt) => out.extend(attempts::update(attempt)?),
        Write::InsertIntegration(row, quota) => out.extend(integrations::insert(row, *quota, sql)?),
        Write::UpdateIntegration(integration) => out.push(integrations::update(integration)?),
        Write::InsertVendorCall(call) => out.push(vendors::insert_call(call)?),
        Write::UpdateVendorCall(call) => out.push(vendors::update_call(call)?),
        Write::ClaimQuorum(claim, quota) => out.extend(quorums::claim(claim, *quota, sql)),
        Write::MarkQuorum { id, may_exist } => out.push(quorums::mark(*id, *may_exist)),
        Write::InsertQuorum(quorum) => out.push(quorums::insert(quorum)?),
        Write::UpdateQuorum(quorum) => out.push(quorums::update(quorum)?),
        Write::DeleteQuorum(quorum) => out.push(quorums::delete(quorum)?),
        Write::InsertRegistration(row, quota) => out.extend(registrations::insert(row, *quota, sql)?),
        Write::UpdateRegistration(registration) => out.push(registrations::update(registration)?),
        Write::InsertRelay(relay, quota) => out.extend(registrations::insert_relay(relay, *quota, sql)?),
        Write::UpdateRelay(relay) => out.extend(registrations::update_relay(relay, sql)?),
        Write::InsertVerificationService(service) => out.push(verification::insert_service(service)?),
        Write::UpdateVerificationService(service) => out.push(verification::update_service(service)?),
        Write::InsertEncryptedPayload(payload) => out.push(verification::insert_payload(payload)?),
        Write::UpdateEncryptedPayload(payload) => out.push(verification::update_payload(payload)?),
        Write::ClaimSessionKey(claim, room) => out.extend(verification::claim_session_key(claim, room, sql)?),
        Write::InsertIpfsBlock { root, block } => out.push(verification::insert_block(*root, block)),
        Write::DeleteIpfsBlock(root) => out.push(verification::delete_block(*root)),
        Write::InsertOrionMetadata(metadata) => out.push(verification::insert_metadata(metadata)?),
        Write::UpdateOrionMetadata(metadata) => out.push(verification::update_metadata(metadata)?),
        Write::ScheduleOutbox(item) => out.push(outbox::schedule(item)),
        Write::InsertReplayGuard(guard) => out.push(guards::insert_replay_guard(guard)),
        Write::InsertIdempotency(idempotency) => out.push(guards::insert_idempotency(idempotency, sql)),
    }
    Ok(())
}
