//! What the domain asks of the outside. Adapters live in `store`, `hsm`, `plugins/host` and `chains`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use crate::{
    approvals::Vote,
    chain::{ChainId, ChainNode, PayloadCodec},
    changes::{ChangeSet, CommitError, Idempotency},
    clock::{Clock, Timestamp},
    credentials::{ApiKey, CredentialHasher},
    entropy::Entropy,
    error::Result,
    evaluations::Evaluation,
    identity::ContractAccounts,
    ids::{
        CredentialId, InstanceId, KeyId, OrganizationId, OutboxId, PluginRevisionId, PrincipalId,
        TransactionId, VaultId,
    },
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, PublicKey, WalletKeys},
    outbox::ClaimedItem,
    plugin_state::StateTurns,
    policy::{PermitRecord, PluginRevision, PluginRevocation, Policy, ProvenSignatures, SigningPermit},
    sealed::{Sealed, Sealer},
    sessions::{AccessClaims, Sessions, TokenKey},
    signing::NonceReservations,
    transactions::{Attempt, Intent, RecentDenials, Transaction},
    vendors::Vendors,
};

mod audit;
mod evaluator;
mod history;
mod identity;
mod operators;
mod plugin_state;
mod publication;
mod rates;
mod sessions;
mod vaults;
mod vendors;

pub use audit::AuditReads;
pub use evaluator::{Candidate, EvaluationReply, EvaluationRequest, Evaluator};
pub use history::{HistoryLimits, PastFilter, RecipientHistory};
pub use identity::IdentityReads;
pub use operators::OperatorReads;
pub use plugin_state::{PluginStateReads, StateLimits};
pub use publication::{Publication, RegistrationReads, VerificationReads};
pub use rates::RateCounts;
pub use sessions::SessionReads;
pub use vaults::VaultReads;
pub use vendors::VendorReads;

/// Applies change sets.
#[async_trait]
pub trait UnitOfWork: Send + Sync {
    /// Returns after the commit is durable.
    async fn commit(&self, changes: ChangeSet) -> Result<(), CommitError>;
}

#[async_trait]
pub trait CredentialReads: Send + Sync {
    /// The one look-up that precedes the tenant: the record names its organization.
    async fn api_key_by_public_id(&self, public_id: &str) -> Result<Option<Sealed<ApiKey>>>;
    async fn api_keys(
        &self,
        organization: OrganizationId,
        ids: &[CredentialId],
    ) -> Result<Vec<Sealed<ApiKey>>>;
    async fn api_key_list(&self, organization: OrganizationId) -> Result<Vec<Sealed<ApiKey>>>;
    /// The principal's keys of label user, newest first, at most `limit`.
    async fn user_api_keys(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        limit: u32,
    ) -> Result<Vec<Sealed<ApiKey>>>;
    /// The principal's keys of label user that are good at `now`.
    async fn active_user_api_keys(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<Vec<Sealed<ApiKey>>>;
    /// How many of the principal's keys of label user are good at `now`.
    async fn active_user_api_key_count(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<u64>;
    /// Notes a use. No change of a domain object: it bears on nothing but what people are shown.
    async fn note_api_key_use(
        &self,
        organization: OrganizationId,
        key: CredentialId,
        at: Timestamp,
    ) -> Result<()>;
    /// When each of the keys was last used, as noted.
    async fn api_key_uses(
        &self,
        organization: OrganizationId,
        keys: &[CredentialId],
    ) -> Result<BTreeMap<CredentialId, Timestamp>>;
    /// Active keys labelled agent, arbiter or orion, for freezing who may fill a role.
    async fn role_keys(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Sealed<ApiKey>>>;
}

#[async_trait]
pub trait KeyReads: Send + Sync {
    async fn key(&self, organization: OrganizationId, id: KeyId) -> Result<Option<Sealed<KeyRecord>>>;
    /// The newest active key of an organization-wide purpose.
    async fn purpose_key(
        &self,
        organization: OrganizationId,
        purpose: KeyPurpose,
    ) -> Result<Option<Sealed<KeyRecord>>>;
    async fn key_list(&self, organization: OrganizationId) -> Result<Vec<Sealed<KeyRecord>>>;
    /// The keys that lie in the vault, newest first, those made before `before` if it is given.
    async fn vault_keys(
        &self,
        organization: OrganizationId,
        vault: VaultId,
        before: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<Sealed<KeyRecord>>>;
    /// Wallet keys of the organization that are not retired.
    async fn wallet_keys(&self, organization: OrganizationId) -> Result<WalletKeys>;
    /// Keys of all organizations that have been in state `generating` since before `before`, oldest first: what a crash
    /// left behind.
    async fn unfinished_keys(&self, before: Timestamp, limit: u32) -> Result<Vec<Sealed<KeyRecord>>>;
    /// Whether any tenant has an HSM key with this address; tells nothing else.
    async fn address_is_hsm_key(&self, address: Address) -> Result<bool>;
}

#[async_trait]
pub trait PolicyReads: Send + Sync {
    /// The policy at the head, both seals checked.
    async fn policy(&self, organization: OrganizationId) -> Result<Option<Sealed<Policy>>>;
    async fn plugin_revision(
        &self,
        organization: OrganizationId,
        id: PluginRevisionId,
    ) -> Result<Option<Sealed<PluginRevision>>>;
    /// Newest first, those stored before `before` if it is given.
    async fn plugin_revision_list(
        &self,
        organization: OrganizationId,
        before: Option<PluginRevisionId>,
        limit: u32,
    ) -> Result<Vec<Sealed<PluginRevision>>>;
    /// How many there are that nobody has revoked.
    async fn live_plugin_revision_count(&self, organization: OrganizationId) -> Result<u64>;
    /// Components of revisions that nobody has revoked, of all organizations: they share what is compiled.
    async fn live_components(&self) -> Result<BTreeSet<B256>>;
    /// Every revocation in the organization.
    async fn plugin_revocations(&self, organization: OrganizationId)
    -> Result<Vec<Sealed<PluginRevocation>>>;
    /// An earlier policy, or the one in force.
    async fn policy_revision(
        &self,
        organization: OrganizationId,
        revision: u64,
    ) -> Result<Option<Sealed<Policy>>>;
    /// Newest first, those before revision `before` if it is given.
    async fn policy_list(
        &self,
        organization: OrganizationId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Sealed<Policy>>>;
    /// Component bytes by their SHA-256, which the caller compares again.
    async fn component(&self, digest: B256) -> Result<Option<Vec<u8>>>;
}

/// Which of a user's transactions to list.
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    /// State names of the domain; empty means all.
    pub states: Vec<&'static str>,
    /// Only those made before.
    pub before: Option<Timestamp>,
    /// Of those made at `before`, also the ones with a smaller id: where an earlier page ended.
    pub before_id: Option<TransactionId>,
    pub limit: u32,
}

#[async_trait]
pub trait TransactionReads: Send + Sync {
    async fn transaction(
        &self,
        organization: OrganizationId,
        id: TransactionId,
    ) -> Result<Option<Sealed<Transaction>>>;
    async fn transaction_by_request_hash(
        &self,
        organization: OrganizationId,
        hash: B256,
    ) -> Result<Option<Sealed<Transaction>>>;
    /// Newest first.
    async fn transactions_of(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        filter: &TransactionFilter,
    ) -> Result<Vec<Sealed<Transaction>>>;
    /// Those that are pending or approved and not signed, oldest first.
    async fn open_transactions(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> Result<Vec<Sealed<Transaction>>>;
    /// Other transactions of the intent's organization, chain and kind, newest first.
    async fn past_transactions(
        &self,
        intent: &Intent,
        filter: &PastFilter,
    ) -> Result<Vec<Sealed<Transaction>>>;
    /// What became of this key's other transactions to the intent's recipient.
    async fn recipient_history(&self, intent: &Intent, denied_since: Timestamp) -> Result<RecipientHistory>;
    async fn idempotency(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        operation: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Idempotency>>;
}

#[async_trait]
pub trait DecisionReads: Send + Sync {
    async fn votes(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Vote>>>;
    async fn evaluations(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Evaluation>>>;
    /// How many evaluations of dry runs the organization has stored since.
    async fn dry_run_evaluation_count(&self, organization: OrganizationId, since: Timestamp) -> Result<u64>;
    /// Transactions and dry runs that were evaluated, in order of their ids, which is that of time: those above
    /// `after`, at most `limit`.
    async fn evaluated_transactions(
        &self,
        organization: OrganizationId,
        after: TransactionId,
        limit: u32,
    ) -> Result<Vec<TransactionId>>;
    async fn permits(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<PermitRecord>>>;
    async fn attempts(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Attempt>>>;
    /// A number that moves whenever anybody or anything may have lost authority over `owner`'s transactions: the sum of
    /// the organization's standing and of the owner's, which only rise. Read before what it stands for.
    async fn standing_revision(&self, organization: OrganizationId, owner: PrincipalId) -> Result<u64>;
    /// Nonces of the address that attempts hold, at or above `from`, ascending.
    async fn held_nonces(&self, chain: ChainId, address: Address, from: u64) -> Result<Vec<u64>>;
}

/// Work outside the database.
#[async_trait]
pub trait OutboxQueue: Send + Sync {
    /// Takes up to `limit` due items for `lease`; times are the database's.
    async fn claim(&self, holder: InstanceId, lease: Duration, limit: u32) -> Result<Vec<ClaimedItem>>;
    /// Removes the item if the claim is still the newest.
    async fn complete(&self, id: OutboxId, fencing: u64) -> Result<()>;
    /// Gives the item back, due again after `delay`.
    async fn postpone(&self, id: OutboxId, fencing: u64, delay: Duration) -> Result<()>;
    /// When the next item is due, as a delay from now.
    async fn next_due(&self) -> Result<Option<Duration>>;
}

/// All reads and writes of one database.
pub trait Store:
    UnitOfWork
    + IdentityReads
    + CredentialReads
    + SessionReads
    + RateCounts
    + KeyReads
    + VaultReads
    + PolicyReads
    + TransactionReads
    + DecisionReads
    + PluginStateReads
    + VendorReads
    + RegistrationReads
    + VerificationReads
    + OperatorReads
    + OutboxQueue
    + AuditReads
{
}

impl<T> Store for T where
    T: UnitOfWork
        + IdentityReads
        + CredentialReads
        + SessionReads
        + RateCounts
        + KeyReads
        + VaultReads
        + PolicyReads
        + TransactionReads
        + DecisionReads
        + PluginStateReads
        + VendorReads
        + RegistrationReads
        + VerificationReads
        + OperatorReads
        + OutboxQueue
        + AuditReads
{
}

/// The one way to use a wallet key. Only `policy` makes a permit.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs the permit's digest; the signature is verified before it is returned. 65 bytes: r || s || recovery
    /// id, with s in the lower half.
    async fn sign(&self, permit: &SigningPermit, key: &Sealed<KeyRecord>) -> Result<[u8; 65]>;
}

/// Makes and retires keys in the token.
#[async_trait]
pub trait TokenKeys: Send + Sync {
    /// The token's name, stored with every key.
    fn token_id(&self) -> &str;
    /// Generates the pair that `record` reserves, or adopts it if an earlier call already did. Returns after
    /// token storage is synced and a canary digest was signed and verified.
    async fn generate(&self, record: &Sealed<KeyRecord>) -> Result<PublicKey>;
    /// The pair that `record` reserves, proven as by `generate`, if the token holds it; makes none.
    async fn adopt(&self, record: &Sealed<KeyRecord>) -> Result<Option<PublicKey>>;
    fn supports(&self, algorithm: KeyAlgorithm) -> bool;
}

/// Signs heads of the audit log, and nothing else.
#[async_trait]
pub trait CheckpointSigner: Send + Sync {
    fn public_key(&self) -> PublicKey;
    /// P-256 over the hash: r || s, 64 bytes.
    async fn sign_checkpoint(&self, checkpoint: &crate::audit::Checkpoint) -> Result<Vec<u8>>;
}

/// Signs access tokens, and nothing else.
#[async_trait]
pub trait TokenSigner: Send + Sync {
    /// Keys whose tokens are taken. The first one signs; the others belong to the rotations before and after.
    fn keys(&self) -> &[TokenKey];
    /// Pure Ed25519 over [`AccessClaims::signing_input`] under the first key.
    async fn sign_access_token(&self, claims: &AccessClaims) -> Result<[u8; 64]>;
}

/// A chain this gateway serves.
#[derive(Clone)]
pub struct Chain {
    pub id: ChainId,
    pub codec: Arc<dyn PayloadCodec>,
    pub node: Arc<dyn ChainNode>,
    pub confirmations: u64,
    /// Ceiling for gas in new intents.
    pub gas_max: u64,
    /// Ceiling for the fee per gas in new intents, base units.
    pub fee_per_gas_max: u128,
    /// A submitted transaction that is not mined after this is replaced with a higher fee.
    pub stuck_after: Duration,
}

/// Everything the domain's functions work with.
#[derive(Clone)]
pub struct Services {
    pub store: Arc<dyn Store>,
    pub sealer: Arc<Sealer>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub credentials: Arc<CredentialHasher>,
    pub sessions: Arc<Sessions>,
    /// Absent where wallets that are contracts are not taken.
    pub contract_accounts: Option<Arc<ContractAccounts>>,
    pub signer: Arc<dyn Signer>,
    pub token_keys: Arc<dyn TokenKeys>,
    pub evaluator: Arc<dyn Evaluator>,
    pub vendors: Vendors,
    pub publication: Publication,
    pub chains: Arc<BTreeMap<ChainId, Chain>>,
    pub limits: Limits,
    pub state_turns: Arc<StateTurns>,
    /// Scheme, host and port by which clients know this deployment; signed into every request and vote. See
    /// [`Services::origin_of`].
    pub origin: String,
    /// Origins of the organizations that have one of their own.
    pub tenant_origins: Arc<BTreeMap<OrganizationId, String>>,
    /// Chain id of the EIP-712 domain: the first configured chain.
    pub domain_chain: u64,
    /// Signatures of plugin revisions that were found good.
    pub proven_signatures: Arc<ProvenSignatures>,
    /// Nonces that this process is about to store.
    pub nonces: Arc<NonceReservations>,
    /// Denials of this process, stored or about to be.
    pub denials: Arc<RecentDenials>,
    /// Woken by the store whenever an outbox item that is due is written.
    pub outbox_written: Arc<tokio::sync::Notify>,
}

/// Bounds of the domain, all configurable.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Wallet keys an organization may have. Default 5000.
    pub wallet_keys_max: u32,
    /// How many of them may belong to wallets that enrolled themselves. Default a fifth.
    pub self_registered_keys_max: u32,
    /// Vaults that an organization may have. Default 1,000.
    pub vaults_max: u32,
    /// API keys that a user may have at a time. Default 20.
    pub user_api_keys_max: u32,
    /// Votes of one principal on a transaction: further ones only if they end it. Default 16.
    pub votes_per_principal_max: u32,
    /// Proposals of operators that may be open at a time. Default 100.
    pub open_proposals_max: u32,
    /// For how long a recovery of the charter is open before it can be completed. Default 7 days.
    pub recovery_delay: Duration,
    /// For how long after a quorum replaced it one approver may bring a policy back alone. Default 24 h.
    pub rollback_window: Duration,
    /// Bytes of a proposal's change as compact JSON. Default 64 KiB.
    pub proposal_bytes_max: usize,
    /// Plugin revisions that an organization may have besides those that were revoked. Default 10,000.
    pub plugin_revisions_max: u32,
    /// Evaluations that the dry runs of an organization may store in 24 hours. Default 10,000.
    pub dry_run_evaluations_daily_max: u32,
    /// How long an `Idempotency-Key` is remembered. Default 24 h.
    pub idempotency_window: Duration,
    /// How often one recipient and function may be asked for after a denial, within the window. Default 5.
    pub denied_tries_max: u32,
    /// How long a permit holds: how late its signature may come, and how long nobody else takes up what its gateway left
    /// when it was killed. At most, and by default, 60 s.
    pub permit_lifetime: Duration,
    /// For how long a denial counts against asking again. Default 10 min.
    pub denied_window: Duration,
    /// How often an operation starts again after losing against another write. Default 8.
    pub contest_attempts_max: u32,
    /// Pause between looks at a transaction that is under way. Default 1 s.
    pub poll_interval: Duration,
    /// Pause before trying again when the HSM or a node is away. Default 2 s.
    pub unavailable_pause: Duration,
    /// Pause before looking again at a signed transaction whose stored evidence does not hold. Default 60 s.
    pub evidence_pause: Duration,
    pub state: StateLimits,
}

impl Services {
    /// What clients of the organization sign as its origin: no other organization of this deployment has the same, so
    /// what was signed for one means nothing to another.
    pub fn origin_of(&self, organization: OrganizationId) -> &str {
        self.tenant_origins.get(&organization).unwrap_or(&self.origin)
    }

    pub fn require_chain(&self, id: ChainId) -> Result<&Chain> {
        self.chains
            .get(&id)
            .ok_or_else(|| crate::Error::invalid(format!("chainId {} is not served here", id.number())))
    }
}
