//! A tenant with one of everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gateway_domain::{
    Address, B256, Timestamp, U256,
    approvals::{Ballot, Evidence, Role, Vote},
    audit::AuditEvent,
    chain::{ChainId, GasFee, Pricing},
    changes::{ChangeSet, CommitError, Contested, OperatorWrite, VaultWrite, Write},
    credentials::{ApiKey, CredentialHash, Label, Scope},
    evaluations::Evaluation,
    fireblocks::{Environment, FireblocksAccount, Integration, Region},
    identity::{Escrow, Organization, Principal, PrincipalKind, User},
    ids::{
        AttemptId, CredentialId, IntegrationId, KeyId, OrganizationId, PermitId, PrincipalId, SessionId,
        TransactionId, VaultId, VoteId,
    },
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey},
    operators::{Charter, Proposal},
    payloads::{EncryptedPayload, SessionKeyClaim},
    plugin_state::{PluginState, StateChange, StateUse},
    policy::{PermitRecord, PluginRevision, PluginRevocation, Policy, PolicyHead},
    ports::{OperatorReads, UnitOfWork},
    quorums::PrivyQuorum,
    quota::{Quota, UserQuota},
    registrations::Registration,
    registry::Relay,
    sealed::{Sealable, Sealed, Sealer},
    sessions::{EndReason, Session, SessionEnd},
    settings::Settings,
    transactions::{
        Attempt, AttemptOutcome, Ceilings, ExecutionType, Intent, Kind, Provider, RequirementSnapshot, State,
        Transaction,
    },
    vaults::Vault,
    vendors::VendorCall,
    verification::{OrionMetadata, VerificationService},
};
use gateway_store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::database::sealer;

mod judged;
mod operators;
pub(crate) mod published;
mod vendors;

use judged::{sample_evaluation, sample_policy, sample_revision, sample_revocation, sample_state};
use operators::{sample_charter, sample_proposal};
use published::{
    PLENTY_OF_PAYLOADS, block_root, relay_quota, sample_claim, sample_metadata, sample_payload,
    sample_registration, sample_relay, sample_room, sample_service,
};
pub(crate) use vendors::sample_quorum_claim;
use vendors::{sample_call, sample_integration, sample_quorum};

pub(crate) struct World {
    pub(crate) sealer: std::sync::Arc<Sealer>,
    pub(crate) charter: Charter,
    pub(crate) proposal: Proposal,
    pub(crate) organization: Organization,
    pub(crate) principal: Principal,
    pub(crate) user: User,
    pub(crate) settings: Settings,
    pub(crate) api_key: ApiKey,
    pub(crate) session: Session,
    pub(crate) vault: Vault,
    pub(crate) key: KeyRecord,
    pub(crate) revision: PluginRevision,
    pub(crate) revocation: PluginRevocation,
    pub(crate) policy: Policy,
    pub(crate) transaction: Transaction,
    pub(crate) evaluation: Evaluation,
    pub(crate) vote: Vote,
    pub(crate) attempt: Attempt,
    pub(crate) permit: PermitRecord,
    pub(crate) state: PluginState,
    pub(crate) integration: Integration,
    pub(crate) call: VendorCall,
    pub(crate) quorum: PrivyQuorum,
    pub(crate) relay: Relay,
    pub(crate) registration: Registration,
    pub(crate) service: VerificationService,
    pub(crate) payload: EncryptedPayload,
    pub(crate) claim: SessionKeyClaim,
    pub(crate) metadata: OrionMetadata,
}

/// Permits are judged by the database's clock, so samples live in the present.
#[expect(clippy::disallowed_methods, reason = "the database's clock cannot be set")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_micros(i64::try_from(since.as_micros()).unwrap())
}

/// Over for any clock.
pub(crate) fn past() -> Timestamp {
    Timestamp::from_unix_micros(now().unix_micros() - 1_000_000)
}

pub(crate) fn id<T>(make: impl Fn(Uuid) -> T) -> T {
    make(Uuid::new_v4())
}

pub(crate) fn hash() -> B256 {
    let (high, low) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
    B256::from_slice(&[high, low].concat())
}

pub(crate) fn address() -> Address {
    Address::from_word(hash())
}

/// A quota that nobody uses up.
pub(crate) const PLENTY: UserQuota =
    UserQuota { organization: Quota { max: 100, self_registered_max: 100 }, per_user_max: 100 };

impl World {
    /// Values only; [`World::settle`] stores them.
    pub(crate) fn new() -> Self {
        let at = now();
        let (organization, principal) = (id(OrganizationId::from_uuid), id(PrincipalId::from_uuid));
        let vault = sample_vault(organization, at);
        let key = KeyRecord { vault: Some(vault.id), ..sample_key(organization, at) };
        let user = sample_user((organization, principal), &key, at);
        let revision = sample_revision(organization, at);
        let revocation = sample_revocation(&revision, at);
        let policy = sample_policy(organization, &revision, at);
        let transaction = sample_transaction(&user, &key, at);
        let attempt = sample_attempt(&transaction, 7, at);
        let relay = sample_relay(&transaction, &key, at);
        let service = sample_service(&user, at);
        let payload = sample_payload(&transaction, &service, relay.id, at);
        Self {
            sealer: sealer(),
            proposal: sample_proposal(organization, at),
            charter: sample_charter(at),
            organization: Organization {
                id: organization,
                name: "acme".into(),
                frozen: false,
                version: 1,
                created_at: at,
            },
            principal: Principal {
                id: principal,
                organization,
                kind: PrincipalKind::User,
                name: "owner".into(),
                active: true,
                version: 1,
                created_at: at,
            },
            settings: Settings {
                verification_service: Some(3),
                ..Settings::defaults(principal, organization, at)
            },
            session: sample_session(organization, principal, at),
            api_key: sample_api_key(organization, principal, at),
            evaluation: sample_evaluation(&transaction, &policy, at),
            vote: sample_vote(&transaction, principal, at),
            permit: sample_permit(&transaction, &attempt, at),
            state: sample_state(&transaction, &policy, at),
            integration: sample_integration(&user, &key, at),
            call: sample_call(&transaction, at),
            quorum: sample_quorum(&user, at),
            registration: sample_registration(&user, relay.id, at),
            claim: sample_claim(&payload, principal),
            payload,
            metadata: sample_metadata(&transaction, at),
            relay,
            service,
            user,
            vault,
            key,
            revision,
            revocation,
            policy,
            transaction,
            attempt,
        }
    }

    pub(crate) fn seal<T: Sealable + Clone>(&self, value: &T) -> Sealed<T> {
        self.sealer.seal(value.clone())
    }

    pub(crate) fn event(&self) -> AuditEvent {
        AuditEvent {
            organization: self.organization.id,
            at: now(),
            actor: "gateway".into(),
            request_id: "-".into(),
            action: "test.changed",
            subject: "world".into(),
            detail: json!({"note": "ü"}),
        }
    }

    pub(crate) fn changes(&self, writes: impl IntoIterator<Item = Write>) -> ChangeSet {
        ChangeSet::new(self.event()).writes_of(writes)
    }

    pub(crate) async fn commit(
        &self,
        store: &Store,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<(), CommitError> {
        store.commit(self.changes(writes)).await
    }

    pub(crate) fn head(&self) -> PolicyHead {
        PolicyHead { organization: self.organization.id, revision: self.policy.revision }
    }

    /// Tenant, owner, key and policy: what a transaction needs.
    pub(crate) fn foundation(&self) -> Vec<Write> {
        vec![
            Write::InsertOrganization(self.seal(&self.organization)),
            Write::InsertPrincipal(self.seal(&self.principal)),
            Write::Vaults(VaultWrite::Insert(self.seal(&self.vault), 100)),
            Write::InsertKey(self.seal(&self.key)),
            Write::InsertUser(self.seal(&self.user)),
            Write::InsertSettings(self.seal(&self.settings)),
            Write::InsertApiKey(self.seal(&self.api_key)),
            Write::InsertSession(self.seal(&self.session)),
            Write::InsertPluginRevision(self.seal(&self.revision), b"\0asm component".to_vec(), 100),
            Write::InsertPolicy(self.seal(&self.policy)),
            Write::MovePolicyHead(self.seal(&self.head())),
            Write::InsertTransaction(self.seal(&self.transaction)),
        ]
    }

    /// What follows the transaction.
    pub(crate) fn decision(&self) -> Vec<Write> {
        vec![
            Write::InsertEvaluation(self.seal(&self.evaluation)),
            Write::InsertVote(self.seal(&self.vote)),
            Write::InsertAttempt(self.seal(&self.attempt)),
            Write::InsertPermit(self.seal(&self.permit)),
            Write::UseState(self.insertion(&self.state)),
            Write::InsertIntegration(self.seal(&self.integration), PLENTY.organization),
            Write::InsertVendorCall(self.seal(&self.call)),
            Write::ClaimQuorum(sample_quorum_claim(&self.user, now()), PLENTY),
            Write::InsertQuorum(self.seal(&self.quorum)),
            Write::InsertRelay(self.seal(&self.relay), relay_quota(10, now())),
            Write::InsertRegistration(self.seal(&self.registration), PLENTY),
            Write::InsertVerificationService(self.seal(&self.service)),
            Write::InsertIpfsBlock { root: block_root(), block: b"a block".to_vec() },
            Write::ClaimSessionKey(self.claim, sample_room(&self.user, PLENTY_OF_PAYLOADS)),
            Write::InsertEncryptedPayload(self.seal(&self.payload)),
            Write::InsertOrionMetadata(self.seal(&self.metadata)),
            Write::Operators(OperatorWrite::InsertProposal(self.seal(&self.proposal))),
            Write::InsertPluginRevocation(self.seal(&self.revocation)),
        ]
    }

    /// The use that adds a row to a lineage and reads nothing else.
    pub(crate) fn insertion(&self, state: &PluginState) -> StateUse {
        let change = StateChange { name: state.name.clone(), before: None, after: Some(self.seal(state)) };
        StateUse {
            organization: state.organization,
            lineage: state.lineage,
            unchanged: Vec::new(),
            changed: vec![change],
            rows_max: 100,
        }
    }

    /// Boxed: a tenant is large, and so is every future that holds one.
    pub(crate) async fn founded(store: &Store) -> Box<Self> {
        let world = Box::new(Self::new());
        world.commit(store, world.foundation()).await.unwrap();
        world
    }

    pub(crate) async fn decided(store: &Store) -> Box<Self> {
        let world = Self::founded(store).await;
        let mut writes = world.decision();
        // There is one charter, however many tenants.
        if store.charter().await.unwrap().is_none() {
            writes.push(Write::Operators(OperatorWrite::InsertCharter(world.seal(&world.charter))));
        }
        world.commit(store, writes).await.unwrap();
        world
    }
}

pub(crate) fn contested(result: Result<(), CommitError>) -> Contested {
    match result {
        Err(CommitError::Conflict(contested)) => contested,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

pub(crate) fn sample_key(organization: OrganizationId, at: Timestamp) -> KeyRecord {
    KeyRecord {
        id: id(KeyId::from_uuid),
        organization,
        token_id: "token".into(),
        cka_id: Uuid::new_v4().into_bytes(),
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Wallet,
        kinds: BTreeSet::from([Kind::Transaction, Kind::TypedData]),
        public_key: Some(PublicKey(vec![4; 65])),
        address: Some(address()),
        state: KeyState::Active,
        self_registered: false,
        frozen: false,
        vault: None,
        version: 1,
        created_at: at,
    }
}

pub(crate) fn sample_vault(organization: OrganizationId, at: Timestamp) -> Vault {
    let name = "treasury".into();
    Vault { id: id(VaultId::from_uuid), organization, name, frozen: false, version: 1, created_at: at }
}

pub(crate) fn sample_api_key(organization: OrganizationId, principal: PrincipalId, at: Timestamp) -> ApiKey {
    ApiKey {
        id: id(CredentialId::from_uuid),
        organization,
        principal,
        public_id: Uuid::new_v4().simple().to_string()[..12].to_owned(),
        name: "agent".into(),
        label: Label::Agent,
        scopes: BTreeSet::from([Scope::ApproveTransactions, Scope::ReadUsers]),
        secret_hash: serde_json::from_value(json!(format!("1:{}", "ab".repeat(32)))).unwrap(),
        verification_service: Some(7),
        dev_only: true,
        self_registered: false,
        expires_at: Some(at.plus(Duration::from_hours(1))),
        revoked_at: None,
        version: 1,
        created_at: at,
    }
}

fn sample_user((organization, id): (OrganizationId, PrincipalId), key: &KeyRecord, at: Timestamp) -> User {
    User {
        id,
        organization,
        ethereum_address: address(),
        contract_chain: Some(ChainId::eip155(1).unwrap()),
        wallet_epoch: 3,
        escrow: Some(Escrow::Hsm { key: key.id, address: key.address.unwrap() }),
        privy_user_id: Some("privy".into()),
        display_name: Some("Ünïcode \u{1F511}".into()),
        email: None,
        self_registered: true,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn sample_session(organization: OrganizationId, user: PrincipalId, at: Timestamp) -> Session {
    Session {
        id: id(SessionId::from_uuid),
        organization,
        user,
        wallet_epoch: 3,
        refresh_hash: refresh_hash(),
        created_at: at,
        refreshed_at: at,
        expires_at: at.plus(Duration::from_hours(1)),
        ended: Some(SessionEnd { at, reason: EndReason::LoggedOut }),
        version: 1,
    }
}

pub(crate) fn refresh_hash() -> CredentialHash {
    format!("1:{}", hex(hash())).parse().unwrap()
}

fn hex(hash: B256) -> String {
    format!("{hash:x}")
}

pub(crate) fn chain() -> ChainId {
    ChainId::eip155(31_337).unwrap()
}

pub(crate) fn sample_transaction(user: &User, key: &KeyRecord, at: Timestamp) -> Transaction {
    let transaction = id(TransactionId::from_uuid);
    let intent = Intent {
        organization: user.organization,
        transaction,
        key: key.id,
        chain: chain(),
        kind: Kind::Transaction,
        from: key.address.unwrap(),
        to: Some(address()),
        value: U256::MAX,
        data: vec![0, 255, 3],
        ceilings: Ceilings { gas: 21_000, fee_per_gas: u128::MAX, total: U256::MAX },
        vendor_account: Some(FireblocksAccount {
            integration: id(IntegrationId::from_uuid),
            environment: Environment::Mainnet,
            region: Region::Eu2,
            vault_account: "7".into(),
            asset: "ETH".into(),
        }),
    };
    Transaction {
        id: transaction,
        organization: user.organization,
        request_hash: hash(),
        request_nonce: U256::MAX,
        request_digest: B256::repeat_byte(0x44),
        initiator: user.id,
        owner: user.id,
        owner_address: user.ethereum_address,
        execution_type: ExecutionType::AgentExecuted,
        provider: Provider::Hsm,
        verification_service: Some(7),
        intent_hash: intent.hash(),
        intent,
        snapshot: RequirementSnapshot {
            requirements: Vec::new(),
            minimum_confidence_ppm: 1,
            eligible: BTreeMap::from([(Role::Agent, BTreeSet::from([user.id]))]),
            expires_at: at.plus(Duration::from_mins(1)),
        },
        note: Some("note".into()),
        state: State::Pending,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn sample_vote(transaction: &Transaction, principal: PrincipalId, at: Timestamp) -> Vote {
    Vote {
        id: id(VoteId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        intent_hash: transaction.intent_hash,
        principal,
        ordinal: 1,
        role: Role::User,
        ballot: Ballot::Approve,
        evidence: Evidence::WalletApproval {
            signature: vec![9; 65],
            expires: 1_800_000_000,
            wallet_epoch: 3,
        },
        confidence_ppm: Some(1),
        analysis: Some("fine".into()),
        created_at: at,
    }
}

pub(crate) fn sample_attempt(transaction: &Transaction, nonce: u64, at: Timestamp) -> Attempt {
    Attempt {
        id: id(AttemptId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        key: transaction.intent.key,
        chain: transaction.intent.chain,
        address: transaction.intent.from,
        nonce,
        pricing: Pricing {
            gas_limit: 21_000,
            fee: GasFee::Dynamic { max_fee_per_gas: u128::MAX, max_priority_fee_per_gas: 1 },
        },
        payload: vec![2, 0, 255],
        digest: hash(),
        outcome: AttemptOutcome::Prepared,
        version: 1,
        created_at: at,
    }
}

pub(crate) fn sample_permit(transaction: &Transaction, attempt: &Attempt, at: Timestamp) -> PermitRecord {
    PermitRecord {
        id: id(PermitId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        attempt: attempt.id,
        key: attempt.key,
        digest: attempt.digest,
        intent_hash: transaction.intent_hash,
        policy_revision: 1,
        // Of the organization and of its user.
        standing_revision: 2,
        transaction_version: transaction.version,
        issued_at: at,
        expires_at: at.plus(Duration::from_mins(1)),
        version: 1,
    }
}
