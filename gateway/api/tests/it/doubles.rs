//! Stand-ins for what lies outside: keys in memory, a plugin that says what it is told to, a node that takes
//! everything.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use gateway_domain::{
    Address, B256, Clock, Error, Result, Timestamp, U256,
    chain::{AccountState, ChainNode, GasFee, Inclusion, NodeError, Pricing},
    entropy::Entropy,
    evaluations::{EvaluationResult, Outcome, Verdict},
    ids::KeyId,
    keys::{KeyAlgorithm, KeyRecord, PublicKey},
    policy::{PluginRevision, SigningPermit},
    ports::{EvaluationReply, EvaluationRequest, Evaluator, KeyVault, Signer},
    sealed::Sealed,
    transactions::Intent,
};
use k256::ecdsa::SigningKey;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The present, which the database's clock shares, plus what a test adds.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    #[expect(clippy::disallowed_methods, reason = "the database's clock cannot be set")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let micros = i64::try_from(since.as_micros()).unwrap();
        Timestamp::from_unix_micros(micros + self.0.load(Ordering::SeqCst))
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
}

impl TestToken {
    pub(crate) fn new() -> Self {
        Self { keys: Mutex::default(), seed: AtomicU64::new(1), gate: Semaphore::new(1_000) }
    }
}

#[async_trait]
impl KeyVault for TestToken {
    fn token_id(&self) -> &'static str {
        "test"
    }

    async fn generate(&self, record: &Sealed<KeyRecord>) -> Result<PublicKey> {
        let mut secret = [7; 32];
        secret[24..].copy_from_slice(&self.seed.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        let key = SigningKey::from_slice(&secret).unwrap();
        let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        self.keys.lock().unwrap().insert(record.id, key);
        Ok(PublicKey(point))
    }

    fn supports(&self, algorithm: KeyAlgorithm) -> bool {
        algorithm == KeyAlgorithm::Secp256k1
    }
}

#[async_trait]
impl Signer for TestToken {
    async fn sign(&self, permit: &SigningPermit, key: &Sealed<KeyRecord>) -> Result<[u8; 65]> {
        self.gate.acquire().await.unwrap().forget();
        let keys = self.keys.lock().unwrap();
        let key = keys.get(&key.id).ok_or_else(|| Error::inconsistency("no such key"))?;
        let (signature, recovery) = key.sign_prehash_recoverable(permit.digest().as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = recovery.to_byte();
        Ok(bytes)
    }
}

/// Answers every evaluation with the outcome that was set last.
pub(crate) struct TestPlugin(Mutex<Outcome>);

impl TestPlugin {
    pub(crate) fn approving() -> Self {
        Self(Mutex::new(Self::outcome(Verdict::Approve, "looks \u{202e}fine\u{0}", 950_000)))
    }

    pub(crate) fn say(&self, verdict: Verdict, analysis: &str, confidence_ppm: u32) {
        *self.0.lock().unwrap() = Self::outcome(verdict, analysis, confidence_ppm);
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
    async fn evaluate(&self, _: &Sealed<PluginRevision>, request: &EvaluationRequest) -> EvaluationReply {
        assert!(request.transaction.note.as_deref() != Some("panic"), "canary-secret in a panic");
        EvaluationReply {
            result: EvaluationResult::Verdict(self.0.lock().unwrap().clone()),
            duration: Duration::from_micros(250),
            record: "{}".to_owned(),
        }
    }
}

/// Takes every transaction and never mines one.
pub(crate) struct TestNode;

#[async_trait]
impl ChainNode for TestNode {
    async fn account(&self, _: Address) -> Result<AccountState, NodeError> {
        Ok(AccountState { nonce: 0, balance: U256::MAX })
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
        Ok(Inclusion::Queued)
    }
}
