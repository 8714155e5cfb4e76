//! Change sets: everything one operation writes, applied whole or not at all.
//!
//! A change set is plain data, so no HSM, plugin or network call can happen while a database transaction is
//! open, and applying it again after a lost race needs no closure. It cannot be made without an audit event.

use std::{borrow::Cow, time::Duration};

use crate::{
    approvals::Vote,
    audit::AuditEvent,
    chain::ChainId,
    clock::Timestamp,
    credentials::{ApiKey, Label},
    evaluations::{DryRunRoom, Evaluation},
    fireblocks::Integration,
    identity::{Organization, Principal, PrincipalKind, User},
    ids::{OrganizationId, PrincipalId, QuorumId},
    keys::{KeyRecord, KeyState},
    outbox::OutboxItem,
    payloads::{EncryptedPayload, PayloadRoom, SessionKeyClaim},
    plugin_state::StateUse,
    policy::{PermitRecord, PluginRevision, PluginRevocation, Policy, PolicyHead},
    quorums::{PrivyQuorum, QuorumClaim},
    quota::{Quota, UserQuota},
    registrations::Registration,
    registry::{Relay, RelayQuota},
    sealed::Sealed,
    sessions::{Session, UsedRefreshToken},
    settings::Settings,
    transactions::{Attempt, Transaction},
    vendors::VendorCall,
    verification::{OrionMetadata, VerificationService},
};

use alloy_primitives::{Address, B256};

mod operators;
mod rows;
mod vaults;

use AuthorityScope as Scope;
pub use operators::OperatorWrite;
pub use rows::RowWrite;
pub use vaults::VaultWrite;

/// Writes and the audit events that explain them.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    events: Vec<AuditEvent>,
    writes: Vec<Write>,
}

/// One row's change. Updates name the version they replace and change nothing if it is gone.
#[derive(Clone, Debug)]
pub enum Write {
    Operators(OperatorWrite),
    InsertOrganization(Sealed<Organization>),
    UpdateOrganization(Sealed<Organization>),
    InsertPrincipal(Sealed<Principal>),
    UpdatePrincipal(Sealed<Principal>),
    InsertUser(Sealed<User>),
    UpdateUser(Sealed<User>),
    /// Writes nothing; the set is lost unless this holds of the user after what precedes it.
    RequireUser((OrganizationId, PrincipalId), UserCondition),
    InsertSettings(Sealed<Settings>),
    UpdateSettings(Sealed<Settings>),
    InsertApiKey(Sealed<ApiKey>),
    /// Conditional on how many active keys of users its owner has.
    InsertUserApiKey(Sealed<ApiKey>, u32),
    UpdateApiKey(Sealed<ApiKey>),
    InsertSession(Sealed<Session>),
    UpdateSession(Sealed<Session>),
    /// Deletes a session that has expired, if it is still at this version.
    RemoveSession(Sealed<Session>),
    InsertUsedRefreshToken(UsedRefreshToken),
    /// A key that no quota counts.
    InsertKey(Sealed<KeyRecord>),
    /// Conditional on the quota, so that requests at once cannot pass it together.
    InsertWalletKey(Sealed<KeyRecord>, Quota),
    /// All of a key but its vault.
    UpdateKey(Sealed<KeyRecord>),
    Vaults(VaultWrite),
    /// With the component's bytes, and how many revisions that nobody has revoked the organization may have then.
    InsertPluginRevision(Sealed<PluginRevision>, Vec<u8>, u32),
    InsertPluginRevocation(Sealed<PluginRevocation>),
    InsertPolicy(Sealed<Policy>),
    /// Moves the head from revision - 1; revision 1 inserts it.
    MovePolicyHead(Sealed<PolicyHead>),
    InsertTransaction(Sealed<Transaction>),
    UpdateTransaction(Sealed<Transaction>),
    InsertEvaluation(Sealed<Evaluation>),
    /// Of a dry run, if there is room for it.
    InsertDryRun(Sealed<Evaluation>, DryRunRoom),
    /// Conditional on every row that the evaluation read.
    UseState(StateUse),
    InsertVote(Sealed<Vote>),
    /// Conditional, in one statement, on policy head, standing, transaction version, freeze flags and key state.
    InsertPermit(Sealed<PermitRecord>),
    /// Takes the place of an expired permit for the same digest, under the same conditions.
    RenewPermit(Sealed<PermitRecord>),
    /// Ends a permit in force that its holder did not use and never will.
    ReturnPermit(Sealed<PermitRecord>),
    InsertAttempt(Sealed<Attempt>),
    /// Writes nothing; the set is lost unless some transaction holds this nonce by then.
    RequireNonce {
        chain: ChainId,
        address: Address,
        nonce: u64,
    },
    UpdateAttempt(Sealed<Attempt>),
    /// Conditional on the quota.
    InsertIntegration(Sealed<Integration>, Quota),
    UpdateIntegration(Sealed<Integration>),
    InsertVendorCall(Sealed<VendorCall>),
    UpdateVendorCall(Sealed<VendorCall>),
    /// Conditional on the quota.
    ClaimQuorum(QuorumClaim, UserQuota),
    /// Whether the quorum of a claim may exist at Privy.
    MarkQuorum {
        id: QuorumId,
        may_exist: bool,
    },
    InsertQuorum(Sealed<PrivyQuorum>),
    UpdateQuorum(Sealed<PrivyQuorum>),
    /// Removes the reference; the version must be the one that was read.
    DeleteQuorum(Sealed<PrivyQuorum>),
    /// Conditional on the quota.
    InsertRegistration(Sealed<Registration>, UserQuota),
    UpdateRegistration(Sealed<Registration>),
    /// Takes the call's nonce as well. Conditional, in one statement, on freeze flags and key state, and on how many
    /// calls were made in the user's name since then.
    InsertRelay(Sealed<Relay>, RelayQuota),
    /// What is or will be signed is conditional on freeze flags and key state.
    UpdateRelay(Sealed<Relay>),
    InsertVerificationService(Sealed<VerificationService>),
    UpdateVerificationService(Sealed<VerificationService>),
    InsertEncryptedPayload(Sealed<EncryptedPayload>),
    UpdateEncryptedPayload(Sealed<EncryptedPayload>),
    /// Conditional on the quota.
    ClaimSessionKey(SessionKeyClaim, PayloadRoom),
    /// A block held by its digest; one that exists stays as it is.
    InsertIpfsBlock {
        root: B256,
        block: Vec<u8>,
    },
    /// Removes a block that no payload names which is published or will be; otherwise it stays.
    DeleteIpfsBlock(B256),
    InsertOrionMetadata(Sealed<OrionMetadata>),
    UpdateOrionMetadata(Sealed<OrionMetadata>),
    /// Inserts the item, or sets the due time of the one with its id and makes claims on it stale.
    ScheduleOutbox(OutboxItem),
    InsertReplayGuard(ReplayGuard),
    InsertIdempotency(Idempotency),
}

/// What a change set may rest on of a user whom it does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserCondition {
    /// The user's row is still at this version.
    Version(u64),
    /// The user has no API key of their own that is active then.
    NoActiveApiKey(Timestamp),
    /// The policy is still this one, nobody has lost authority over the user's transactions since this standing was read,
    /// and the organization is not frozen: what permits rest on too.
    Authority { policy_revision: u64, standing_revision: u64 },
}

/// A signed request that must not have a second effect, in any organization: the key is signer and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayGuard {
    pub organization: OrganizationId,
    /// Who signed: a principal's id or a wallet's address.
    pub signer: String,
    /// Hash of the canonical signed text.
    pub signed_hash: B256,
    /// When the row may go.
    pub expires_at: Timestamp,
}

impl ReplayGuard {
    /// How much longer than what it guards a row is kept: clocks of gateways that share the database differ by less.
    pub const CLOCKS_DIFFER_BY: Duration = Duration::from_mins(1);
}

/// An `Idempotency-Key` and what it was first used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub organization: OrganizationId,
    pub principal: PrincipalId,
    pub operation: Cow<'static, str>,
    pub key: String,
    pub body_hash: B256,
    /// Id of the object that the first use made.
    pub outcome: String,
    pub expires_at: Timestamp,
}

/// Why a change set was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("lost against another write: {0:?}")]
    Conflict(Contested),
    /// The database is away, full or too busy.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the database refused a write")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What two writers wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contested {
    /// The row changed since it was read.
    Version,
    UserAddress,
    EscrowAddress,
    RequestHash,
    Vote,
    /// A permit for the same digest exists, or a condition of the permit no longer holds.
    Permit,
    Nonce,
    /// A plugin's state changed since it was read, or is full.
    PluginState,
    /// A quota, or self-registration's share of it, is used up.
    Quota,
    /// A condition of a registry call does not hold.
    Relay,
    Replay,
    Idempotency,
    /// A session-key packet that was used before.
    SessionKey,
    /// A vault of that name exists.
    VaultName,
    /// Any other row with the same key.
    Duplicate,
}

/// The transactions that a loss of authority bears on. A user has authority over their own transactions only, so that
/// what users do to their keys never holds up another's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorityScope {
    Deployment,
    Organization(OrganizationId),
    /// The transactions that this user owns.
    User(OrganizationId, PrincipalId),
}

impl AuthorityScope {
    /// Of somebody who is a user, or a server of the organization.
    fn of(organization: OrganizationId, principal: PrincipalId, is_user: bool) -> Self {
        if is_user { Self::User(organization, principal) } else { Self::Organization(organization) }
    }
}

fn is_user(principal: &Principal) -> bool {
    principal.kind == PrincipalKind::User
}

impl ChangeSet {
    pub fn new(event: AuditEvent) -> Self {
        Self { events: vec![event], writes: Vec::new() }
    }

    #[must_use]
    pub fn event(mut self, event: AuditEvent) -> Self {
        self.events.push(event);
        self
    }

    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    #[must_use]
    pub fn writes_of(mut self, writes: impl IntoIterator<Item = Write>) -> Self {
        self.writes.extend(writes);
        self
    }

    /// Both, whole or not at all.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self.writes.extend(other.writes);
        self
    }

    pub fn events(&self) -> &[AuditEvent] {
        &self.events
    }

    pub fn writes(&self) -> &[Write] {
        &self.writes
    }
}

impl Write {
    /// Where somebody or something may lose authority by this write. The store moves that standing in the same change
    /// set, so that a permit that was decided before and is inserted after does not come about. A standing begins with
    /// its first move, that of the insert.
    pub fn takes_authority(&self) -> Option<AuthorityScope> {
        let scope = match self {
            Self::Operators(write) => return write.takes_authority(),
            Self::Vaults(write) => return write.takes_authority(),
            Self::InsertPluginRevocation(row) => Scope::Organization(row.organization),
            Self::InsertOrganization(row) | Self::UpdateOrganization(row) => Scope::Organization(row.id),
            Self::UpdatePrincipal(row) => Scope::of(row.organization, row.id, is_user(row)),
            Self::InsertUser(row) | Self::UpdateUser(row) => Scope::User(row.organization, row.id),
            Self::UpdateApiKey(row) => Scope::of(row.organization, row.principal, row.label == Label::User),
            // Its access may be another's now.
            Self::UpdateIntegration(row) => Scope::User(row.organization, row.owner),
            Self::UpdateKey(row) if row.frozen || row.state == KeyState::Retired => {
                Scope::Organization(row.organization)
            }
            Self::InsertPrincipal(_)
            | Self::InsertSettings(_)
            | Self::UpdateSettings(_)
            | Self::InsertApiKey(_)
            | Self::InsertUserApiKey(..)
            | Self::RequireUser(..)
            | Self::InsertSession(_)
            | Self::UpdateSession(_)
            | Self::RemoveSession(_)
            | Self::InsertUsedRefreshToken(_)
            | Self::InsertKey(_)
            | Self::InsertWalletKey(..)
            | Self::UpdateKey(_)
            | Self::InsertPluginRevision(..)
            | Self::InsertPolicy(_)
            | Self::MovePolicyHead(_)
            | Self::InsertTransaction(_)
            | Self::UpdateTransaction(_)
            | Self::InsertEvaluation(_)
            | Self::InsertDryRun(..)
            | Self::UseState(_)
            | Self::InsertVote(_)
            | Self::InsertPermit(_)
            | Self::RenewPermit(_)
            | Self::ReturnPermit(_)
            | Self::InsertAttempt(_)
            | Self::RequireNonce { .. }
            | Self::UpdateAttempt(_)
            | Self::InsertIntegration(..)
            | Self::InsertVendorCall(_)
            | Self::UpdateVendorCall(_)
            | Self::ClaimQuorum(..)
            | Self::MarkQuorum { .. }
            | Self::InsertQuorum(_)
            | Self::UpdateQuorum(_)
            | Self::DeleteQuorum(_)
            | Self::InsertRegistration(..)
            | Self::UpdateRegistration(_)
            | Self::InsertRelay(..)
            | Self::UpdateRelay(_)
            | Self::InsertVerificationService(_)
            | Self::UpdateVerificationService(_)
            | Self::InsertEncryptedPayload(_)
            | Self::UpdateEncryptedPayload(_)
            | Self::ClaimSessionKey(..)
            | Self::InsertIpfsBlock { .. }
            | Self::DeleteIpfsBlock(_)
            | Self::InsertOrionMetadata(_)
            | Self::UpdateOrionMetadata(_)
            | Self::ScheduleOutbox(_)
            | Self::InsertReplayGuard(_)
            | Self::InsertIdempotency(_) => return None,
        };
        Some(scope)
    }
}
