//! Stand-ins for what lies outside: keys in memory, a plugin that says what it is told to, a node that takes
//! everything.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use ed25519_dalek::Signer as _;
use gateway_chains::evm::signature::Signature;
use gateway_domain::{
    Address, B256, Clock, Error, Result, Timestamp, U256,
    chain::{AccountState, ChainNode, ContractQuestion, GasFee, Inclusion, NodeError, Pricing},
    entropy::Entropy,
    evaluations::{EvaluationResult, Outcome, Purpose, Verdict},
    ids::{KeyId, OrganizationId, TransactionId},
    keys::{KeyAlgorithm, KeyRecord, PublicKey},
    plugin_state::{CounterName, StateChanges, StateView},
    policy::{Examined, PluginRevision, SigningPermit},
    ports::{Candidate, EvaluationReply, EvaluationRequest, Evaluator, Signer, TokenKeys, TokenSigner},
    registry::{RelayOrder, RelayerSigner},
    sealed::Sealed,
    sessions::{AccessClaims, TokenKey},
    transactions::Intent,
};
use k256::ecdsa::SigningKey;
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

/// The present, which the database's clock shares, plus what a test adds.
pub(crate) struct TestClock(Mutex<Hands>);

/// In microseconds.
#[derive(Clone, Copy)]
enum Hands {
    /// They run, so far ahead of the machine's clock.
    Ahead(i64),
    /// They stand where they are.
    Stopped(i64),
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Hands::Ahead(0)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        let (Hands::Ahead(micros) | Hands::Stopped(micros)) = &mut *self.0.lock().unwrap();
        *micros += by;
    }

    /// From now on only [`Self::advance`] moves it: what happens just before a limit does so on a busy machine, too.
    pub(crate) fn stop(&self) {
        let now = self.now().unix_micros();
        *self.0.lock().unwrap() = Hands::Stopped(now);
    }
}

impl Clock for TestClock {
    #[expect(clippy::disallowed_methods, reason = "the database's clock cannot be set")]
    fn now(&self) -> Timestamp {
        let hands = *self.0.lock().unwrap();
        Timestamp::from_unix_micros(match hands {
            Hands::Ahead(micros) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                i64::try_from(since.as_micros()).unwrap() + micros
            }
            Hands::Stopped(micros) => micros,
        })
    }
}

pub(crate) struct TestEntropy;

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&Uuid::new_v4().as_bytes()[8..8 + chunk.len()]);
        }
    }
}

/// Keys in memory. Signing takes a permit of `gate`, so that a test can hold it up.
pub(crate) struct TestToken {
    keys: Mutex<HashMap<KeyId, SigningKey>>,
    seed: AtomicU64,
    pub(crate) gate: Semaphore,
    is_away: AtomicBool,
    /// Makes no key for as long as this is set.
    pub(crate) makes_nothing: AtomicBool,
    /// Transactions for which a signature was made, in order.
    pub(crate) signed: Mutex<Vec<TransactionId>>,
    calls: AtomicU64,
}

impl TestToken {
    /// How often anything was asked of the token.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn new() -> Self {
        Self {
            keys: Mutex::default(),
            seed: AtomicU64::new(1),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            is_away: AtomicBool::new(false),
            makes_nothing: AtomicBool::new(false),
            signed: Mutex::default(),
            calls: AtomicU64::new(0),
        }
    }

    fn signature(&self, key: KeyId, digest: B256) -> Result<[u8; 65]> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().unwrap();
        let key = keys.get(&key).ok_or_else(|| Error::inconsistency("no such key"))?;
        let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = recovery.to_byte();
        Ok(bytes)
    }

    pub(crate) fn go_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }
}

#[async_trait]
impl TokenKeys for TestToken {
    fn token_id(&self) -> &'static str {
        "test"
    }

    async fn generate(&self, record: &Sealed<KeyRecord>) -> Result<PublicKey> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.makes_nothing.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the HSM", "it makes no keys"));
        }
        let mut secret = [7; 32];
        secret[24..].copy_from_slice(&self.seed.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        let key = SigningKey::from_slice(&secret).unwrap();
        let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        self.keys.lock().unwrap().insert(record.id, key);
        Ok(PublicKey(point))
    }

    async fn adopt(&self, record: &Sealed<KeyRecord>) -> Result<Option<PublicKey>> {
        let held = self.keys.lock().unwrap();
        let point = |key: &SigningKey| key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Ok(held.get(&record.id).map(|key| PublicKey(point(key))))
    }

    fn supports(&self, algorithm: KeyAlgorithm) -> bool {
        // RSA keys are only made here; whoever uses one is a stand-in too.
        matches!(algorithm, KeyAlgorithm::Secp256k1 | KeyAlgorithm::Rsa4096)
    }
}

#[async_trait]
impl Signer for TestToken {
    async fn sign(&self, permit: &SigningPermit, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        self.gate.acquire().await.unwrap().forget();
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the HSM", "it is away"));
        }
        self.signed.lock().unwrap().push(permit.transaction());
        self.signature(key.id, permit.digest())
    }
}

#[async_trait]
impl RelayerSigner for TestToken {
    async fn sign_relay(&self, order: &RelayOrder, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the HSM", "it is away"));
        }
        self.signature(key.id, order.digest())
    }
}

/// Token keys in memory: the first signs.
pub(crate) struct TestTokenSigner {
    signing: ed25519_dalek::SigningKey,
    keys: Vec<TokenKey>,
    pub(crate) away: AtomicBool,
}

impl TestTokenSigner {
    pub(crate) fn new() -> Self {
        let signing = token_key(1);
        let keys = [("one", &signing), ("retiring", &token_key(2))];
        let keys =
            keys.map(|(id, key)| TokenKey { id: id.to_owned(), public_key: key.verifying_key().to_bytes() });
        Self { signing, keys: keys.into(), away: AtomicBool::new(false) }
    }
}

pub(crate) fn token_key(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

#[async_trait]
impl TokenSigner for TestTokenSigner {
    fn keys(&self) -> &[TokenKey] {
        &self.keys
    }

    async fn sign_access_token(&self, claims: &AccessClaims) -> Result<[u8; 64]> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the HSM", "away"));
        }
        Ok(self.signing.sign(claims.signing_input("one").as_bytes()).to_bytes())
    }
}

/// Answers every evaluation with the outcome that was set last, unless one is held.
pub(crate) struct TestPlugin {
    outcome: Mutex<Outcome>,
    holds: Mutex<VecDeque<Hold>>,
    /// How often it was asked as the plugin of this name.
    asked: Mutex<HashMap<String, u64>>,
    /// Plugins that nobody can ask, and why.
    silent: Mutex<HashMap<String, String>>,
    /// Transactions an hour beyond which it rejects.
    limit: Mutex<Option<u64>>,
    /// How many components it was given to look at.
    examined: AtomicU64,
}

/// One evaluation that waits until its test lets it go on.
struct Hold {
    outcome: Outcome,
    entered: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// The test's end of a [`Hold`].
pub(crate) struct Held {
    pub(crate) entered: oneshot::Receiver<()>,
    pub(crate) go_on: oneshot::Sender<()>,
}

impl TestPlugin {
    pub(crate) fn approving() -> Self {
        Self {
            outcome: Mutex::new(Self::outcome(Verdict::Approve, "looks \u{202e}fine\u{0}", 950_000)),
            holds: Mutex::default(),
            asked: Mutex::default(),
            silent: Mutex::default(),
            limit: Mutex::default(),
            examined: AtomicU64::default(),
        }
    }

    pub(crate) fn examined(&self) -> u64 {
        self.examined.load(Ordering::Relaxed)
    }

    pub(crate) fn say(&self, verdict: Verdict, analysis: &str, confidence_ppm: u32) {
        *self.outcome.lock().unwrap() = Self::outcome(verdict, analysis, confidence_ppm);
    }

    /// Has the next evaluation wait, and then say this.
    pub(crate) fn hold(&self, verdict: Verdict) -> Held {
        let ((entered, has_entered), (go_on, may_go_on)) = (oneshot::channel(), oneshot::channel());
        let outcome = Self::outcome(verdict, "after some thought", 950_000);
        self.holds.lock().unwrap().push_back(Hold { outcome, entered, go_on: may_go_on });
        Held { entered: has_entered, go_on }
    }

    /// From now on rejects what goes beyond so many transactions an hour.
    pub(crate) fn limit(&self, transactions: u64) {
        *self.limit.lock().unwrap() = Some(transactions);
    }

    /// One more under the hourly counter, if there is room.
    async fn reserve(&self, state: &StateView) -> Option<StateChanges> {
        let limit = *self.limit.lock().unwrap();
        let Some(limit) = limit else { return Some(StateChanges::default()) };
        let hourly = CounterName { name: "transactions".to_owned(), window_seconds: 3600 };
        let counted = state.counted(&hourly).await.unwrap();
        let one = U256::from(1);
        let has_room = counted.is_final || counted.others + one <= U256::from(limit);
        has_room.then(|| StateChanges { reservations: vec![(hourly, one)], ..StateChanges::default() })
    }

    pub(crate) fn silence(&self, plugin: &str) {
        self.silence_with(plugin, "queue_full");
    }

    pub(crate) fn silence_with(&self, plugin: &str, code: &str) {
        self.silent.lock().unwrap().insert(plugin.to_owned(), code.to_owned());
    }

    pub(crate) fn speak(&self, plugin: &str) {
        self.silent.lock().unwrap().remove(plugin);
    }

    pub(crate) fn asked(&self, plugin: &str) -> u64 {
        self.asked.lock().unwrap().get(plugin).copied().unwrap_or_default()
    }

    fn outcome(verdict: Verdict, analysis: &str, confidence_ppm: u32) -> Outcome {
        Outcome {
            verdict,
            reason_code: "test".to_owned(),
            analysis: analysis.to_owned(),
            confidence_ppm: Some(confidence_ppm),
            evidence: Vec::new(),
        }
    }
}

#[async_trait]
impl Evaluator for TestPlugin {
    async fn evaluate(
        &self,
        revision: &Sealed<PluginRevision>,
        _: Purpose,
        request: &EvaluationRequest,
        state: &Arc<StateView>,
    ) -> EvaluationReply {
        assert!(request.transaction.note.as_deref() != Some("panic"), "canary-secret in a panic");
        *self.asked.lock().unwrap().entry(revision.plugin.clone()).or_default() += 1;
        let reply = |result| EvaluationReply {
            result,
            duration: Duration::from_micros(250),
            record: "{}".to_owned(),
            state: StateChanges::default(),
        };
        if let Some(code) = self.silent.lock().unwrap().get(&revision.plugin).cloned() {
            let detail = "nobody is there".to_owned();
            return reply(EvaluationResult::Failure { code, detail });
        }
        let hold = self.holds.lock().unwrap().pop_front();
        let outcome = match hold {
            Some(hold) => {
                let _ = hold.entered.send(());
                hold.go_on.await.unwrap();
                hold.outcome
            }
            None => self.outcome.lock().unwrap().clone(),
        };
        // Settings, where a revision has some, are what it says.
        let outcome = match revision.settings.as_str() {
            "{}" => outcome,
            settings => Outcome { analysis: settings.to_owned(), ..outcome },
        };
        if let Some(state) = self.reserve(state).await {
            return EvaluationReply { state, ..reply(EvaluationResult::Verdict(outcome)) };
        }
        reply(EvaluationResult::Verdict(Self::outcome(Verdict::Reject, "over the limit", 1_000_000)))
    }

    async fn examine(&self, _: &Candidate<'_>, component: Arc<[u8]>) -> Result<Examined> {
        self.examined.fetch_add(1, Ordering::Relaxed);
        if component.starts_with(b"broken") {
            return Err(Error::invalid("component: it is broken"));
        }
        Ok(Examined {
            imports: vec!["countersign:policy/log@1.0.0".to_owned()],
            wanted: vec!["log".to_owned()],
            contract: "1.0.0".to_owned(),
            bytes: component.len() as u64,
        })
    }

    /// Upstreams that were taken out of the configuration are said to be `gone`.
    fn grant_faults(&self, _: OrganizationId, grants: &BTreeSet<String>) -> Vec<String> {
        grants.iter().filter(|grant| grant.ends_with(":gone")).cloned().collect()
    }
}

/// What the chain's contracts take for their own.
#[derive(Clone, Copy)]
enum ContractSays {
    /// The nodes do not agree.
    Nothing,
    /// What begins with this owner's signature.
    Owner(Address),
    Everything,
}

/// Takes every transaction and mines none before it is told to. An answer about an account takes a permit of `gate`.
pub(crate) struct TestNode {
    pub(crate) gate: Semaphore,
    /// Rises by one whenever an account is asked for.
    pub(crate) asked: Semaphore,
    /// Whether what it has mined succeeded.
    mined: Mutex<Option<bool>>,
    /// Where it says that everything was mined.
    block: AtomicU64,
    contract: Mutex<ContractSays>,
    /// How often a contract was asked.
    contract_questions: AtomicU64,
    /// An answer about a contract takes a permit.
    pub(crate) contract_gate: Semaphore,
    /// How many transactions of any account it counts.
    pub(crate) nonce: AtomicU64,
    /// What any account has.
    pub(crate) balance: Mutex<U256>,
}

impl TestNode {
    pub(crate) fn new() -> Self {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS / 2);
        Self {
            gate,
            asked: Semaphore::new(0),
            mined: Mutex::default(),
            block: AtomicU64::new(1),
            nonce: AtomicU64::new(0),
            balance: Mutex::new(U256::MAX),
            contract: Mutex::new(ContractSays::Nothing),
            contract_questions: AtomicU64::new(0),
            contract_gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        }
    }

    /// From now on contracts take what this owner signed; without one the nodes do not agree.
    pub(crate) fn own_contract(&self, owner: Option<Address>) {
        *self.contract.lock().unwrap() = owner.map_or(ContractSays::Nothing, ContractSays::Owner);
    }

    pub(crate) fn always_say_yes(&self) {
        *self.contract.lock().unwrap() = ContractSays::Everything;
    }

    pub(crate) fn contract_questions(&self) -> u64 {
        self.contract_questions.load(Ordering::SeqCst)
    }

    /// Mines everything it was sent, deep enough for anybody.
    pub(crate) fn mine(&self, succeeded: bool) {
        *self.mined.lock().unwrap() = Some(succeeded);
    }

    pub(crate) fn next_block(&self) {
        self.block.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ChainNode for TestNode {
    async fn account(&self, _: Address) -> Result<AccountState, NodeError> {
        self.asked.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        let balance = *self.balance.lock().unwrap();
        Ok(AccountState { nonce: self.nonce.load(Ordering::SeqCst), balance })
    }

    async fn price(&self, _: &Intent, _: Option<&Pricing>) -> Result<Pricing, NodeError> {
        let fee = GasFee::Dynamic { max_fee_per_gas: 2_000_000_000, max_priority_fee_per_gas: 1_000_000_000 };
        Ok(Pricing { gas_limit: 21_000, fee })
    }

    async fn broadcast(&self, _: &[u8]) -> Result<(), NodeError> {
        Ok(())
    }

    async fn displaced(&self, _: (Address, u64), _: &[B256], _: u64) -> Result<bool, NodeError> {
        Ok(false)
    }

    async fn inclusion(&self, _: B256) -> Result<Inclusion, NodeError> {
        let mined = *self.mined.lock().unwrap();
        Ok(mined.map_or(Inclusion::Queued, |succeeded| Inclusion::Mined {
            block: self.block.load(Ordering::SeqCst),
            block_hash: B256::repeat_byte(1),
            confirmations: 1_000,
            succeeded,
        }))
    }

    async fn takes_signature(&self, question: &ContractQuestion<'_>) -> Result<bool, NodeError> {
        self.contract_questions.fetch_add(1, Ordering::SeqCst);
        self.contract_gate.acquire().await.unwrap().forget();
        assert!(question.agreement >= 2);
        let said = *self.contract.lock().unwrap();
        match said {
            ContractSays::Nothing => Err(NodeError::Unavailable("the nodes differ".into())),
            ContractSays::Everything => Ok(true),
            ContractSays::Owner(owner) => {
                let bytes: &[u8; 65] = question.signature[..65].try_into().unwrap();
                let signature = Signature::from_bytes(bytes);
                Ok(signature.and_then(|signature| signature.recover(question.digest)) == Ok(owner))
            }
        }
    }
}
