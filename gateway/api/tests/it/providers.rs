//! Every execution provider under the same rules: one suite, run by each. And what a lying vendor can reach (T24).

use std::{collections::BTreeSet, future::Future, time::Duration};

use gateway_domain::{
    Address, B256, OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    fireblocks::{Access, Environment, Integration, IntegrationState, Region, VendorStatus},
    identity::{Escrow, Principal, PrincipalKind, User, set_organization_frozen},
    ids::{IntegrationId, KeyId, PrincipalId, QuorumId},
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey, set_key_frozen},
    policy::DenialReason,
    quorums::{PrivyQuorum, QuorumType},
    sealed::Sealed,
    secrets::{SecretPlace, SecretText},
    settings::Settings,
    transactions::{Kind, Progress, Provider, State, Transaction, abort, advance},
    vendors::VendorRole,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{CHAIN, FREE_WEI, Reply, World, transfer};

/// A tenant whose user has one provider.
struct Scene {
    world: World,
    provider: Provider,
    escrow: Address,
    owner: PrincipalId,
}

fn id<T>(make: impl Fn(Uuid) -> T) -> T {
    make(Uuid::now_v7())
}

impl Scene {
    async fn new(provider: Provider) -> Self {
        let world = World::new().await;
        let ctx = OpCtx::gateway(world.organization, world.services.clock.now());
        let mut scene = Self { world, provider, escrow: Address::ZERO, owner: id(PrincipalId::from_uuid) };
        scene.enrol(&ctx).await;
        scene
    }

    async fn commit(&self, ctx: &OpCtx, writes: impl IntoIterator<Item = Write>) {
        let event = AuditEvent::new(ctx, "test.changed", "scene".to_owned(), json!({}));
        self.world.services.store.commit(ChangeSet::new(event).writes_of(writes)).await.unwrap();
    }

    fn key(&self, ctx: &OpCtx, purpose: KeyPurpose, algorithm: KeyAlgorithm) -> Sealed<KeyRecord> {
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
            version: 1,
            created_at: ctx.now,
        })
    }

    /// The user with settings of the provider, and what the provider needs.
    async fn enrol(&mut self, ctx: &OpCtx) {
        let (now, organization, sealer) = (ctx.now, ctx.organization, &self.world.services.sealer);
        let mut writes = Vec::new();
        let escrow = match self.provider {
            Provider::Hsm | Provider::None => {
                let address = Address::repeat_byte(0x51);
                let mut key = self.key(ctx, KeyPurpose::Wallet, KeyAlgorithm::Secp256k1).into_value();
                key.state = KeyState::Generating;
                let public_key = self.world.services.vault.generate(&sealer.seal(key.clone())).await.unwrap();
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
            ethereum_address: Address::repeat_byte(0x61),
            escrow: Some(escrow),
            privy_user_id: Some("did:privy:test".to_owned()),
            display_name: None,
            email: None,
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
        settings.execution_provider = self.provider;
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

    async fn integrate(&self, ctx: &OpCtx) {
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
            validated_at: None,
            validation_error: None,
        };
        let integration = Integration {
            id: integration,
            organization: ctx.organization,
            owner: self.owner,
            role: VendorRole::Execution,
            key: key.id,
            csr: String::new(),
            csr_created_at: ctx.now,
            state: IntegrationState::Active(access),
            recreated_at: Vec::new(),
            version: 1,
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let integration = self.world.services.sealer.seal(integration);
        self.commit(ctx, [Write::InsertKey(key), Write::InsertIntegration(integration)]).await;
    }

    async fn name_quorum(&self, ctx: &OpCtx) {
        let key = self.key(ctx, KeyPurpose::PrivyAuthorization, KeyAlgorithm::P256);
        let quorum = PrivyQuorum {
            id: id(QuorumId::from_uuid),
            organization: ctx.organization,
            owner: self.owner,
            kind: QuorumType::Execution,
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

    async fn propose(&self, value: u64) -> Reply {
        let body = transfer(self.escrow, value);
        self.world.post("/transactions", &body).key(&self.world, "admin").send().await
    }

    fn ctx(&self) -> OpCtx {
        OpCtx::gateway(self.world.organization, self.world.services.clock.now())
    }

    async fn freeze(&self, frozen: bool) {
        set_organization_frozen(&self.ctx(), &self.world.services, frozen).await.unwrap();
    }

    /// An approved transaction that waits because the organization is frozen.
    async fn held_up(&self) -> Transaction {
        self.freeze(true).await;
        let made = self.propose(1).await.expect(201);
        let transaction = self.stored(made["requestHash"].as_str().unwrap()).await;
        assert_eq!(transaction.state, State::Approved, "{:?}", self.provider);
        transaction
    }

    async fn order(&self, number: u64, value: u64) -> Reply {
        let body = json!({
            "escrowAddress": self.escrow, "to": Address::repeat_byte(0x42), "value": value.to_string(),
            "requestHash": name(number),
        });
        self.world.post("/fireblocks/admin/transactions", &body).key(&self.world, "admin").send().await
    }

    async fn stored(&self, request_hash: &str) -> Transaction {
        let hash: B256 = request_hash.parse().unwrap();
        let store = &self.world.services.store;
        let found = store.transaction_by_request_hash(self.world.organization, hash).await.unwrap();
        found.unwrap().into_value()
    }

    async fn advance(&self, transaction: &Transaction) -> Progress {
        advance(&self.world.services, self.world.organization, transaction.id).await.unwrap()
    }

    /// Whether anything left the gateway that may execute, and how often a vendor was asked to act.
    async fn released(&self, transaction: &Transaction) -> (bool, usize) {
        let state = self.stored(&name_of(transaction)).await.state;
        let asked = match self.provider {
            Provider::Fireblocks => self.world.vendors.fireblocks.posts(&name_of(transaction)),
            Provider::Privy => *self.world.vendors.privy.asked.lock().unwrap(),
            Provider::Hsm | Provider::None => 0,
        };
        (state.is_released(), asked)
    }
}

fn name(number: u64) -> String {
    format!("{:#x}", B256::left_padding_from(&number.to_be_bytes()))
}

fn name_of(transaction: &Transaction) -> String {
    format!("{:#x}", transaction.request_hash)
}

/// Runs a case for every provider; each has a world of its own.
async fn for_every_provider<F: Future<Output = ()>>(case: impl Fn(Scene) -> F) {
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy, Provider::None] {
        case(Scene::new(provider).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_transaction_goes_to_its_provider_once() {
    for_every_provider(async |scene: Scene| {
        let made = scene.propose(1).await.expect(201);
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        assert_eq!(transaction.provider, scene.provider);
        for _ in 0..3 {
            scene.advance(&transaction).await;
        }
        let expected = match scene.provider {
            Provider::Hsm => (true, 0),
            Provider::Fireblocks | Provider::Privy => (true, 1),
            Provider::None => (false, 0),
        };
        assert_eq!(scene.released(&transaction).await, expected, "{:?}", scene.provider);
        let state = scene.stored(&name_of(&transaction)).await.state;
        match scene.provider {
            Provider::Hsm | Provider::Privy => assert!(matches!(state, State::Submitted { .. }), "{state:?}"),
            Provider::Fireblocks => assert!(matches!(state, State::HandedOver { .. }), "{state:?}"),
            Provider::None => assert_eq!(state, State::Approved),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_people_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let made = scene.propose(FREE_WEI + 1).await.expect(201);
        assert_eq!(made["status"], "PENDING");
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_rejects_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        scene.world.plugin.say(gateway_domain::evaluations::Verdict::Reject, "no", 1);
        let made = scene.propose(1).await.expect(201);
        assert_eq!(made["status"], "REJECTED");
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_organization_holds_everything_until_it_is_thawed() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let progress = scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        if scene.provider != Provider::None {
            assert!(matches!(progress, Progress::Again(_)));
        }
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await.0, scene.provider != Provider::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_key_holds_everything_until_it_is_thawed() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let key = transaction.intent.key;
        set_key_frozen(&scene.ctx(), &scene.world.services, key, true).await.unwrap();
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        set_key_frozen(&scene.ctx(), &scene.world.services, key, false).await.unwrap();
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await.0, scene.provider != Provider::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let aborted = abort(&scene.ctx(), &scene.world.services, transaction.id).await.unwrap();
        assert_eq!(aborted.state, State::Aborted);
        scene.freeze(false).await;
        assert_eq!(scene.advance(&transaction).await, Progress::Done);
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_executed_in_time_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        scene.world.clock.advance(Duration::from_hours(48));
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        let state = scene.stored(&name_of(&transaction)).await.state;
        let expired = matches!(&state, State::Rejected { reason: DenialReason::Expired, .. });
        // Whoever executes elsewhere may have begun.
        assert!(expired || scene.provider == Provider::None, "{:?}: {state:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_executed_once() {
    for_every_provider(async |scene: Scene| {
        let body = transfer(scene.escrow, 1);
        let ask = || scene.world.post("/transactions", &body).header("idempotency-key", "one");
        let made = ask().key(&scene.world, "admin").send().await.expect(201);
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        let once = scene.released(&transaction).await;
        let again = ask().key(&scene.world, "admin").send().await.expect(201);
        assert_eq!(again["requestHash"], made["requestHash"], "{:?}", scene.provider);
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, once, "{:?}", scene.provider);
    })
    .await;
}

/// T24: whatever Fireblocks says first and second, the request is sent once, its name stays taken, and a final word
/// stays final.
#[tokio::test(flavor = "multi_thread")]
async fn no_pair_of_a_vendors_lies_sends_or_frees_anything() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let vendor = &scene.world.vendors.fireblocks;
    let mut number = 0;
    for first in VendorStatus::ALL {
        for second in VendorStatus::ALL {
            number += 1;
            vendor.begin_with(*first);
            let case = format!("{} then {}", first.as_str(), second.as_str());
            let made = scene.order(number, number).await.expect(201);
            let external_id = name(number);
            let transaction = scene.stored(&external_id).await;
            scene.advance(&transaction).await;
            let told_first = scene.stored(&external_id).await.state;
            vendor.say(&external_id, *second);
            scene.world.clock.advance(Duration::from_mins(1));
            scene.advance(&transaction).await;
            let told_second = scene.stored(&external_id).await.state;
            if told_first.is_final() {
                assert_eq!(told_first, told_second, "{case}: a final state moved");
            }
            assert_eq!(vendor.posts(&external_id), 1, "{case}: it was sent again");
            let again = scene.order(number, number).await.expect(201);
            assert_eq!(again["id"], made["id"], "{case}: the name was freed");
            assert_eq!(scene.order(number, number + 1).await.status.as_u16(), 409, "{case}");
            assert_eq!(vendor.posts(&external_id), 1, "{case}: the repeat was sent");
        }
    }
    assert_eq!(number, 256);
}

/// T8: a vendor call that was edited in the database is not sent, and nothing else is in its place.
#[tokio::test(flavor = "multi_thread")]
async fn the_account_that_was_judged_is_the_one_that_pays() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let ctx = OpCtx::gateway(scene.world.organization, scene.world.services.clock.now());
    set_organization_frozen(&ctx, &scene.world.services, true).await.unwrap();
    let held = scene.order(1, 1).await.expect(201);
    assert_eq!(held["status"], "QUEUED");
    let services = &scene.world.services;
    let found =
        services.store.integration(ctx.organization, scene.owner, VendorRole::Execution).await.unwrap();
    let integration = found.unwrap().into_value();
    let Some(access) = integration.state.access().cloned() else { panic!("no access") };
    let moved = Access { vault_account: "1".to_owned(), ..access };
    let version = integration.version + 1;
    let edited = Integration { state: IntegrationState::Active(moved), version, ..integration };
    scene.commit(&ctx, [Write::UpdateIntegration(services.sealer.seal(edited))]).await;
    set_organization_frozen(&ctx, services, false).await.unwrap();
    let transaction = scene.stored(&name(1)).await;
    scene.advance(&transaction).await;
    assert_eq!(scene.world.vendors.fireblocks.posts(&name(1)), 0, "another account would have paid");
    let told: Value = scene.order(1, 1).await.expect(201);
    assert_eq!(told["status"], "QUEUED");
}
