//! What goes on record on chain: whichever call to the outside a process dies at, the next one finishes, and nothing is
//! recorded twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use gateway_chains::evm::codec::EvmCodec;
use gateway_domain::{
    Address, B256, Clock, OpCtx, Result, U256,
    chain::{ChainId, PayloadCodec},
    identity::User,
    ids::{OrganizationId, PrincipalId, RelayId, TransactionId},
    keys::{GenerateKey, KeyAlgorithm, KeyPurpose, KeyRecord, generate_key},
    openpgp::Fingerprint,
    outbox::Job,
    payloads::{Addressed, Ipfs, Submission},
    ports::{Publication, Services},
    registrations::{RegisterKey, RegistrationState, register_key},
    registry::{Purpose, RegistryCall, RelayOrder, RelayOutcome, RelayerSigner, carry_relay},
    sealed::Sealed,
    transactions::{
        CreateEncryptedTransaction, ExecutionType, PlaintextRequest, Provider, RequestIdentity, RequestName,
        State, create_encrypted, made_earlier,
    },
    vendors::VendorRole,
    verification::VerificationService,
};
use serde_json::{Value, json};

use super::{Fuse, Process, STUCK_AFTER, SimulatedToken, Simulation, seed, start};
use crate::{
    openpgp::{self, BUILT_IN, Opening, built_in_service, encrypt},
    world::CHAIN,
};

const USERS_KEY: &str = include_str!("../../../../openpgp/tests/it/fixtures/gpg-rsa.asc");
const TO: Address = Address::repeat_byte(0x42);
/// Far more calls than everything takes.
const CALLS_MAX: u64 = 200;
const ROUNDS_MAX: u32 = 60;
const RANDOM_STEPS: u32 = 5_000;
const LIVE_MAX: usize = 6;

/// Keeps what it is given, unless the process dies before or after.
struct SimulatedIpfs {
    names: Arc<dyn Ipfs>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Ipfs for SimulatedIpfs {
    fn address(&self, content: &[u8]) -> Result<Addressed> {
        self.names.address(content)
    }

    fn named(&self, cid: &str, content: &[u8]) -> Option<Addressed> {
        self.names.named(cid, content)
    }

    fn content(&self, block: &[u8], cid: &str, root: B256) -> Result<Vec<u8>> {
        self.names.content(block, cid, root)
    }

    fn has_node(&self) -> bool {
        true
    }

    async fn pin(&self, content: &[u8], cid: &str) -> Result<()> {
        self.fuse.burn().await;
        assert!(self.names.named(cid, content).is_some(), "{cid} is not what is pinned");
        self.fuse.burn().await;
        Ok(())
    }
}

#[async_trait]
impl Opening for Fuse {
    async fn before(&self) {
        self.burn().await;
    }

    async fn after(&self) {
        self.burn().await;
    }
}

#[async_trait]
impl RelayerSigner for SimulatedToken {
    async fn sign_relay(&self, order: &RelayOrder, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        self.fuse.burn().await;
        let signature = self.token.sign_relay(order, key).await?;
        self.fuse.burn().await;
        Ok(signature)
    }
}

pub(super) fn publication(simulation: &Simulation) -> Publication {
    let real = openpgp::publication(simulation.token.clone());
    let fuse = &simulation.fuse;
    Publication {
        openpgp: openpgp::watched(fuse.clone()),
        ipfs: Arc::new(SimulatedIpfs { names: real.ipfs, fuse: fuse.clone() }),
        ..real
    }
}

fn registry() -> Address {
    openpgp::publication(Arc::new(crate::doubles::TestToken::new())).registry.unwrap().address
}

async fn make_relayer(services: &Services, organization: OrganizationId) {
    let ctx = OpCtx::gateway(organization, services.clock.now());
    let wanted = GenerateKey {
        algorithm: KeyAlgorithm::Secp256k1,
        purpose: KeyPurpose::Relayer,
        kinds: BTreeSet::new(),
        vault: None,
    };
    generate_key(&ctx, services, wanted, None).await.unwrap();
}

fn read(bytes: &[u8]) -> Result<PlaintextRequest, String> {
    let content: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let part = |name: &str| content[name].as_str().unwrap().to_owned();
    Ok(PlaintextRequest {
        request_hash: part("requestHash").parse().unwrap(),
        escrow_address: part("escrowAddress").parse().unwrap(),
        chain: ChainId::eip155(CHAIN).unwrap(),
        to: TO,
        value: U256::ONE,
        data: Vec::new(),
        note: None,
    })
}

/// A client that registers its key and sends an encrypted payment, and does so again after every failure.
struct Client {
    owner: Sealed<User>,
    service: Sealed<VerificationService>,
    message: String,
    request_hash: B256,
}

impl Client {
    async fn new(simulation: &Simulation, services: &Services) -> Self {
        make_relayer(services, simulation.organization).await;
        let service = built_in_service(services, simulation.organization).await;
        let owner = simulation.users[0].clone();
        let request_hash = B256::repeat_byte(7);
        let escrow = owner.escrow.unwrap().address();
        let content = json!({"requestHash": request_hash, "escrowAddress": escrow});
        let message = encrypt(&content.to_string(), BUILT_IN);
        Self { owner, service: services.sealer.seal(service), message, request_hash }
    }

    fn request(&self) -> CreateEncryptedTransaction {
        CreateEncryptedTransaction {
            owner: self.owner.clone(),
            service: self.service.clone(),
            message: self.message.clone(),
            request_hash: self.request_hash,
            chain: ChainId::eip155(CHAIN).unwrap(),
            execution_type: ExecutionType::DirectUser,
            provider: Provider::Hsm,
            vendor_role: VendorRole::Execution,
            cid: None,
            user_signature: Vec::new(),
            requirements: Vec::new(),
            minimum_confidence_ppm: 0,
            approval_ttl: Duration::from_hours(24),
            identity: RequestIdentity::default(),
            read,
        }
    }

    /// Everything, from the first request to the last record.
    async fn run(&self, simulation: &Simulation, services: &Services) -> TransactionId {
        let organization = simulation.organization;
        let key = RegisterKey {
            user: self.owner.clone(),
            public_key: USERS_KEY.to_owned(),
            signature: vec![1; 65],
            possession: None,
        };
        let ctx = simulation.ctx(&self.owner);
        let registration = register_key(&ctx, services, &key).await.unwrap().id;
        let (name, request) = (RequestName::Own(self.request_hash), self.request());
        let created = match made_earlier(&ctx, services, Some(name), &request.identity).await.unwrap() {
            Some(earlier) => earlier,
            None => Box::pin(create_encrypted(&ctx, services, request)).await.unwrap(),
        };
        let transaction = created.transaction.id;
        let jobs =
            [Job::Register { registration }, Job::Publish { transaction }, Job::Advance { transaction }];
        for _ in 0..ROUNDS_MAX {
            for job in jobs {
                Box::pin(job.work(services, organization)).await.unwrap();
            }
            simulation.node.mine();
            simulation.clock.0.fetch_add(60_000_000, Ordering::SeqCst);
        }
        transaction
    }

    async fn check(&self, simulation: &Simulation, services: &Services, id: TransactionId, context: &str) {
        let organization = simulation.organization;
        let store = &services.store;
        let transaction = store.transaction(organization, id).await.unwrap().unwrap();
        assert!(matches!(transaction.state, State::Executed { .. }), "{context}: {:?}", transaction.state);
        let payload = store.encrypted_payload(organization, id).await.unwrap().unwrap();
        let Submission::Submitted { hash: submitted, .. } = payload.submission else {
            panic!("{context}: {:?}", payload.submission)
        };
        assert!(payload.pinned, "{context}");
        let registration = store.current_registration(organization, self.owner.id).await.unwrap().unwrap();
        let RegistrationState::Registered { hash: registered, .. } = registration.state else {
            panic!("{context}: {:?}", registration.state)
        };
        let executions = simulation.node.executions();
        let recorded: BTreeSet<B256> = executions[&registry()].iter().copied().collect();
        assert_eq!(recorded, BTreeSet::from([submitted, registered]), "{context}");
        assert_eq!(executions[&registry()].len(), 2, "{context}");
        assert_eq!(executions[&TO].len(), 1, "{context}: paid more than once");
    }
}

async fn restart(simulation: &Simulation, process: Process) -> Process {
    process.store.close().await;
    drop(process);
    // A new process is told from its predecessor by the millisecond of its start.
    simulation.clock.0.fetch_add(1_000_000, Ordering::SeqCst);
    Box::pin(start(simulation)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_call_leaves_nothing_unrecorded_and_records_nothing_twice() {
    for calls in 0..CALLS_MAX {
        let (simulation, mut process) = Simulation::new(seed()).await;
        simulation.node.be_honest();
        let client = Client::new(&simulation, &process.services).await;
        simulation.fuse.set(calls);
        let lived = tokio::select! {
            biased;
            () = simulation.fuse.blown() => None,
            id = Box::pin(client.run(&simulation, &process.services)) => Some(id),
        };
        simulation.fuse.remove();
        let id = if let Some(id) = lived {
            id
        } else {
            process = restart(&simulation, process).await;
            Box::pin(client.run(&simulation, &process.services)).await
        };
        client.check(&simulation, &process.services, id, &format!("death at call {calls}")).await;
        if lived.is_some() {
            assert!(calls > 20, "everything took only {calls} calls");
            return;
        }
    }
    panic!("everything takes more than {CALLS_MAX} calls");
}

/// Calls of the registry that are under way, and what is known of them.
struct Calls {
    live: Vec<RelayId>,
    /// In whose name they are made.
    user: PrincipalId,
    all: BTreeMap<RelayId, RegistryCall>,
    outbid: Mutex<BTreeSet<RelayId>>,
}

impl Calls {
    fn begin(&mut self, simulation: &Simulation) {
        let number = u8::try_from(self.all.len() % 250).unwrap();
        let account = Address::repeat_byte(number);
        let call = RegistryCall::Register { account, fingerprint: Fingerprint([number; 20]) };
        let id = RelayId::generate(simulation.clock.now(), simulation.chance.as_ref());
        self.all.insert(id, call);
        self.live.push(id);
    }

    async fn carry(&mut self, simulation: &Simulation, services: &Services, id: RelayId) {
        let ctx = OpCtx::gateway(simulation.organization, simulation.clock.now());
        let purpose = Purpose { id, user: self.user, call: self.all[&id] };
        tokio::select! {
            biased;
            () = simulation.fuse.blown() => {}
            done = carry_relay(&ctx, services, &purpose) => {
                done.unwrap();
            }
        }
        let Some(relay) = services.store.relay(simulation.organization, id).await.unwrap() else { return };
        let context = format!("seed {}, relay {id}: {:?}", simulation.seed, relay.outcome);
        let projection = EvmCodec.decode(&relay.payload).unwrap();
        assert_eq!((projection.nonce, projection.to), (relay.nonce, Some(registry())), "{context}");
        let target = openpgp::publication(simulation.token.clone()).registry.unwrap();
        assert!(projection.gas_limit <= target.gas_max, "{context}");
        assert!(projection.max_fee_per_gas <= target.fee_per_gas_max, "{context}");
        let mut bids: BTreeSet<B256> = relay.outbid.iter().copied().collect();
        if !relay.outbid.is_empty() {
            self.outbid.lock().unwrap().insert(id);
        }
        match &relay.outcome {
            RelayOutcome::Prepared => {}
            RelayOutcome::Abandoned => panic!("{context}: nothing has changed"),
            RelayOutcome::Signed { hash, .. } => {
                bids.insert(*hash);
            }
            RelayOutcome::Recorded { hash, .. } => {
                bids.insert(*hash);
                assert!(simulation.node.executions()[&registry()].contains(hash), "{context}");
                self.live.retain(|other| *other != id);
            }
            RelayOutcome::Failed { .. } => panic!("{context}"),
        }
        let executions = simulation.node.executions();
        let executed = executions.get(&registry()).map_or(&[][..], Vec::as_slice);
        let count = executed.iter().filter(|hash| bids.contains(*hash)).count();
        assert!(count <= 1, "{context}: recorded {count} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_answers_and_deaths_record_every_call_once_and_outbid_what_is_stuck() {
    let (simulation, mut process) = Simulation::new(seed()).await;
    make_relayer(&process.services, simulation.organization).await;
    let user = simulation.users[0].id;
    let mut calls = Calls { live: Vec::new(), user, all: BTreeMap::new(), outbid: Mutex::default() };
    for _ in 0..RANDOM_STEPS {
        match simulation.chance.below(100) {
            0..6 if calls.live.len() < LIVE_MAX => calls.begin(&simulation),
            6..16 => simulation.node.mine(),
            16..19 => simulation.node.reorganize(),
            19..23 => simulation.node.shuffle_pool(),
            23..33 => {
                let micros = i64::try_from(simulation.chance.below(120_000_000)).unwrap();
                simulation.clock.0.fetch_add(micros, Ordering::SeqCst);
            }
            33..36 if !calls.live.is_empty() => {
                simulation.fuse.set(simulation.chance.below(8));
                let id = calls.live[simulation.chance.index(calls.live.len())];
                calls.carry(&simulation, &process.services, id).await;
                simulation.fuse.remove();
                process = restart(&simulation, process).await;
            }
            _ if !calls.live.is_empty() => {
                let id = calls.live[simulation.chance.index(calls.live.len())];
                calls.carry(&simulation, &process.services, id).await;
            }
            _ => {}
        }
    }
    simulation.node.be_honest();
    for _ in 0..400 {
        simulation.node.mine();
        for id in calls.live.clone() {
            calls.carry(&simulation, &process.services, id).await;
        }
        simulation.clock.0.fetch_add(60_000_000, Ordering::SeqCst);
    }
    assert!(calls.live.is_empty(), "seed {}: never recorded: {:?}", simulation.seed, calls.live);
    let recorded = simulation.node.executions()[&registry()].len();
    assert_eq!(recorded, calls.all.len(), "seed {}", simulation.seed);
    // The run has to have met what it is about.
    let outbid = calls.outbid.lock().unwrap().len();
    assert!(recorded > 20 && outbid > 3, "{recorded} recorded, {outbid} outbid after {STUCK_AFTER:?}");
}
