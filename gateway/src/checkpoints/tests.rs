//! What is signed reaches witness and anchor, whatever interrupted it.

use std::fs;

use async_trait::async_trait;
use gateway_domain::{
    OpCtx, Timestamp,
    audit::AuditEvent,
    changes::ChangeSet,
    ids::OrganizationId,
    keys::PublicKey,
    mac::{MacKey, MacKeys},
    ports::{AuditReads as _, UnitOfWork as _},
    sealed::Sealer,
};
use gateway_store::{DatabaseUrl, StoreConfig};
use p256::ecdsa::{SigningKey, signature::hazmat::PrehashSigner as _};
use serde_json::json;
use sqlx::Connection as _;
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;

struct Key(SigningKey);

#[async_trait]
impl CheckpointSigner for Key {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_encoded_point(false).as_bytes().to_vec())
    }

    async fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> gateway_domain::Result<Vec<u8>> {
        let signature: Signature = self.0.sign_prehash(checkpoint.hash().as_slice()).expect("signs");
        Ok(signature.to_bytes().to_vec())
    }
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(43_200_000_000)
    }
}

/// A log, its checkpoints and the files they are handed on to.
struct Log {
    directory: TempDir,
    store: Arc<Store>,
    checkpoints: Checkpoints,
}

impl Log {
    async fn new() -> Self {
        let directory = TempDir::new().expect("temporary directory");
        let url = DatabaseUrl::new(format!("sqlite://{}", directory.path().join("log.db").display()));
        let keys = MacKeys::new(BTreeMap::from([(1, MacKey::new([3; 32]))]), 1);
        let config = StoreConfig { migrate: true, ..StoreConfig::new(url) };
        let lane = InstanceId::from_uuid(Uuid::from_u128(1));
        let store = Store::open(config, Arc::new(Sealer::new(keys)), lane, Arc::new(Notify::new()));
        let store = Arc::new(store.await.expect("opens"));
        let config = Audit { witness_file: Some(directory.path().join("witness.jsonl")), ..Audit::default() };
        let checkpoints = Checkpoints {
            store: store.clone(),
            signer: Arc::new(Key(SigningKey::from_slice(&[7; 32]).expect("a scalar"))),
            clock: Arc::new(Noon),
            config,
            anchor: directory.path().join("anchor.json"),
        };
        Self { directory, store, checkpoints }
    }

    async fn append(&self) {
        let ctx =
            OpCtx::gateway(OrganizationId::from_uuid(Uuid::from_u128(5)), Timestamp::from_unix_micros(2));
        let event = AuditEvent::new(&ctx, "test.changed", "thing".to_owned(), json!({}));
        self.store.commit(ChangeSet::new(event)).await.expect("committed");
    }

    /// Stores a checkpoint and dies.
    async fn sign_and_die(&self) {
        self.append().await;
        let last = self.store.last_checkpoint().await.expect("read");
        let checkpoint = Checkpoint {
            number: last.as_ref().map_or(1, |last| last.checkpoint.number + 1),
            previous: last.as_ref().map_or(B256::ZERO, |last| last.checkpoint.hash()),
            at: Timestamp::from_unix_micros(1),
            heads: self.store.lane_heads().await.expect("read"),
        };
        let signature = self.checkpoints.signer.sign_checkpoint(&checkpoint).await.expect("signs");
        let public_key = self.checkpoints.signer.public_key();
        let signed = SignedCheckpoint { checkpoint, public_key, signature };
        self.store.insert_checkpoint(&signed).await.expect("stored");
    }

    /// What a gateway does that is started now, with one more entry in the log.
    async fn sign(&self) -> Result<bool> {
        self.append().await;
        self.checkpoints.sign_if(true, &mut None).await
    }

    /// By somebody who writes the database without the gateway.
    async fn attack(&self, statement: &'static str) {
        let file = format!("sqlite://{}", self.directory.path().join("log.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&file).await.expect("opens");
        let named = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
        let triggers: Vec<String> = sqlx::query_scalar(named).fetch_all(&mut connection).await.expect("read");
        for trigger in triggers {
            let drop = sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"));
            sqlx::query(drop).execute(&mut connection).await.expect("dropped");
        }
        sqlx::query(statement).execute(&mut connection).await.expect("written");
        connection.close().await.expect("closed");
    }

    fn witness(&self) -> PathBuf {
        self.directory.path().join("witness.jsonl")
    }

    fn witnessed(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.witness()).expect("read");
        let line = |line: &str| {
            let signed: SignedCheckpoint = serde_json::from_str(line).expect("a checkpoint");
            signed.checkpoint.number
        };
        text.lines().map(line).collect()
    }

    fn anchored(&self) -> u64 {
        read_anchor(&self.checkpoints.anchor).expect("read").expect("there").checkpoint.number
    }
}

#[tokio::test]
async fn what_was_stored_before_a_crash_is_handed_on_by_the_next_start() {
    let log = Log::new().await;
    log.sign_and_die().await;
    log.sign_and_die().await;
    assert!(log.sign().await.expect("signs"));
    assert_eq!((log.witnessed(), log.anchored()), (vec![1, 2, 3], 3));
    log.sign_and_die().await;
    assert!(!log.checkpoints.sign_if(true, &mut None).await.expect("nothing to sign, one to hand on"));
    assert_eq!((log.witnessed(), log.anchored()), (vec![1, 2, 3, 4], 4));
}

#[tokio::test]
async fn a_checkpoint_is_signed_after_so_many_entries_or_when_it_is_due() {
    let mut log = Log::new().await;
    log.checkpoints.config.checkpoint_entries = 3;
    for is_signed in [false, false, true, false, false, true] {
        log.append().await;
        assert_eq!(log.checkpoints.sign_if(false, &mut None).await.expect("looked at"), is_signed);
    }
    log.append().await;
    assert!(log.checkpoints.sign_if(true, &mut None).await.expect("signs"));
    assert!(!log.checkpoints.sign_if(true, &mut None).await.expect("nothing is unsigned"));
    assert_eq!(log.witnessed(), [1, 2, 3]);
}

#[tokio::test]
async fn unsigned_entries_do_not_wait_longer_than_the_interval() {
    let Log { directory, store, checkpoints } = Log::new().await;
    let config = Audit { checkpoint_interval_ms: 10, ..checkpoints.config.clone() };
    let log = Log { directory, store, checkpoints: Checkpoints { config, ..checkpoints } };
    log.append().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(log.checkpoints.run(stop.clone()));
    let signed = async { while log.store.last_checkpoint().await.expect("read").is_none() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), signed).await.expect("in time");
    stop.cancel();
    running.await.expect("ends");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_written_again() {
    let log = Log::new().await;
    for _ in 0..2 {
        log.sign().await.expect("signs");
    }
    let text = fs::read(log.witness()).expect("read");
    for length in [text.len() - 1, text.len() / 2 + 3, 5] {
        fs::write(log.witness(), &text[..length]).expect("written");
        if length == 5 {
            fs::remove_file(&log.checkpoints.anchor).expect("removed");
        }
        log.checkpoints.sign_if(true, &mut None).await.expect("handed on");
        assert_eq!((log.witnessed(), log.anchored()), (vec![1, 2], 2));
    }
}

#[tokio::test]
async fn a_full_disk_leaves_no_gap() {
    let log = Log::new().await;
    log.sign().await.expect("signs");
    let (witness, aside) = (log.witness(), log.directory.path().join("aside"));
    let mut handed_on = None;
    log.checkpoints.sign_if(true, &mut handed_on).await.expect("looked at");
    // Nothing can be appended to a directory.
    fs::rename(&witness, &aside).expect("moved");
    fs::create_dir(&witness).expect("made");
    log.append().await;
    log.checkpoints.sign_if(true, &mut handed_on).await.expect_err("the witness cannot be written");
    fs::remove_dir(&witness).expect("removed");
    fs::rename(&aside, &witness).expect("moved");
    log.append().await;
    assert!(log.checkpoints.sign_if(true, &mut handed_on).await.expect("signs"));
    assert_eq!((log.witnessed(), log.anchored()), (vec![1, 2, 3], 3));
}

#[tokio::test]
async fn a_rotated_witness_goes_on_where_the_anchor_stands() {
    let log = Log::new().await;
    log.sign().await.expect("signs");
    fs::remove_file(log.witness()).expect("removed");
    log.sign().await.expect("signs");
    assert_eq!((log.witnessed(), log.anchored()), (vec![2], 2));
}

#[tokio::test]
async fn a_witness_of_another_log_is_not_continued() {
    let (log, other) = (Log::new().await, Log::new().await);
    other.sign_and_die().await;
    other.sign().await.expect("signs");
    log.sign().await.expect("signs");
    fs::copy(other.witness(), log.witness()).expect("copied");
    log.sign_and_die().await;
    log.sign_and_die().await;
    let error = log.sign().await.expect_err("refused");
    assert!(format!("{error:#}").contains("does not continue checkpoint 2"), "{error:#}");
}

#[tokio::test]
async fn a_database_that_went_back_under_a_running_gateway_is_not_signed_on() {
    let (log, older) = (Log::new().await, Log::new().await);
    let mut handed_on = None;
    for _ in 0..2 {
        log.append().await;
        log.checkpoints.sign_if(true, &mut handed_on).await.expect("signs");
    }
    older.append().await;
    for ends_at in ["checkpoint 0", "checkpoint 1", "checkpoint 2"] {
        let error = older.checkpoints.look(true, &mut handed_on).await.expect_err("refused");
        let text = format!("{error:#}");
        assert!(text.contains("was rolled back") && text.contains(ends_at), "{text}");
        let fault = older.store.log_fault().expect("no permit is given");
        assert!(text.contains(&*fault), "{text}: {fault}");
        // Others of the same number are no better.
        older.append().await;
        older.sign_and_die().await;
    }
    assert!(!older.witness().exists());
    // The log as it was: what was known of it no longer holds.
    assert!(older.checkpoints.look(true, &mut None).await.is_ok());
    assert_eq!(older.store.log_fault(), None);
}

#[tokio::test]
async fn a_disk_or_a_token_that_is_away_says_nothing_about_the_log() {
    let log = Log::new().await;
    log.append().await;
    log.checkpoints.look(true, &mut None).await.expect("signs");
    fs::remove_file(log.witness()).expect("removed");
    fs::create_dir(log.witness()).expect("made");
    log.append().await;
    log.checkpoints.look(true, &mut None).await.expect_err("the witness cannot be read");
    assert_eq!(log.store.log_fault(), None);
}

#[tokio::test]
async fn a_checkpoint_by_another_key_stops_permits() {
    let log = Log::new().await;
    log.append().await;
    let heads = log.store.lane_heads().await.expect("read");
    let at = Timestamp::from_unix_micros(1);
    let checkpoint = Checkpoint { number: 1, previous: B256::ZERO, at, heads };
    let stranger = Key(SigningKey::from_slice(&[8; 32]).expect("a scalar"));
    let signature = stranger.sign_checkpoint(&checkpoint).await.expect("signs");
    let forged = SignedCheckpoint { checkpoint, public_key: stranger.public_key(), signature };
    log.store.insert_checkpoint(&forged).await.expect("stored");
    log.checkpoints.look(true, &mut None).await.expect_err("refused");
    let fault = log.store.log_fault().expect("no permit is given");
    assert!(fault.contains("was not signed by this gateway's key"), "{fault}");
}

#[tokio::test]
async fn before_the_first_look_no_permit_is_given() {
    let log = Log::new().await;
    let fault = log.store.log_fault().expect("nobody has looked");
    assert!(fault.contains("has not been compared"), "{fault}");
    log.checkpoints.first_look().await;
    assert_eq!(log.store.log_fault(), None);
}

/// Whoever writes the database could otherwise stop the looking and nothing else.
#[tokio::test]
async fn rows_that_cannot_be_read_are_a_fault() {
    for attack in [
        "UPDATE audit_checkpoints SET heads = 'no heads'",
        "UPDATE audit_checkpoints SET public_key = 'zz'",
        "UPDATE audit_checkpoints SET number = -1",
        "UPDATE audit_lanes SET hash = 'no hash'",
        "UPDATE audit_lanes SET tallies = '{'",
    ] {
        let log = Log::new().await;
        log.append().await;
        log.checkpoints.look(true, &mut None).await.expect("signs");
        log.attack(attack).await;
        log.checkpoints.look(true, &mut None).await.expect_err("refused");
        let fault = log.store.log_fault();
        assert!(fault.is_some(), "{attack}");
    }
}

#[tokio::test]
async fn a_fault_is_counted_when_it_begins_and_not_at_each_look() {
    let log = Log::new().await;
    assert_eq!(log.store.set_log_fault(None), LogChange::Intact);
    assert_eq!(log.store.set_log_fault(Some("cut")), LogChange::Fault);
    assert_eq!(log.store.set_log_fault(Some("cut")), LogChange::None);
    assert_eq!(log.store.set_log_fault(Some("rolled back")), LogChange::Fault);
    assert_eq!(log.store.set_log_fault(None), LogChange::Intact);
}
