//! A gateway of one organization: policy with the Orion double as authority, and a key of every label.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode},
};
use gateway_api::{ApiConfig, ApiState, StoreHealth, internal_router, public_router};
use gateway_domain::{
    Address, B256, OpCtx, Timestamp, U256,
    actor::Actor,
    approvals::{EvidenceLevel, Role},
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    credentials::CredentialHasher,
    identity::Organization,
    ids::{BindingId, CredentialId, InstanceId, OrganizationId, TransactionId},
    policy::{
        Applies, Binding, BindingScope, Floor, Mode, PluginRevision, Policy, PolicyHead, Power, Requirement,
        RevisionSignature,
    },
    ports::{Limits, Publication, Services, UnitOfWork},
    rates::RatePlaces,
    registry::RegistryTarget,
    sealed::Sealer,
    sessions::{NonceKeys, SessionLimits, Sessions},
    transactions::{Kind, Progress, Transaction},
};
use gateway_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    doubles::{TestClock, TestEntropy, TestNode, TestPlugin, TestToken, TestTokenSigner},
    openpgp,
    vendors::TestVendors,
    wallet::{Wallet, hex},
};

mod parts;

pub(crate) use parts::limits;
use parts::{chains, internal_token_hash, mac_keys, make_keys, open_store, revision, spawner};

pub(crate) const INTERNAL_TOKEN: &str = "an internal token of some length";
pub(crate) const ORIGIN: &str = "https://gateway.example";
pub(crate) const CHAIN: u64 = 31_337;
/// The second tenant's host, and what its clients sign.
pub(crate) const TENANT_HOST: &str = "tenant.example";
pub(crate) const TENANT_ORIGIN: &str = "https://tenant.example";
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

pub(crate) struct World {
    router: Router,
    pub(crate) services: Services,
    pub(crate) organization: OrganizationId,
    /// A second tenant, whose clients come to `TENANT_HOST`.
    pub(crate) tenant: OrganizationId,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) token: Arc<TestToken>,
    pub(crate) node: Arc<TestNode>,
    pub(crate) token_signer: Arc<TestTokenSigner>,
    pub(crate) plugin: Arc<TestPlugin>,
    pub(crate) vendors: TestVendors,
    pub(crate) keys: BTreeMap<&'static str, String>,
    pub(crate) key_ids: BTreeMap<&'static str, CredentialId>,
    /// When the last request was signed: each has a second of its own.
    signed_at: AtomicU64,
    store: Arc<Store>,
    tasks: TaskTracker,
    _directory: TempDir,
}

/// One request, built up by its test.
pub(crate) struct Call<'a> {
    world: &'a World,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: IpAddr,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    /// Names an organization of which there is nothing.
    pub(crate) const OTHER_HOST: &str = "other.example";

    pub(crate) async fn new() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub(crate) async fn with(config: ApiConfig) -> Self {
        Self::with_limits(config, limits()).await
    }

    pub(crate) async fn with_limits(config: ApiConfig, limits: Limits) -> Self {
        Self::changed_with(config, |services| Services { limits, ..services }).await
    }

    pub(crate) async fn without_registry() -> Self {
        Self::changed(|services| {
            let publication = Publication { registry: None, ..services.publication };
            Services { publication, ..services }
        })
        .await
    }

    /// With a registry contract that the test has changed.
    pub(crate) async fn with_registry(change: impl FnOnce(RegistryTarget) -> RegistryTarget) -> Self {
        Self::changed(|services| {
            let registry = services.publication.registry.map(change);
            let publication = Publication { registry, ..services.publication.clone() };
            Services { publication, ..services }
        })
        .await
    }

    /// With some of its parts changed.
    pub(crate) async fn changed(change: impl FnOnce(Services) -> Services) -> Self {
        Self::changed_with(ApiConfig::default(), change).await
    }

    pub(crate) async fn changed_with(config: ApiConfig, change: impl FnOnce(Services) -> Services) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sealer = Arc::new(Sealer::new(mac_keys(1)));
        let outbox_written = Arc::new(Notify::new());
        let store = Arc::new(open_store(directory.path(), &sealer, &outbox_written).await);
        let (clock, token) = (Arc::new(TestClock::new()), Arc::new(TestToken::new()));
        let (plugin, node) = (Arc::new(TestPlugin::approving()), Arc::new(TestNode::new()));
        let tenant = OrganizationId::from_uuid(Uuid::new_v4());
        let (token_signer, vendors) = (Arc::new(TestTokenSigner::new()), TestVendors::new());
        let services = change(Services {
            store: store.clone(),
            sealer,
            clock: clock.clone(),
            entropy: Arc::new(TestEntropy),
            credentials: Arc::new(CredentialHasher::new(mac_keys(2))),
            sessions: Arc::new(sessions(token_signer.clone())),
            contract_accounts: None,
            signer: token.clone(),
            token_keys: token.clone(),
            evaluator: plugin.clone(),
            publication: openpgp::publication(token.clone()),
            chains: Arc::new(chains(node.clone())),
            vendors: vendors.ports(),
            limits: limits(),
            state_turns: Arc::default(),
            origin: ORIGIN.to_owned(),
            tenant_origins: Arc::new(BTreeMap::from([(tenant, TENANT_ORIGIN.to_owned())])),
            domain_chain: CHAIN,
            proven_signatures: Arc::default(),
            nonces: Arc::default(),
            denials: Arc::default(),
            outbox_written,
        });
        let organization = OrganizationId::from_uuid(Uuid::new_v4());
        for founded in [organization, tenant] {
            found_organization(&services, founded).await;
        }
        let (keys, key_ids) = make_keys(&services, organization).await;
        let tasks = TaskTracker::new();
        let state = ApiState {
            rate_places: Arc::new(RatePlaces::new(mac_keys(4))),
            health: Arc::new(StoreHealth { store: services.store.clone(), organization }),
            services: services.clone(),
            config,
            default_organization: organization,
            hosts: hosts(tenant),
            accepts_dev_keys: true,
            internal_token: Some(internal_token_hash()),
            spawner: spawner(&tasks),
        };
        // One router for both listeners, so that one matrix covers them.
        let router = public_router(state.clone()).merge(internal_router(state));
        Self {
            router,
            services,
            organization,
            tenant,
            clock,
            token,
            node,
            token_signer,
            plugin,
            keys,
            key_ids,
            signed_at: AtomicU64::new(0),
            store,
            tasks,
            vendors,
            _directory: directory,
        }
    }

    pub(crate) fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        let (headers, body, peer) = (HeaderMap::new(), Vec::new(), LOOPBACK.into());
        Call { world: self, method, path: path.into(), headers, body, peer }
    }

    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: impl Into<String>, body: &Value) -> Call<'_> {
        self.call(Method::POST, path).json(body)
    }

    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.services.clock.now().unix_seconds()).unwrap()
    }

    /// Enrols the wallet and answers with the escrow address.
    pub(crate) async fn user(&self, wallet: &Wallet) -> Address {
        let body = json!({"ethereumAddress": wallet.address()});
        let user = self.post("/users", &body).key(self, "admin").send().await.expect(201);
        user["escrowAddress"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn ctx(&self) -> OpCtx {
        let now = self.services.clock.now();
        OpCtx { actor: Actor::LocalOperator, ..OpCtx::gateway(self.organization, now) }
    }

    /// Returns once no request has anything under way.
    pub(crate) async fn idle(&self) {
        self.tasks.close();
        tokio::time::timeout(Duration::from_mins(1), self.tasks.wait()).await.expect("owned tasks end");
        self.tasks.reopen();
    }

    pub(crate) async fn stored(&self, id: TransactionId) -> Transaction {
        let found = self.services.store.transaction(self.organization, id).await.unwrap();
        found.expect("the transaction is stored").into_value()
    }

    /// Works off the outbox, as the gateway's worker does, until `is_done` holds.
    pub(crate) async fn work_until(&self, is_done: impl AsyncFn() -> bool) {
        let (holder, lease) = (InstanceId::from_uuid(Uuid::new_v4()), Duration::from_mins(1));
        let store = &self.services.store;
        let work = async {
            while !is_done().await {
                for claimed in store.claim(holder, lease, 100).await.unwrap() {
                    match claimed.item.job.work(&self.services, self.organization).await {
                        Ok(Progress::Done) => store.complete(claimed.item.id, claimed.fencing).await.unwrap(),
                        Ok(Progress::Again(_)) | Err(_) => {
                            let soon = Duration::from_millis(1);
                            store.postpone(claimed.item.id, claimed.fencing, soon).await.unwrap();
                        }
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), work).await.expect("the outbox gets there");
    }

    /// Attaches one more binding to a new revision of the policy, its plugin called `name`.
    pub(crate) async fn bind(&self, name: &str, mode: Mode, power: Power) {
        self.bind_signed(name, mode, power, None).await;
    }

    /// The same in a deployment with operators.
    pub(crate) async fn bind_signed(
        &self,
        name: &str,
        mode: Mode,
        power: Power,
        signature: Option<RevisionSignature>,
    ) {
        let at = self.services.clock.now();
        let revision = PluginRevision { signature, ..revision(self.organization, name, at) };
        let mut policy = self.services.store.policy(self.organization).await.unwrap().unwrap().into_value();
        policy.revision += 1;
        policy.created_at = at;
        policy.bindings.push(binding(&revision, mode, power));
        let head = PolicyHead { organization: self.organization, revision: policy.revision };
        let sealer = &self.services.sealer;
        let event = AuditEvent::new(&self.ctx(), "plugin.installed", name.to_owned(), json!({}));
        let changes = ChangeSet::new(event)
            .write(Write::InsertPluginRevision(sealer.seal(revision), b"component".to_vec(), 100))
            .write(Write::InsertPolicy(sealer.seal(policy)))
            .write(Write::MovePolicyHead(sealer.seal(head)));
        self.services.store.commit(changes).await.unwrap();
    }

    /// Proposes a transfer of `value` wei.
    pub(crate) async fn propose(&self, escrow: Address, value: u64) -> Value {
        let body = transfer(escrow, value);
        self.post("/transactions", &body).key(self, "admin").send().await.expect(201)
    }
}

/// Transfers above this need the user and the agent.
pub(crate) const FREE_WEI: u64 = 1_000;

pub(crate) fn transfer(escrow: Address, value: u64) -> Value {
    let to = Address::repeat_byte(0x42);
    json!({"escrowAddress": escrow, "to": to, "value": value.to_string(), "chainId": CHAIN})
}

/// Which host means which organization; all others the default one.
fn hosts(tenant: OrganizationId) -> BTreeMap<String, OrganizationId> {
    let nobody = OrganizationId::from_uuid(Uuid::new_v4());
    BTreeMap::from([(TENANT_HOST.to_owned(), tenant), (World::OTHER_HOST.to_owned(), nobody)])
}

impl Call<'_> {
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = serde_json::to_vec(body).unwrap();
        self.header("content-type", "application/json")
    }

    /// Another body under the headers as they are.
    pub(crate) fn json_again(mut self, body: &Value) -> Self {
        self.body = serde_json::to_vec(body).unwrap();
        self
    }

    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn key(self, world: &World, label: &str) -> Self {
        self.header("x-api-key", &world.keys[label])
    }

    /// With an access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn peer(mut self, peer: [u8; 4]) -> Self {
        self.peer = peer.into();
        self
    }

    /// Form 1, now.
    pub(crate) fn signed(self, wallet: &Wallet) -> Self {
        self.signed_for(ORIGIN, wallet)
    }

    /// The same by a client that knows the gateway by another origin.
    pub(crate) fn signed_for(self, origin: &str, wallet: &Wallet) -> Self {
        let timestamp = self.world.signing_time();
        let lines = [origin, self.method.as_str(), &self.path];
        let signature = wallet.sign_request(lines, &self.body, Some(timestamp));
        self.signature(wallet, &signature).header("x-ethereum-timestamp", &timestamp.to_string())
    }

    pub(crate) fn signature(self, wallet: &Wallet, signature: &[u8]) -> Self {
        self.header("x-ethereum-address", &wallet.address().to_string())
            .header("x-ethereum-signature", &hex(signature))
    }

    /// The answer, which nobody need wait for.
    pub(crate) fn send(self) -> impl Future<Output = Reply> + Send + 'static {
        let router = self.world.router.clone();
        let mut request = Request::builder().method(self.method).uri(self.path);
        *request.headers_mut().unwrap() = self.headers;
        let mut request = request.body(Body::from(self.body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.peer, 40_000)));
        async move {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            Reply {
                status: parts.status,
                headers: parts.headers,
                text: String::from_utf8(bytes.to_vec()).unwrap(),
            }
        }
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body: Value = serde_json::from_str(&self.text).unwrap();
        if status >= 400 {
            assert_eq!(body["statusCode"], status, "{body}");
            assert_eq!(body["requestId"], self.headers["x-request-id"].to_str().unwrap(), "{body}");
        }
        body
    }

    /// All of `message`.
    pub(crate) fn message(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap();
        match &body["message"] {
            Value::String(text) => text.clone(),
            Value::Array(rules) => rules.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            other => panic!("message is {other}"),
        }
    }
}

pub(crate) const SESSIONS_PER_USER_MAX: u32 = 3;

pub(crate) fn sessions(signer: Arc<TestTokenSigner>) -> Sessions {
    Sessions {
        signer,
        nonces: NonceKeys::new(mac_keys(3)),
        issuer: ORIGIN.to_owned(),
        limits: SessionLimits {
            access_token_ttl: Duration::from_mins(15),
            refresh_token_ttl: Duration::from_hours(720),
            nonce_ttl: Duration::from_mins(5),
            sessions_per_user_max: SESSIONS_PER_USER_MAX,
        },
    }
}

pub(crate) async fn found_organization(services: &Services, organization: OrganizationId) {
    let at = services.clock.now();
    let revision = revision(organization, "orion", at);
    let row =
        Organization { id: organization, name: "demo".to_owned(), frozen: false, version: 1, created_at: at };
    let policy = policy(organization, &revision, at);
    let ctx = OpCtx { actor: Actor::LocalOperator, ..OpCtx::gateway(organization, at) };
    let sealer = &services.sealer;
    let changes =
        ChangeSet::new(AuditEvent::new(&ctx, "organization.created", organization.to_string(), json!({})))
            .write(Write::InsertOrganization(sealer.seal(row)))
            .write(Write::InsertPluginRevision(sealer.seal(revision), b"component".to_vec(), 100))
            .write(Write::InsertPolicy(sealer.seal(policy)))
            .write(Write::MovePolicyHead(sealer.seal(PolicyHead { organization, revision: 1 })));
    let store: &dyn UnitOfWork = services.store.as_ref();
    store.commit(changes).await.unwrap();
}

pub(crate) fn component_digest() -> B256 {
    use sha2::{Digest, Sha256};
    B256::new(Sha256::digest(b"component").into())
}

fn policy(organization: OrganizationId, revision: &PluginRevision, at: Timestamp) -> Policy {
    let applies = Applies::AboveValue(U256::from(FREE_WEI));
    let one =
        |role| Requirement { role, count: 1, evidence: EvidenceLevel::Bearer, applies: applies.clone() };
    Policy {
        organization,
        revision: 1,
        floor: Floor { requirements: vec![one(Role::User), one(Role::Agent)], ..Floor::open() },
        bindings: vec![binding(revision, Mode::Enforce, Power::Authority(Role::Orion))],
        proposal: None,
        created_at: at,
    }
}

pub(crate) fn binding(revision: &PluginRevision, mode: Mode, power: Power) -> Binding {
    Binding {
        id: BindingId::from_uuid(Uuid::new_v4()),
        revision: revision.id,
        plugin: revision.plugin.clone(),
        subject_digest: revision.subject_digest(),
        scope: BindingScope {
            kinds: BTreeSet::from([Kind::Transaction]),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults: BTreeSet::new(),
        },
        mode,
        power,
    }
}
