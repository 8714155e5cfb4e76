//! A sound log verifies; each way of tampering is named.

use std::{path::PathBuf, sync::Arc};

use gateway_domain::{
    B256, OpCtx, Timestamp,
    audit::{AuditEvent, Checkpoint},
    changes::ChangeSet,
    ids::OrganizationId,
    keys::PublicKey,
    mac::{MacKey, MacKeys},
    ports::{AuditReads as _, UnitOfWork as _},
    sealed::Sealer,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _};
use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;

/// Two lanes, of eight and four entries; checkpoints over three and two, over six and four; two entries unsigned.
struct Log {
    directory: TempDir,
    key: SigningKey,
    checkpoints: Vec<SignedCheckpoint>,
}

fn lane(number: u128) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(number))
}

fn sign(key: &SigningKey, checkpoint: Checkpoint) -> SignedCheckpoint {
    let signature: Signature = key.sign_prehash(checkpoint.hash().as_slice()).expect("signs");
    let public_key = PublicKey(key.verifying_key().to_encoded_point(false).as_bytes().to_vec());
    SignedCheckpoint { checkpoint, public_key, signature: signature.to_bytes().to_vec() }
}

fn other_key() -> SigningKey {
    SigningKey::from_slice(&[9; 32]).expect("a scalar")
}

impl Log {
    async fn new() -> Self {
        let key = SigningKey::from_slice(&[7; 32]).expect("a scalar");
        let mut log =
            Self { directory: TempDir::new().expect("temporary directory"), key, checkpoints: Vec::new() };
        let (first, second) = (log.store(1).await, log.store(2).await);
        append(&first, 3).await;
        append(&second, 2).await;
        log.checkpoint(&first).await;
        append(&first, 3).await;
        append(&second, 2).await;
        log.checkpoint(&first).await;
        append(&first, 2).await;
        first.close().await;
        second.close().await;
        log
    }

    fn url(&self) -> DatabaseUrl {
        DatabaseUrl::new(format!("sqlite://{}", self.directory.path().join("log.db").display()))
    }

    async fn store(&self, number: u128) -> Store {
        let config = StoreConfig { migrate: true, shared: true, ..StoreConfig::new(self.url()) };
        let keys = MacKeys::new(BTreeMap::from([(1, MacKey::new([3; 32]))]), 1);
        Store::open(config, Arc::new(Sealer::new(keys)), lane(number), Arc::new(Notify::new()))
            .await
            .expect("opens")
    }

    async fn checkpoint(&mut self, store: &Store) {
        let last = self.checkpoints.last().map(|last| &last.checkpoint);
        let checkpoint = Checkpoint {
            number: last.map_or(1, |last| last.number + 1),
            previous: last.map_or(B256::ZERO, Checkpoint::hash),
            at: Timestamp::from_unix_micros(1),
            heads: store.lane_heads().await.expect("heads"),
        };
        let signed = sign(&self.key, checkpoint);
        store.insert_checkpoint(&signed).await.expect("stored");
        self.checkpoints.push(signed);
    }

    /// Writes as somebody who owns the database, past its triggers.
    async fn tamper(&self, statements: &[&str]) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(self.url().as_str()).await.expect("connects");
        let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
        let rows = sqlx::query(triggers).fetch_all(&mut connection).await.expect("listed");
        let dropped = rows.iter().map(|row| format!("DROP TRIGGER {}", row.get::<String, _>(0)));
        for sql in dropped.chain(statements.iter().map(|sql| (*sql).to_owned())) {
            connection
                .execute(AssertSqlSafe(sql.clone()))
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        connection.close().await.expect("closes");
    }

    async fn check(&self, witnessed: &[SignedCheckpoint]) -> Report {
        let witness = witness::Witness { checkpoints: witnessed.to_vec(), findings: Vec::new() };
        let pinned = fingerprint(self.key.verifying_key().to_encoded_point(false).as_bytes());
        let archive = AuditArchive::open(&self.url()).await.expect("opens");
        let report = check(&archive, Evidence { pinned, witness }, |_| {}).await.expect("checked");
        archive.close().await;
        report
    }

    /// Tampers and expects faults of these kinds, in this order.
    async fn expect(&self, statements: &[&str], kinds: &[&str]) -> Report {
        self.tamper(statements).await;
        let report = self.check(&self.checkpoints).await;
        assert!(!report.verified);
        let found: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(found, kinds, "{:?}", report.findings);
        report
    }
}

async fn append(store: &Store, count: u64) {
    for number in 0..count {
        let ctx =
            OpCtx::gateway(OrganizationId::from_uuid(Uuid::from_u128(5)), Timestamp::from_unix_micros(2));
        let event =
            AuditEvent::new(&ctx, "test.changed", format!("thing {number}"), json!({"number": number}));
        store.commit(ChangeSet::new(event)).await.expect("committed");
    }
}

const FIRST: &str = "00000000-0000-0000-0000-000000000001";

#[tokio::test]
async fn sound_log_is_signed_to_the_last_checkpoint() {
    let log = Log::new().await;
    let report = log.check(&log.checkpoints).await;
    assert_eq!(report.findings, []);
    assert!(report.verified);
    assert_eq!((report.entries, report.lanes, report.checkpoints), (12, 2, 2));
    assert_eq!((report.signed_to, report.unsigned), (10, 2));
}

#[tokio::test]
async fn a_lane_whose_head_row_was_removed_is_read_and_named() {
    let log = Log::new().await;
    let third = log.store(3).await;
    append(&third, 2).await;
    third.close().await;
    let sql = format!("DELETE FROM audit_lanes WHERE lane = '{}'", lane(3));
    let report = log.expect(&[&sql], &["head-behind"]).await;
    assert_eq!((report.entries, report.lanes), (14, 3));
}

#[tokio::test]
async fn changed_entry_under_a_checkpoint_is_named() {
    let log = Log::new().await;
    let sql = format!("UPDATE audit_entries SET detail = '{{}}' WHERE lane = '{FIRST}' AND sequence = 3");
    let report = log.expect(&[&sql], &["entry-changed"]).await;
    assert!(report.findings[0].message.contains("entry 3 was changed; checkpoint 1"), "{report:?}");
}

#[tokio::test]
async fn changed_entry_between_checkpoints_breaks_the_chain_behind_it() {
    let log = Log::new().await;
    let sql = format!("UPDATE audit_entries SET subject = 'other' WHERE lane = '{FIRST}' AND sequence = 1");
    let report = log.expect(&[&sql], &["chain-broken"]).await;
    assert!(report.findings[0].message.contains("entry 2 does not continue entry 1"), "{report:?}");
}

#[tokio::test]
async fn changed_last_entry_disagrees_with_its_head() {
    let log = Log::new().await;
    let sql = format!("UPDATE audit_entries SET actor = 'nobody' WHERE lane = '{FIRST}' AND sequence = 8");
    log.expect(&[&sql], &["head-forged"]).await;
}

#[tokio::test]
async fn removed_entry_is_named() {
    let log = Log::new().await;
    let sql = format!("DELETE FROM audit_entries WHERE lane = '{FIRST}' AND sequence = 2");
    let report = log.expect(&[&sql], &["entry-missing"]).await;
    assert!(report.findings[0].message.contains("entry 2 is missing; 3 follows"), "{report:?}");
}

#[tokio::test]
async fn inserted_entry_breaks_the_chain() {
    let log = Log::new().await;
    let shift = format!(
        "UPDATE audit_entries SET sequence = sequence + 1000 WHERE lane = '{FIRST}' AND sequence > 1"
    );
    let back = format!(
        "UPDATE audit_entries SET sequence = sequence - 999 WHERE lane = '{FIRST}' AND sequence > 1000"
    );
    let insert = format!(
        "INSERT INTO audit_entries SELECT lane, 2, previous, organization, at, actor, request_id, action, 'forged', \
         detail, tallies, seal FROM audit_entries WHERE lane = '{FIRST}' AND sequence = 3"
    );
    log.expect(&[&shift, &back, &insert], &["chain-broken", "head-behind"]).await;
}

#[tokio::test]
async fn entry_appended_behind_the_head_is_named() {
    let log = Log::new().await;
    let insert = format!(
        "INSERT INTO audit_entries SELECT lane, 9, previous, organization, at, actor, request_id, action, 'forged', \
         detail, tallies, seal FROM audit_entries WHERE lane = '{FIRST}' AND sequence = 8"
    );
    log.expect(&[&insert], &["chain-broken", "head-behind"]).await;
}

#[tokio::test]
async fn reordered_entries_break_the_chain() {
    let log = Log::new().await;
    let moves = [(4, 1000), (5, 4), (1000, 5)];
    let moves = moves.map(|(from, to)| {
        format!("UPDATE audit_entries SET sequence = {to} WHERE lane = '{FIRST}' AND sequence = {from}")
    });
    let report = log.expect(&[&moves[0], &moves[1], &moves[2]], &["chain-broken"]).await;
    assert!(report.findings[0].message.contains("entry 4"), "{report:?}");
}

#[tokio::test]
async fn lane_cut_below_a_checkpoint_is_rolled_back() {
    let log = Log::new().await;
    let cut = format!("DELETE FROM audit_entries WHERE lane = '{FIRST}' AND sequence > 4");
    let head = format!("UPDATE audit_lanes SET sequence = 4 WHERE lane = '{FIRST}'");
    // The head row was moved without knowing the hash, too.
    log.expect(&[&cut, &head], &["head-forged"]).await;
    let log = Log::new().await;
    let report = log
        .expect(
            &[&cut, &format!("DELETE FROM audit_lanes WHERE lane = '{FIRST}'")],
            &["rolled-back", "head-behind"],
        )
        .await;
    assert!(report.findings[0].message.contains("ends at entry 4, but checkpoint 2 signed 6"), "{report:?}");
}

#[tokio::test]
async fn lane_removed_whole_is_rolled_back() {
    let log = Log::new().await;
    let sql = [
        format!("DELETE FROM audit_entries WHERE lane = '{FIRST}'"),
        format!("DELETE FROM audit_lanes WHERE lane = '{FIRST}'"),
    ];
    let report = log.expect(&[&sql[0], &sql[1]], &["rolled-back"]).await;
    assert!(report.findings[0].message.contains("ends at entry 0"), "{report:?}");
}

#[tokio::test]
async fn old_copy_of_the_database_disagrees_with_the_witness() {
    let log = Log::new().await;
    let report =
        log.expect(&["DELETE FROM audit_checkpoints WHERE number = 2"], &["witness-disagrees"]).await;
    assert!(report.findings[0].message.contains("checkpoint 2"), "{report:?}");
    assert!(log.check(&[]).await.verified, "without a witness nothing tells");
}

#[tokio::test]
async fn checkpoint_of_another_key_is_named() {
    let log = Log::new().await;
    let forged = sign(&other_key(), log.checkpoints[1].checkpoint.clone());
    let sql = format!(
        "UPDATE audit_checkpoints SET public_key = '{}', signature = '{}' WHERE number = 2",
        hex::encode(&forged.public_key.0),
        hex::encode(&forged.signature)
    );
    let report = log.expect(&[&sql], &["foreign-key"]).await;
    assert_eq!((report.signed_to, report.unsigned), (5, 7), "only the first checkpoint still counts");
}

#[tokio::test]
async fn signature_of_another_key_under_the_pinned_name_is_named() {
    let log = Log::new().await;
    let forged = sign(&other_key(), log.checkpoints[0].checkpoint.clone());
    let sql = format!(
        "UPDATE audit_checkpoints SET signature = '{}' WHERE number = 1",
        hex::encode(&forged.signature)
    );
    log.expect(&[&sql], &["bad-signature"]).await;
}

#[tokio::test]
async fn edited_checkpoint_is_named() {
    let log = Log::new().await;
    log.expect(
        &["UPDATE audit_checkpoints SET at = 9 WHERE number = 1"],
        &["bad-signature", "witness-disagrees"],
    )
    .await;
}

#[tokio::test]
async fn missing_checkpoint_is_named() {
    let log = Log::new().await;
    let delete = "DELETE FROM audit_checkpoints WHERE number = 1";
    let report = log.expect(&[delete], &["checkpoint-missing", "witness-disagrees"]).await;
    assert!(report.findings[0].message.contains("checkpoint 1 is missing; 2 follows"), "{report:?}");
}

#[tokio::test]
async fn witness_of_another_history_disagrees() {
    let log = Log::new().await;
    let fork = Checkpoint { heads: BTreeMap::new(), ..log.checkpoints[1].checkpoint.clone() };
    let report = log.check(&[sign(&log.key, fork.clone())]).await;
    assert_eq!(report.findings[0].kind, "witness-disagrees");
    let report = log.check(&[sign(&other_key(), fork)]).await;
    assert_eq!(report.findings[0].kind, "witness-forged");
}

#[tokio::test]
async fn unreadable_row_is_named() {
    let log = Log::new().await;
    let sql =
        format!("UPDATE audit_entries SET previous = 'nothing' WHERE lane = '{FIRST}' AND sequence = 2");
    log.expect(&[&sql], &["unreadable"]).await;
}

#[test]
fn witness_file_without_its_last_line_break_is_read_to_the_line_before() {
    let directory = TempDir::new().expect("temporary directory");
    let path: PathBuf = directory.path().join("witness.jsonl");
    let key = other_key();
    let checkpoint =
        Checkpoint { number: 1, previous: B256::ZERO, at: Timestamp::default(), heads: BTreeMap::new() };
    let line = serde_json::to_string(&sign(&key, checkpoint)).expect("text");
    std::fs::write(&path, format!("{line}\nnonsense\n{}", &line[..40])).expect("written");
    let read = witness::read(&path).expect("read");
    assert_eq!(read.checkpoints.len(), 1);
    assert_eq!(read.findings[0].message, "the witness: line 2 is no checkpoint");
}

#[test]
fn absent_witness_file_says_nothing() {
    let read = witness::read(std::path::Path::new("/nowhere/witness.jsonl")).expect("read");
    assert!(read.checkpoints.is_empty() && read.findings.is_empty());
}

#[tokio::test]
async fn a_large_log_is_read_in_pages_and_progress_is_told() {
    const ENTRIES: u64 = 200_000;
    let log = Log::new().await;
    let store = log.store(3).await;
    let event = |number: u64| {
        let at = Timestamp::from_unix_micros(2);
        let ctx = OpCtx::gateway(OrganizationId::from_uuid(Uuid::from_u128(5)), at);
        AuditEvent::new(&ctx, "test.changed", format!("thing {number}"), json!({"number": number}))
    };
    for first in (0..ENTRIES).step_by(1000) {
        let more = (first + 1..first + 1000).map(event);
        store.commit(more.fold(ChangeSet::new(event(first)), ChangeSet::event)).await.expect("committed");
    }
    store.close().await;
    let witness = witness::Witness::default();
    let pinned = fingerprint(log.key.verifying_key().to_encoded_point(false).as_bytes());
    let archive = AuditArchive::open(&log.url()).await.expect("opens");
    let mut told = Vec::new();
    let report = check(&archive, Evidence { pinned, witness }, |entries| told.push(entries)).await;
    let report = report.expect("checked");
    archive.close().await;
    assert!(report.verified, "{:?}", report.findings);
    assert_eq!((report.entries, report.unsigned), (ENTRIES + 12, ENTRIES + 2));
    assert_eq!(told, [50_012, 100_012, 150_012, 200_012]);
}
