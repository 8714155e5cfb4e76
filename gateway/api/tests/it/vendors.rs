//! Stand-ins for vendors: what they say is what a test tells them to, and every value-moving request is counted.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use gateway_domain::{
    B256, Error, Result,
    chain::ChainId,
    fireblocks::{CertificateSubject, CheckReply, Environment, FireblocksApi, Login, Region, VendorStatus},
    keys::KeyRecord,
    policy::{SigningPermit, VendorPermit},
    quorums::{MadeQuorum, MemberKey, NewQuorum, PrivyApi, PrivySigning, StaticQuorum},
    quota::{Quota, UserQuota},
    sealed::Sealed,
    secrets::{SealedSecret, SecretPlace, SecretText},
    vendors::{SecretVault, ToldTransfer, VendorError, VendorLimits, VendorTransaction, Vendors},
};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};

/// How long a transaction is looked for that Fireblocks does not show.
pub(crate) const LOST_AFTER: Duration = Duration::from_hours(1);

/// A P-256 key of nobody.
pub(crate) const MEMBER_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ\nD7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g==\n-----END PUBLIC KEY-----\n";

/// Keeps secrets beside the place they belong to and the rotation they were sealed under.
struct TestSecrets {
    epoch: Arc<AtomicU32>,
}

#[async_trait]
impl SecretVault for TestSecrets {
    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    async fn seal(&self, place: &SecretPlace, secret: &SecretText) -> Result<SealedSecret> {
        let epoch = self.epoch();
        let kept = json!([place.additional_data(), secret.expose(), epoch]);
        Ok(SealedSecret { epoch, bytes: kept.to_string().into_bytes() })
    }

    async fn open(&self, place: &SecretPlace, sealed: &SealedSecret) -> Result<SecretText> {
        let kept: Value = serde_json::from_slice(&sealed.bytes).unwrap();
        if kept[0] != json!(place.additional_data()) || kept[2] != json!(sealed.epoch) {
            return Err(Error::inconsistency("sealed for another place"));
        }
        Ok(SecretText::new(kept[1].as_str().unwrap().to_owned()))
    }
}

/// Takes everything; each transaction has the status that was set for it last.
#[derive(Default)]
pub(crate) struct TestFireblocks {
    /// By external id: how many requests arrived, and the status.
    transactions: Mutex<HashMap<String, (usize, VendorStatus)>>,
    first: Mutex<Option<VendorStatus>>,
    /// With which status it answers everything; 0 for none.
    refuses: AtomicU16,
    /// Takes what it is sent, and does not say so.
    pub(crate) is_silent: AtomicBool,
    /// Shows nobody any transaction.
    pub(crate) hides: AtomicBool,
    /// What it says that every transaction moves.
    pub(crate) transfer: Mutex<ToldTransfer>,
}

impl TestFireblocks {
    /// The status with which new transactions begin.
    pub(crate) fn begin_with(&self, status: VendorStatus) {
        *self.first.lock().unwrap() = Some(status);
    }

    /// Answers everything with 401 or 403 from now on.
    pub(crate) fn refuse(&self, http_status: u16) {
        self.refuses.store(http_status, Ordering::SeqCst);
    }

    /// Takes the credentials again.
    pub(crate) fn relent(&self) {
        self.refuses.store(0, Ordering::SeqCst);
    }

    fn admit(&self) -> Result<(), VendorError> {
        match self.refuses.load(Ordering::SeqCst) {
            0 => Ok(()),
            401 => Err(VendorError::NotTaken { http_status: 401, code: None }),
            http_status => Err(VendorError::Refused { http_status, code: None }),
        }
    }

    pub(crate) fn say(&self, external_id: &str, status: VendorStatus) {
        self.transactions.lock().unwrap().get_mut(external_id).unwrap().1 = status;
    }

    /// How often creation was asked for.
    pub(crate) fn posts(&self, external_id: &str) -> usize {
        self.transactions.lock().unwrap().get(external_id).map_or(0, |(posts, _)| *posts)
    }

    fn told(&self, external_id: &str, status: VendorStatus) -> VendorTransaction {
        let transfer = self.transfer.lock().unwrap().clone();
        VendorTransaction { id: format!("vendor-{external_id}"), status, hash: None, transfer }
    }
}

#[async_trait]
impl FireblocksApi for TestFireblocks {
    async fn certificate_request(&self, _: &Sealed<KeyRecord>, _: &CertificateSubject) -> Result<String> {
        Ok("-----BEGIN CERTIFICATE REQUEST-----\n".to_owned())
    }

    fn base_url(&self, _: Environment, _: Region) -> String {
        "https://fireblocks.test".to_owned()
    }

    fn asset(&self, _: Environment, _: ChainId) -> Option<String> {
        Some("ETH_TEST5".to_owned())
    }

    async fn check(&self, _: &Login) -> Result<CheckReply, VendorError> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Err(VendorError::Unavailable("silence".into()));
        }
        let refused = self.refuses.load(Ordering::SeqCst);
        Ok(CheckReply { http_status: if refused == 0 { 200 } else { refused }, code: None })
    }

    async fn find(&self, _: &Login, external_id: &str) -> Result<Option<VendorTransaction>, VendorError> {
        self.admit()?;
        if self.hides.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let found = self.transactions.lock().unwrap().get(external_id).map(|(_, status)| *status);
        Ok(found.map(|status| self.told(external_id, status)))
    }

    async fn create(&self, _: &Login, permit: &VendorPermit) -> Result<VendorTransaction, VendorError> {
        self.admit()?;
        let body: Value = serde_json::from_slice(permit.body()).unwrap();
        let external_id = body["externalTxId"].as_str().unwrap().to_owned();
        let first = self.first.lock().unwrap().unwrap_or(VendorStatus::Submitted);
        let mut transactions = self.transactions.lock().unwrap();
        let (posts, status) = transactions.entry(external_id.clone()).or_insert((0, first));
        *posts += 1;
        if self.is_silent.load(Ordering::SeqCst) {
            return Err(VendorError::Unavailable("silence".into()));
        }
        Ok(self.told(&external_id, *status))
    }
}

/// A wallet at Privy, in memory.
pub(crate) struct TestPrivy {
    key: SigningKey,
    pub(crate) asked: Mutex<usize>,
    /// Signs something else than it is asked for.
    pub(crate) lies: AtomicBool,
    /// Nonces it was asked to sign with, in order.
    pub(crate) nonces: Mutex<Vec<u64>>,
    pub(crate) quorums: AtomicUsize,
    /// What it answers instead of making a quorum or signing.
    pub(crate) fails: Mutex<Option<fn() -> VendorError>>,
    /// The idempotency keys of quorums it was asked for, in order.
    pub(crate) quorum_keys: Mutex<Vec<String>>,
}

impl TestPrivy {
    pub(crate) fn address(&self) -> gateway_domain::Address {
        let point = self.key.verifying_key().to_encoded_point(false);
        gateway_domain::Address::from_raw_public_key(&point.as_bytes()[1..])
    }
}

#[async_trait]
impl PrivyApi for TestPrivy {
    async fn create_quorum(&self, quorum: &NewQuorum) -> Result<MadeQuorum, VendorError> {
        self.quorum_keys.lock().unwrap().push(quorum.idempotency_key.clone());
        if let Some(fails) = *self.fails.lock().unwrap() {
            return Err(fails());
        }
        self.quorums.fetch_add(1, Ordering::SeqCst);
        Ok(MadeQuorum { id: format!("quorum-of-{}", quorum.display_name), authorization_threshold: 1 })
    }

    async fn sign(
        &self,
        permit: &SigningPermit,
        _: &Sealed<KeyRecord>,
        signing: &PrivySigning<'_>,
    ) -> Result<[u8; 65], VendorError> {
        assert_eq!(permit.digest(), signing.digest, "the permit is for what is signed");
        *self.asked.lock().unwrap() += 1;
        if let Some(fails) = *self.fails.lock().unwrap() {
            return Err(fails());
        }
        self.nonces.lock().unwrap().push(signing.nonce);
        let lies = self.lies.load(Ordering::SeqCst);
        let digest = if lies { B256::repeat_byte(9) } else { signing.digest };
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = recovery.to_byte();
        Ok(bytes)
    }
}

/// Both vendors, for a world to hold.
pub(crate) struct TestVendors {
    pub(crate) fireblocks: Arc<TestFireblocks>,
    pub(crate) privy: Arc<TestPrivy>,
    /// Rotation of the key that seals secrets.
    pub(crate) sealing_epoch: Arc<AtomicU32>,
}

impl TestVendors {
    pub(crate) fn new() -> Self {
        let key = SigningKey::from_slice(&[11; 32]).unwrap();
        let privy = TestPrivy {
            key,
            asked: Mutex::default(),
            lies: AtomicBool::new(false),
            nonces: Mutex::default(),
            quorums: AtomicUsize::new(0),
            fails: Mutex::default(),
            quorum_keys: Mutex::default(),
        };
        let privy = Arc::new(privy);
        Self { fireblocks: Arc::default(), privy, sealing_epoch: Arc::new(AtomicU32::new(1)) }
    }

    pub(crate) fn ports(&self) -> Vendors {
        Vendors {
            secrets: Arc::new(TestSecrets { epoch: self.sealing_epoch.clone() }),
            fireblocks: Some(self.fireblocks.clone()),
            privy: Some(self.privy.clone()),
            arbiter_key: Some(MemberKey::from_pem(MEMBER_KEY).unwrap()),
            ..no_vendors()
        }
    }
}

/// An installation that names no vendor.
pub(crate) fn no_vendors() -> Vendors {
    Vendors {
        secrets: Arc::new(TestSecrets { epoch: Arc::new(AtomicU32::new(1)) }),
        fireblocks: None,
        privy: None,
        static_quorum: Some(StaticQuorum {
            quorum_id: "static".to_owned(),
            display_name: "Agent".to_owned(),
            authorization_threshold: 2,
        }),
        arbiter_key: None,
        limits: VendorLimits {
            integrations: Quota { max: 3, self_registered_max: 2 },
            quorums: UserQuota { organization: Quota { max: 4, self_registered_max: 3 }, per_user_max: 2 },
            recreations_max: 3,
            validation_pause: Duration::from_secs(10),
            poll_interval: Duration::from_secs(5),
            lost_after: LOST_AFTER,
        },
    }
}
