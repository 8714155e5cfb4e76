//! A tenant whose user has one provider, enrolled without the provider's knowledge.

use std::collections::BTreeSet;

use gateway_domain::{
    Address, B256, OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    fireblocks::{
        Access, CompleteIntegration, Environment, Integration, IntegrationState, Region,
        complete_integration, validate_integration,
    },
    identity::{Escrow, Principal, PrincipalKind, User, set_organization_frozen},
    ids::{IntegrationId, KeyId, PrincipalId, QuorumId},
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey},
    quorums::{PrivyQuorum, QuorumType},
    sealed::Sealed,
    secrets::{SecretPlace, SecretText},
    settings::Settings,
    transactions::{Kind, Progress, Provider, State, Transaction, advance},
    vendors::VendorRole,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    wallet::Wallet,
    world::{CHAIN, Reply, World, transfer},
};

/// A tenant whose user has one provider.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) provider: Provider,
    /// For which executions the provider is the user's; for the others it is `none`.
    role: VendorRole,
    /// Whether the key of the user's escrow is in no token of ours, though no vendor has it.
    pub(super) is_elsewhere: bool,
    pub(super) wallet: Wallet,
    pub(super) escrow: Address,
    pub(super) owner: PrincipalId,
}

pub(super) fn id<T>(make: impl Fn(Uuid) -> T) -> T {
    make(Uuid::now_v7())
}

impl Scene {
    pub(super) async fn new(provider: Provider) -> Self {
        Self::of(provider, VendorRole::Execution, false).await
    }

    /// The provider executes for the user's agent.
    pub(super) async fn of_agent(provider: Provider) -> Self {
        Self::of(provider, VendorRole::Agent, false).await
    }

    /// Provider `none`, and an escrow that is no key of this gateway.
    pub(super) async fn elsewhere() -> Self {
        Self::of(Provider::None, VendorRole::Execution, true).await
    }

    async fn of(provider: Provider, role: VendorRole, is_elsewhere: bool) -> Self {
        let world = World::new().await;
        let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
        let (escrow, owner) = (Address::ZERO, id(PrincipalId::from_uuid));
        let wallet = Wallet::new(61);
        let mut scene = Self { world, provider, role, is_elsewhere, wallet, escrow, owner };
        scene.enrol(&ctx).await;
        scene
    }

    pub(super) async fn commit(&self, ctx: &OpCtx, writes: impl IntoIterator<Item = Write>) {
        let event = AuditEvent::new(ctx, "test.changed", "scene".to_owned(), json!({}));
        self.world.services.store.commit(ChangeSet::new(event).writes_of(writes)).await.unwrap();
    }

    pub(super) fn key(&self, ctx: &OpCtx, purpose: KeyPurpose, algorithm: KeyAlgorithm) -> Sealed<KeyRecord> {
        self.world.services.sealer.seal(KeyRecord {
            id: id(KeyId::from_uuid),
            organization: ctx.organization,
            token_id: "test".to_owned(),
            cka_id: Uuid::new_v4().into_bytes(),
            algorithm,
            purpose,
            kinds: BTreeSet::new(),
            public_key: Some(PublicKey(vec![4])),
            address: None,
            state: KeyState::Active,
            self_registered: false,
            frozen: false,
            vault: None,
            version: 1,
            created_at: ctx.now,
        })
    }

    /// The user with settings of the provider, and what the provider needs.
    pub(super) async fn enrol(&mut self, ctx: &OpCtx) {
        let (now, organization, sealer) = (ctx.now, ctx.organization, &self.world.services.sealer);
        let mut writes = Vec::new();
        let escrow = match self.provider {
            Provider::None if self.is_elsewhere => Escrow::Foreign { address: Address::repeat_byte(0x53) },
            Provider::Hsm | Provider::None => {
                let address = Address::repeat_byte(0x51);
                let mut key = self.key(ctx, KeyPurpose::Wallet, KeyAlgorithm::Secp256k1).into_value();
                key.state = KeyState::Generating;
                let public_key =
                    self.world.services.token_keys.generate(&sealer.seal(key.clone())).await.unwrap();
                let signer = Address::from_raw_public_key(&public_key.0[1..]);
                assert_ne!(address, signer);
                key.state = KeyState::Active;
                key.kinds = BTreeSet::from([Kind::Transaction]);
                key.address = Some(signer);
                key.public_key = Some(public_key);
                let escrow = Escrow::Hsm { key: key.id, address: signer };
                writes.push(Write::InsertKey(sealer.seal(key)));
                escrow
            }
            Provider::Fireblocks => Escrow::Foreign { address: Address::repeat_byte(0x52) },
            Provider::Privy => Escrow::Foreign { address: self.world.vendors.privy.address() },
        };
        self.escrow = escrow.address();
        let user = User {
            id: self.owner,
            organization,
            ethereum_address: self.wallet.address(),
            contract_chain: None,
            wallet_epoch: 0,
            escrow: Some(escrow),
            privy_user_id: Some("did:privy:test".to_owned()),
            display_name: None,
            email: None,
            self_registered: false,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let principal = Principal {
            id: self.owner,
            organization,
            kind: PrincipalKind::User,
            name: "owner".to_owned(),
            active: true,
            version: 1,
            created_at: now,
        };
        let mut settings = Settings::defaults(self.owner, organization, now);
        settings.chain_id = CHAIN;
        (settings.execution_provider, settings.agent_provider) = match self.role {
            VendorRole::Execution => (self.provider, Provider::None),
            VendorRole::Agent => (Provider::None, self.provider),
        };
        writes.extend([
            Write::InsertPrincipal(sealer.seal(principal)),
            Write::InsertUser(sealer.seal(user)),
            Write::InsertSettings(sealer.seal(settings)),
        ]);
        self.commit(ctx, writes).await;
        match self.provider {
            Provider::Hsm | Provider::None => {}
            Provider::Fireblocks => self.integrate(ctx).await,
            Provider::Privy => self.name_quorum(ctx).await,
        }
    }

    pub(super) async fn integrate(&self, ctx: &OpCtx) {
        let key = self.key(ctx, KeyPurpose::FireblocksRequest, KeyAlgorithm::Rsa4096);
        let integration = id(IntegrationId::from_uuid);
        let place = SecretPlace {
            organization: ctx.organization,
            table: "fireblocks_integrations",
            row: integration.to_string(),
            column: "api_key",
            version: 1,
        };
        let secret = SecretText::new("api-key".to_owned());
        let access = Access {
            api_key: self.world.services.vendors.secrets.seal(&place, &secret).await.unwrap(),
            api_key_version: 1,
            api_key_last4: secret.last4(),
            vault_account: "0".to_owned(),
            environment: Environment::Testnet,
            region: Region::Eu,
            completed_at: ctx.now,
            asked_at: None,
            validated_at: None,
            validation_error: None,
            refused_since: None,
        };
        let integration = Integration {
            id: integration,
            organization: ctx.organization,
            owner: self.owner,
            role: self.role,
            key: key.id,
            csr: String::new(),
            csr_created_at: ctx.now,
            state: IntegrationState::Active(access),
            recreated_at: Vec::new(),
            self_registered: false,
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let integration = self.world.services.sealer.seal(integration);
        let quota = self.world.services.vendors.limits.integrations;
        self.commit(ctx, [Write::InsertKey(key), Write::InsertIntegration(integration, quota)]).await;
    }

    pub(super) async fn integration(&self) -> Integration {
        let store = &self.world.services.store;
        let found = store.integration(self.world.organization, self.owner, self.role).await.unwrap();
        found.unwrap().into_value()
    }

    /// As after a new certificate request: another key, and no API key.
    pub(super) async fn forget_access(&self) {
        let ctx = self.ctx();
        let key = self.key(&ctx, KeyPurpose::FireblocksRequest, KeyAlgorithm::Rsa4096);
        let old = self.integration().await;
        let anew = Integration {
            key: key.id,
            state: IntegrationState::CsrGenerated,
            version: old.version + 1,
            updated_at: ctx.now,
            ..old
        };
        let anew = self.world.services.sealer.seal(anew);
        self.commit(&ctx, [Write::InsertKey(key), Write::UpdateIntegration(anew)]).await;
    }

    /// Brings an API key for the account.
    pub(super) async fn complete_anew(&self, vault_account: &str) {
        let request = CompleteIntegration {
            owner: self.owner,
            role: self.role,
            api_key: SecretText::new("another-key".to_owned()),
            vault_account: vault_account.to_owned(),
            environment: Environment::Testnet,
            region: Region::Eu,
        };
        complete_integration(&self.ctx(), &self.world.services, request).await.unwrap();
    }

    pub(super) async fn validate(&self) {
        let checked = validate_integration(&self.ctx(), &self.world.services, self.owner, self.role).await;
        assert!(checked.unwrap().valid);
    }

    pub(super) async fn choose_chain(&self, chain_id: u64) {
        let store = &self.world.services.store;
        let old = store.settings(self.world.organization, self.owner).await.unwrap().unwrap().into_value();
        let version = old.version + 1;
        let settings = self.world.services.sealer.seal(Settings { chain_id, version, ..old });
        self.commit(&self.ctx(), [Write::UpdateSettings(settings)]).await;
    }

    pub(super) async fn name_quorum(&self, ctx: &OpCtx) {
        let key = self.key(ctx, KeyPurpose::PrivyAuthorization, KeyAlgorithm::P256);
        let quorum = PrivyQuorum {
            id: id(QuorumId::from_uuid),
            organization: ctx.organization,
            owner: self.owner,
            kind: QuorumType::of(self.role),
            quorum_id: "quorum".to_owned(),
            display_name: "quorum".to_owned(),
            public_key_pem: None,
            authorization_threshold: 1,
            is_static: true,
            message: None,
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let quorum = self.world.services.sealer.seal(quorum);
        self.commit(ctx, [Write::InsertKey(key), Write::InsertQuorum(quorum)]).await;
    }

    pub(super) async fn propose(&self, value: u64) -> Reply {
        let body = transfer(self.escrow, value);
        self.world.post("/transactions", &body).key(&self.world, "admin").send().await
    }

    pub(super) fn ctx(&self) -> OpCtx {
        OpCtx::gateway(self.world.organization, self.world.services.clock.now())
    }

    pub(super) async fn freeze(&self, frozen: bool) {
        set_organization_frozen(&self.ctx(), &self.world.services, frozen).await.unwrap();
    }

    /// An approved transaction that waits because the organization is frozen. What others execute does not wait once it is
    /// approved, and is not approved any more afterwards.
    pub(super) async fn held_up(&self) -> Transaction {
        self.freeze(self.provider != Provider::None).await;
        let made = self.propose(1).await.expect(201);
        self.freeze(true).await;
        let transaction = self.stored(made["requestHash"].as_str().unwrap()).await;
        assert_eq!(transaction.state, State::Approved, "{:?}", self.provider);
        transaction
    }

    /// The transaction in another state, whatever may lead there.
    pub(super) async fn moved(&self, transaction: &Transaction, state: State) -> Transaction {
        let moved = transaction.moved_to(state, self.world.services.clock.now());
        let sealed = self.world.services.sealer.seal(moved.clone());
        self.commit(&self.ctx(), [Write::UpdateTransaction(sealed)]).await;
        moved
    }

    pub(super) async fn order(&self, number: u64, value: u64) -> Reply {
        let body = json!({
            "escrowAddress": self.escrow, "to": Address::repeat_byte(0x42), "value": value.to_string(),
            "requestHash": name(number),
        });
        self.world.post("/fireblocks/admin/transactions", &body).key(&self.world, "admin").send().await
    }

    pub(super) async fn stored(&self, request_hash: &str) -> Transaction {
        let hash: B256 = request_hash.parse().unwrap();
        let store = &self.world.services.store;
        let found = store.transaction_by_request_hash(self.world.organization, hash).await.unwrap();
        found.unwrap().into_value()
    }

    pub(super) async fn advance(&self, transaction: &Transaction) -> Progress {
        advance(&self.world.services, self.world.organization, transaction.id).await.unwrap()
    }

    /// Whether anything left the gateway that may execute, and how often a vendor was asked to act.
    pub(super) async fn released(&self, transaction: &Transaction) -> (bool, usize) {
        let state = self.stored(&name_of(transaction)).await.state;
        let asked = match self.provider {
            Provider::Fireblocks => self.world.vendors.fireblocks.posts(&name_of(transaction)),
            Provider::Privy => *self.world.vendors.privy.asked.lock().unwrap(),
            Provider::Hsm | Provider::None => 0,
        };
        (state.is_released(), asked)
    }
}

pub(super) fn name(number: u64) -> String {
    format!("{:#x}", B256::left_padding_from(&number.to_be_bytes()))
}

pub(super) fn name_of(transaction: &Transaction) -> String {
    format!("{:#x}", transaction.request_hash)
}
