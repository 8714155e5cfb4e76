//! T11 over the real domain code and the real store: ten thousand random answers of a node, deaths and restarts, and
//! every payment is made at most once. `COUNTERSIGN_SIMULATION_SEED` chooses another course of events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use gateway_chains::evm::codec::EvmCodec;
use gateway_domain::{
    Address, Clock, OpCtx, Result, Timestamp, U256,
    actor::{Actor, ApiKeyActor},
    chain::{ChainId, PayloadCodec},
    credentials::{CredentialHasher, Label, Scope},
    identity::{CreateUser, User, create_user},
    ids::{CredentialId, InstanceId, OrganizationId, TransactionId},
    keys::{KeyAlgorithm, KeyRecord, PublicKey},
    mac::{MacKey, MacKeys},
    policy::SigningPermit,
    ports::{Chain, Services, Signer, TokenKeys},
    sealed::{Sealed, Sealer},
    transactions::{
        AttemptOutcome, CreateTransaction, ExecutionType, Provider, RequestIdentity, State, advance,
        carry_on, create,
    },
    vendors::VendorRole,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    doubles::{TestPlugin, TestToken, TestTokenSigner},
    vendors::no_vendors,
    world::{CHAIN, ORIGIN, found_organization, limits, sessions},
};

mod chance;
mod node;
mod published;

use chance::{Chance, Fuse};
use node::{CONFIRMATIONS, FEE_MAX, SimulatedNode};

const STEPS: u32 = 10_000;
/// Transactions that are under way at once.
const LIVE_MAX: usize = 8;
/// Looks at what is left, once the node is honest, until everything must have ended.
const SETTLING_ROUNDS: u32 = 400;
const STUCK_AFTER: Duration = Duration::from_mins(5);
/// In the year 2100, so that the course of events does not depend on when it is run.
const EPOCH_MICROS: i64 = 4_102_444_800_000_000;

struct SimulatedClock(AtomicI64);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A token that the process can die beside, before and after it has signed.
struct SimulatedToken {
    token: TestToken,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Signer for SimulatedToken {
    async fn sign(&self, permit: &SigningPermit, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        self.fuse.burn().await;
        let signature = self.token.sign(permit, key).await?;
        self.fuse.burn().await;
        Ok(signature)
    }
}

#[async_trait]
impl TokenKeys for SimulatedToken {
    fn token_id(&self) -> &str {
        self.token.token_id()
    }

    async fn generate(&self, record: &Sealed<KeyRecord>) -> Result<PublicKey> {
        self.token.generate(record).await
    }

    async fn adopt(&self, record: &Sealed<KeyRecord>) -> Result<Option<PublicKey>> {
        self.token.adopt(record).await
    }

    fn supports(&self, algorithm: KeyAlgorithm) -> bool {
        self.token.supports(algorithm)
    }
}

/// What outlives a process, and what is known of every transaction.
struct Simulation {
    seed: u64,
    chance: Arc<Chance>,
    fuse: Arc<Fuse>,
    clock: Arc<SimulatedClock>,
    token: Arc<SimulatedToken>,
    node: Arc<SimulatedNode>,
    directory: TempDir,
    organization: OrganizationId,
    users: Vec<Sealed<User>>,
    recipients: BTreeMap<TransactionId, Address>,
    live: Vec<TransactionId>,
    /// Which transaction signed with a nonce of an address.
    nonces: BTreeMap<(Address, u64), TransactionId>,
    deaths: u32,
}

/// One life of the gateway.
struct Process {
    services: Services,
    store: Arc<Store>,
}

async fn start(simulation: &Simulation) -> Process {
    let path = simulation.directory.path().join("simulation.db");
    let url = DatabaseUrl::new(format!("sqlite://{}", path.display()));
    let keys = |byte| MacKeys::new(BTreeMap::from([(1, MacKey::new([byte; 32]))]), 1);
    let sealer = Arc::new(Sealer::new(keys(1)));
    let outbox_written = Arc::new(Notify::new());
    let instance = InstanceId::generate(simulation.clock.now(), simulation.chance.as_ref());
    let config = StoreConfig { migrate: true, ..StoreConfig::new(url) };
    let store = Store::open(config, sealer.clone(), instance, outbox_written.clone()).await.unwrap();
    store.set_log_fault(None);
    let store = Arc::new(store);
    let id = ChainId::eip155(CHAIN).unwrap();
    let chain = Chain {
        id,
        codec: Arc::new(EvmCodec),
        node: simulation.node.clone(),
        confirmations: CONFIRMATIONS,
        gas_max: 3_000_000,
        fee_per_gas_max: FEE_MAX,
        stuck_after: STUCK_AFTER,
    };
    let services = Services {
        store: store.clone(),
        sealer,
        clock: simulation.clock.clone(),
        entropy: simulation.chance.clone(),
        credentials: Arc::new(CredentialHasher::new(keys(2))),
        sessions: Arc::new(sessions(Arc::new(TestTokenSigner::new()))),
        contract_accounts: None,
        signer: simulation.token.clone(),
        token_keys: simulation.token.clone(),
        evaluator: Arc::new(TestPlugin::approving()),
        vendors: no_vendors(),
        publication: published::publication(simulation),
        chains: Arc::new(BTreeMap::from([(id, chain)])),
        limits: limits(),
        state_turns: Arc::default(),
        origin: ORIGIN.to_owned(),
        tenant_origins: Arc::default(),
        domain_chain: CHAIN,
        proven_signatures: Arc::default(),
        nonces: Arc::default(),
        denials: Arc::default(),
        outbox_written,
    };
    Process { services, store }
}

impl Simulation {
    async fn new(seed: u64) -> (Self, Process) {
        let (chance, fuse) = (Arc::new(Chance::new(seed)), Arc::new(Fuse::default()));
        let token = TestToken::new();
        token.gate.add_permits(1_000_000);
        let mut simulation = Self {
            seed,
            clock: Arc::new(SimulatedClock(AtomicI64::new(EPOCH_MICROS))),
            token: Arc::new(SimulatedToken { token, fuse: fuse.clone() }),
            node: Arc::new(SimulatedNode::new(chance.clone(), fuse.clone())),
            directory: tempfile::tempdir().unwrap(),
            organization: OrganizationId::from_uuid(Uuid::nil()),
            users: Vec::new(),
            recipients: BTreeMap::new(),
            live: Vec::new(),
            nonces: BTreeMap::new(),
            deaths: 0,
            chance,
            fuse,
        };
        let process = start(&simulation).await;
        simulation.organization = OrganizationId::from_uuid(Uuid::new_v4());
        found_organization(&process.services, simulation.organization).await;
        for index in 1..=2 {
            let request = CreateUser {
                ethereum_address: Address::repeat_byte(index),
                escrow_address: None,
                privy_user_id: None,
                display_name: None,
                email: None,
            };
            let ctx = OpCtx::gateway(simulation.organization, simulation.clock.now());
            let user = create_user(&ctx, &process.services, request).await.unwrap();
            simulation.users.push(process.services.sealer.seal(user));
        }
        (simulation, process)
    }

    fn ctx(&self, user: &User) -> OpCtx {
        let actor = ApiKeyActor {
            principal: user.id,
            credential: CredentialId::from_uuid(Uuid::nil()),
            label: Label::Admin,
            scopes: BTreeSet::from([Scope::Admin]),
            verification_service: None,
            self_registered: false,
        };
        let now = self.clock.now();
        OpCtx { actor: Actor::ApiKey(actor), ..OpCtx::gateway(self.organization, now) }
    }

    /// A payment of one wei to a recipient of its own, by which it is known on the chain.
    async fn propose(&mut self, services: &Services) {
        let owner = self.users[self.chance.index(self.users.len())].clone();
        let mut to = [0x40; 20];
        to[12..].copy_from_slice(&u64::try_from(self.recipients.len()).unwrap().to_be_bytes());
        let request = CreateTransaction {
            chain: ChainId::eip155(CHAIN).unwrap(),
            to: Some(Address::from(to)),
            value: U256::ONE,
            data: Vec::new(),
            execution_type: ExecutionType::DirectUser,
            provider: Provider::Hsm,
            vendor_role: VendorRole::Execution,
            name: None,
            identity: RequestIdentity::default(),
            note: None,
            requirements: Vec::new(),
            minimum_confidence_ppm: 0,
            approval_ttl: Duration::from_hours(24 * 365),
            owner: owner.clone(),
        };
        let created = Box::pin(create(&self.ctx(&owner), services, request)).await.unwrap();
        let id = created.transaction.id;
        assert_eq!(created.transaction.state, State::Approved);
        self.recipients.insert(id, Address::from(to));
        self.live.push(id);
        if self.chance.percent(50) {
            self.survive(Box::pin(carry_on(services, created))).await;
        }
    }

    /// Runs a piece of work to its end, or to the process's.
    async fn survive(&self, work: impl Future<Output = Result<gateway_domain::transactions::Progress>>) {
        tokio::select! {
            biased;
            () = self.fuse.blown() => {}
            done = work => {
                done.unwrap();
            }
        }
    }

    async fn step(&mut self, process: Process) -> Process {
        match self.chance.below(100) {
            0..6 if self.live.len() < LIVE_MAX => self.propose(&process.services).await,
            6..20 => self.node.mine(),
            20..23 => self.node.reorganize(),
            23..27 => self.node.shuffle_pool(),
            27..37 => {
                let seconds = i64::try_from(self.chance.below(120)).unwrap();
                self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
            }
            37..40 => return self.die(process).await,
            _ if !self.live.is_empty() => {
                let id = self.live[self.chance.index(self.live.len())];
                self.survive(Box::pin(advance(&process.services, self.organization, id))).await;
                self.check(&process.services, id).await;
            }
            _ => {}
        }
        process
    }

    /// Dies at one of the next calls to the outside, in the middle of something, and starts again.
    async fn die(&mut self, process: Process) -> Process {
        self.fuse.set(self.chance.below(8));
        if let Some(id) = self.live.get(self.chance.index(self.live.len().max(1))) {
            self.survive(Box::pin(advance(&process.services, self.organization, *id))).await;
        }
        self.fuse.remove();
        self.deaths += 1;
        process.store.close().await;
        drop(process);
        Box::pin(start(self)).await
    }

    /// The promises, for one transaction at any time.
    async fn check(&mut self, services: &Services, id: TransactionId) {
        let found = services.store.transaction(self.organization, id).await.unwrap().unwrap();
        let attempts = services.store.attempts(self.organization, id).await.unwrap();
        let context = format!("seed {}, transaction {id}: {:?}", self.seed, found.state);
        let mut nonces = BTreeSet::new();
        let mut hashes = BTreeSet::new();
        for attempt in &attempts {
            let projection = EvmCodec.decode(&attempt.payload).unwrap();
            assert!(found.intent.admits(&projection).is_ok(), "{context}: outside its ceilings");
            if let AttemptOutcome::Signed { hash, .. } = &attempt.outcome {
                hashes.insert(*hash);
                nonces.insert(attempt.nonce);
                let holder = *self.nonces.entry((attempt.address, attempt.nonce)).or_insert(id);
                assert_eq!(holder, id, "{context}: nonce {} was consumed", attempt.nonce);
            }
        }
        assert!(nonces.len() <= 1, "{context}: signed under nonces {nonces:?}");
        let executions = self.node.executions();
        let executed = executions.get(&self.recipients[&id]).map_or(&[][..], Vec::as_slice);
        assert!(executed.len() <= 1, "{context}: paid {} times", executed.len());
        assert!(executed.iter().all(|hash| hashes.contains(hash)), "{context}: an unknown signature");
        match &found.state {
            State::Executed { hash, .. } => assert_eq!(executed, [*hash], "{context}"),
            state if state.is_final() => assert!(hashes.is_empty(), "{context}: failed after a signature"),
            _ => {}
        }
        if found.state.is_final() {
            self.live.retain(|other| *other != id);
        }
    }

    /// With an honest node everything ends.
    async fn settle(&mut self, services: &Services) {
        self.node.be_honest();
        for _ in 0..SETTLING_ROUNDS {
            self.node.mine();
            for id in self.live.clone() {
                self.survive(Box::pin(advance(services, self.organization, id))).await;
                self.check(services, id).await;
            }
            self.clock.0.fetch_add(60_000_000, Ordering::SeqCst);
        }
        assert!(self.live.is_empty(), "seed {}: never ended: {:?}", self.seed, self.live);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test binary has no configuration but its environment")]
fn seed() -> u64 {
    std::env::var("COUNTERSIGN_SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122)
}

#[tokio::test]
async fn ten_thousand_random_steps_pay_nothing_twice() {
    let (mut simulation, mut process) = Simulation::new(seed()).await;
    for _ in 0..STEPS {
        process = simulation.step(process).await;
    }
    simulation.settle(&process.services).await;
    for id in simulation.recipients.keys().copied().collect::<Vec<_>>() {
        simulation.check(&process.services, id).await;
    }
    let executed = simulation.node.executions().len();
    let of = simulation.recipients.len();
    // The run has to have met what it is about.
    assert!(
        executed > 50 && simulation.deaths > 100,
        "{executed} of {of} executed, {} deaths",
        simulation.deaths
    );
}
